"""Code that cannot answer every question: what is left unasked is said, and the rest still speaks."""

from dataclasses import replace

import numpy as np

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.probes import EXPERIMENTS, NOT_APPLICABLE, RIGHT, probe


def test_code_for_one_shape(shipped, probed):
    """What it raises on other shapes makes those probes "not applicable", and the others still speak."""

    def only_this_shape(problem):
        if problem.x.shape != (3, 5, 3):
            raise IndexError("T is 5")
        return shipped(problem)

    found = probed(only_this_shape)
    unasked = [name for name, p in found.items() if p.outcome == NOT_APPLICABLE]
    assert unasked == ["one row", "one step", "two steps", "dz"]
    assert found["dz"].says == "the implementation raised IndexError: T is 5"
    assert found["symmetric W_h"].outcome == RIGHT


def test_code_that_always_raises(probed):
    """Nothing gets past the probes: each says what was raised."""

    def broken(problem):
        raise KeyError("W_h")

    found = probed(broken).values()
    assert {p.outcome for p in found} == {NOT_APPLICABLE}
    assert {p.says for p in found} == {"the implementation raised KeyError: 'W_h'"}


def test_no_gradients_at_all(outcomes):
    """An empty answer is neither right nor suspicious in any probe of gradients."""
    found = outcomes(lambda problem: {})
    assert {found[name] for name in EXPERIMENTS if name not in ("repeat", "buffers", "inputs")} == {
        NOT_APPLICABLE
    }


def test_gradients_of_any_kind_do_no_harm(changed, outcomes):
    """What is no array of floats, under any name, is passed over, also where it changes from call to call."""
    calls = []

    def odd(problem, gradients):
        calls.append(None)
        return gradients | {"x": None, "cache": [problem], "lstm/initial_h": np.array(["h"]), "n": len(calls)}

    found = outcomes(changed(odd))
    assert (found.pop("forward"), set(found.values())) == (NOT_APPLICABLE, {RIGHT})


def test_a_dead_row_proves_nothing(edited):
    """Where relu lets nothing of the first sample through, being exact at B = 1 says nothing of the batch."""
    model = Sequential([LSTM(4), Dense(2, activation="relu")])
    problem = Case("probes-dead-row", model, 3, 5, 3).problem()
    linear = Sequential([LSTM(4), Dense(2)]).forward(problem).output
    bias = problem.weights["dense/bias"] - linear[0] - 1e-3
    problem = replace(problem, weights=problem.weights | {"dense/bias": bias})
    output = problem.reference.output
    assert not output[0].any()
    assert output.any()
    found = {
        each.name: each for each in probe(edited("dW_x = dW_x + x_t.T @ dz", "dW_x = x_t.T @ dz"), problem)
    }
    assert (found["one row"].outcome, found["one row"].says) == (
        NOT_APPLICABLE,
        "every gradient is zero at B = 1",
    )


def test_code_without_the_free_upstream(shipped, probed):
    """Code that always takes y as targets of the mean squared error is right, and ignores loss=None."""

    def always_mse(problem):
        return shipped(replace(problem, case=replace(problem.case, loss="mean_squared_error")))

    found = probed(always_mse)
    assert {p.name for p in found.values() if p.outcome != RIGHT} == {"free upstream"}
    assert (found["free upstream"].outcome, found["free upstream"].says) == (
        NOT_APPLICABLE,
        "loss=None is ignored",
    )


def test_a_loss_that_cannot_be_steered(shipped, outcomes):
    """Under a crossentropy the upstream is scaled by loss=None, and not at all where that is ignored."""
    case = Case(
        "probes-logits", Sequential([LSTM(4), Dense(2, activation="sigmoid")]), loss="binary_crossentropy"
    )
    assert outcomes(shipped, case)["scaled upstream"] == RIGHT

    def only_crossentropy(problem):
        if problem.loss is None:
            raise ValueError("unknown loss")
        return shipped(problem)

    found = outcomes(only_crossentropy, case)
    assert found["scaled upstream"] == found["free upstream"] == NOT_APPLICABLE
    assert found["two steps"] == found["dz"] == RIGHT
