"""Where Keras's LSTM and the layers around it do something else than documented, on Keras itself.

`figures("heading")` is the text block that docs/findings.md shows under that heading.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tapecheck import check
from tapecheck.catalogue import KERAS_OFF
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.complexstep import complex_steps
from tf_oracle.start import load

Figures = Callable[[str], str]
X = np.linspace(-1, 1, 24).reshape(1, 6, 4)
MASK = np.array([[True, True, True, False, False, True]])


def layer(kind: str = "LSTM", **arguments: Any) -> Any:
    """A Keras layer in float64, the same weights every time."""
    keras = load().keras
    keras.utils.set_random_seed(1)
    return getattr(keras.layers, kind)(**arguments, dtype="float64")


def masked() -> Any:
    """The input as a tensor that carries its mask, as Masking or Embedding leave it."""
    x = load().tf.constant(X)
    load().keras.src.backend.set_keras_mask(x, load().tf.constant(MASK))
    return x


def size(output: Any) -> list[float]:
    """The largest magnitude of each time step of the first row."""
    return [float(value) for value in np.abs(np.asarray(output)[0]).max(axis=-1)]


def row(title: str, values: list[Any]) -> str:
    """A line of a table."""
    return f"{title:44}" + "".join(f"{v:>9}" if isinstance(v, str) else f"{v:9.4f}" for v in values)


def test_the_mask_is_lost_beside_an_initial_state(figures: Figures) -> None:
    """The same layer on the same masked input: with initial_state=zeros the mask is not applied."""
    lstm, zeros = layer(units=3), load().tf.zeros((1, 3), "float64")
    lines = [
        row("lstm(x)", list(lstm(masked())[0])),
        row("lstm(x, initial_state=zeros)", list(lstm(masked(), initial_state=[zeros, zeros])[0])),
        row("lstm(x without a mask)", list(lstm(X)[0])),
        row(
            "lstm(x, initial_state=zeros, mask=mask)",
            list(lstm(X, initial_state=[zeros, zeros], mask=MASK)[0]),
        ),
    ]
    numbers = [line[44:] for line in lines]
    assert numbers[1] == numbers[2]
    assert numbers[0] == numbers[3] != numbers[1]
    assert figures("8. A mask is lost beside an initial state") == "\n".join(lines)


def test_unrolled_backwards_zeroes_the_wrong_steps(figures: Figures) -> None:
    """zero_output_for_mask with go_backwards: the loop zeroes the masked steps, the unrolled form the
    mirrored ones.
    """
    arguments: dict[str, Any] = dict(
        units=3, return_sequences=True, go_backwards=True, zero_output_for_mask=True
    )
    loop = size(layer(**arguments)(X, mask=MASK))
    unrolled = size(layer(**arguments, unroll=True)(X, mask=MASK))
    counts = ["counts" if c else "masked" for c in MASK[0, ::-1]]
    assert [value == 0 for value in loop] == [not c for c in MASK[0, ::-1]]
    assert [value == 0 for value in unrolled] != [value == 0 for value in loop]
    lines = [
        row("step of x, in the order computed", [str(t) for t in range(5, -1, -1)]),
        row("", counts),
        row("unroll=False, largest output", loop),
        row("unroll=True, largest output", unrolled),
    ]
    assert figures("9. Unrolled backwards, the wrong steps are zero") == "\n".join(lines)


@pytest.mark.parametrize("case", KERAS_OFF, ids=lambda case: case.name)
def test_cases_in_which_keras_is_off(case: Any) -> None:
    """The harness says that TensorFlow is off, and the complex step sides with the handwritten form; in
    another version of Keras the case may pass, and then it belongs into the catalogue.
    """
    report = check(case)
    assert report.verdict == "inconclusive"
    assert "TensorFlow itself is off here" in str(report)
    problem, exact = report.problem, report.exact
    for name in problem.tensors:
        stepped = complex_steps(problem, name)
        assert errors(name, stepped, exact.tensors[name], problem.dtype).max() <= FACTOR * 2 * FLOOR, name


def test_dropout_by_gate_cannot_be_trained_with_cudnn_auto() -> None:
    """implementation=1 with dropout raises in training, without use_cudnn=False or recurrent dropout."""
    arguments: dict[str, Any] = dict(units=3, dropout=0.5, implementation=1)
    with pytest.raises(load().tf.errors.InvalidArgumentError):
        layer(**arguments)(X, training=True)
    assert layer(**arguments, use_cudnn=False)(X, training=True).shape == (1, 3)
    assert layer(**arguments, recurrent_dropout=0.5)(X, training=True).shape == (1, 3)


def test_the_mask_is_not_reversed_with_the_outputs(figures: Figures) -> None:
    """go_backwards returns the steps in the opposite order, and the mask in the old one."""
    lstm = layer(units=3, return_sequences=True, go_backwards=True, zero_output_for_mask=True)
    output = lstm(masked())
    mask = load().keras.src.backend.get_keras_mask(output).numpy()
    assert np.array_equal(mask, MASK)
    lines = [
        row("step of the output", [str(t) for t in range(6)]),
        row("largest output", size(output)),
        row("mask that goes on with it", ["True" if m else "False" for m in mask[0]]),
    ]
    assert figures("11. The mask does not turn around with the outputs") == "\n".join(lines)


def test_a_rate_of_one_drops_nothing(figures: Figures) -> None:
    """LSTM's dropout=1 and recurrent_dropout=1 are accepted and ignored; Dropout(1) gives zeros."""
    plain = layer(units=3)(X)
    lines = [row("LSTM(3)", list(plain[0]))]
    for argument in ("dropout", "recurrent_dropout"):
        found = layer(units=3, **{argument: 1.0})(X, training=True)
        lines.append(row(f"LSTM(3, {argument}=1.0), training", list(found[0])))
        np.testing.assert_array_equal(found, plain)
    dropped = layer("Dropout", rate=1.0)(X[:, 0, :3], training=True)
    assert not np.any(dropped)
    lines.append(row("Dropout(1.0), training", list(dropped[0])))
    assert figures("12. An LSTM drops nothing at a rate of 1") == "\n".join(lines)


def test_inference_moves_on_the_draws_of_an_lstm() -> None:
    """An LSTM draws factors in inference too, so predicting changes what the next training step drops; a
    Dropout layer draws in training only.
    """
    first, second = (layer(units=3, dropout=0.5, seed=7) for _ in range(2))
    second(X, training=False)
    assert not np.array_equal(first(X, training=True), second(X, training=True))
    first, second = (layer("Dropout", rate=0.5, seed=7) for _ in range(2))
    second(X, training=False)
    assert np.array_equal(first(X, training=True), second(X, training=True))


def test_a_penalty_within_time_distributed_is_lost() -> None:
    """The activity regularizer of the layer inside adds nothing to the losses; on Dense itself it does."""
    for penalised, found in (
        (layer("TimeDistributed", layer=layer("Dense", units=2, activity_regularizer="l2")), 0),
        (layer("Dense", units=2, activity_regularizer="l2"), 1),
    ):
        penalised(X)
        assert len(penalised.losses) == found
