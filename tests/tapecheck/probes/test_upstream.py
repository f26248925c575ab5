"""Wrong conventions, of the loss, its sign, its sum over the batch: each by the suspicions that are true."""

import numpy as np
import pytest

from reference_impl import LSTM, Dense, RepeatVector, Sequential
from tapecheck import Case
from tapecheck.probes import RIGHT


def clip_by_norm(problem, gradients):
    """The gradients with a common norm of at most 5."""
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    return {name: g / max(1, norm / 5) for name, g in gradients.items()}


CONVENTIONS = {
    "sum loss": (
        lambda p, g: {name: v * p.y.size for name, v in g.items()},
        {"common factor": "every gradient is 30 times the exact one: the loss is normalised differently"},
    ),
    "sign": (
        lambda p, g: {name: -v for name, v in g.items()},
        {"common factor": "every gradient has the opposite sign"},
    ),
    "mean over the batch": (
        lambda p, g: {name: v / len(p.x) for name, v in g.items()},
        {"common factor": "every gradient is 0.333333 times", "one row": "divided by B once too often"},
    ),
    "clipping by value": (
        lambda p, g: {name: np.clip(v, -1, 1) for name, v in g.items()},
        {"scaled upstream": "1000 dy does not give 1000 g: gradients are clipped or normalised"},
    ),
    "clipping by norm": (
        clip_by_norm,
        {"scaled upstream": "1000 dy does not give 1000 g: gradients are clipped or normalised"},
    ),
    "absolute values": (
        lambda p, g: {name: np.abs(v) for name, v in g.items()},
        {"negative upstream": "-dy does not give -g"},
    ),
    "weight decay": (
        lambda p, g: {name: v + 1e-3 * p.weights.get(name, 0) for name, v in g.items()},
        {"zero upstream": "a gradient without an upstream one"},
    ),
    "float32 throughout": (
        lambda p, g: {name: v.astype(np.float32).astype(p.dtype) for name, v in g.items()},
        {"precision": "wrong by no more than float32 rounds"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CONVENTIONS.values(), ids=CONVENTIONS)
def test_wrong_convention(changed, suspicions, change, expected):
    """Of the probes of the upstream gradient and the batch just the true ones are suspicious."""
    found = suspicions(changed(change))
    assert [name for name in found if name not in ("one step", "dz")] == list(expected)
    for name, words in expected.items():
        assert words in found[name], name


def test_wrong_loss_gradient_alone(changed, suspicions):
    """Right when dy is given, wrong with the loss: its own gradient, here without the 2."""

    def without_the_two(problem, gradients):
        factor = 1 if problem.loss is None else 0.5
        return {name: factor * g for name, g in gradients.items()}

    found = suspicions(changed(without_the_two))
    expected = (
        "exact when dy is given (loss=None): the mistake shows only with the loss: its own derivative dy, or "
        "its size"
    )
    assert found["free upstream"] == expected


def test_last_upstream_takes_the_steps_of_the_output(shipped, outcomes):
    """A model may return another number of steps than it is given."""
    layers = [LSTM(3), RepeatVector(5), LSTM(2, return_sequences=True), Dense(2)]
    found = outcomes(shipped, Case("repeat", Sequential(layers), 2, 3, 2))
    assert found["last upstream"] == RIGHT
