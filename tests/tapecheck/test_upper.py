"""Reading dz of an LSTM above other layers: exact where those can be opened, and else not done."""

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Flatten, Sequential
from tapecheck import Case
from tapecheck.exact import exact, run_textbook
from tapecheck.localize import localize
from tapecheck.transparent import gatewise
from tapecheck.upper import window


def below(*arguments, **keywords):
    """An LSTM that hands on all its steps."""
    return LSTM(*arguments, return_sequences=True, **keywords)


STACKS = {
    "two": ("lstm_1", [below(3), LSTM(4), Dense(2)]),
    "three": ("lstm_2", [below(3), below(5), below(4), Dense(2)]),
    "middle": ("lstm_1", [below(3), below(5), LSTM(4), Dense(2)]),
    "Dense below": ("lstm", [Dense(3, activation="tanh"), LSTM(4), Dense(2)]),
    "Dense between": ("lstm_1", [below(3), Dense(5, activation="relu", use_bias=False), LSTM(4)]),
    "backwards": ("lstm_1", [below(3), LSTM(4, go_backwards=True), Dense(2)]),
    "relu inside": ("lstm_1", [below(3, activation="relu"), LSTM(4, activation="relu"), Dense(2)]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("state", ["zeros", "random"])
@pytest.mark.parametrize(("name", "layers"), STACKS.values(), ids=STACKS)
def test_reading_is_the_true_dz(name, layers, state, dtype):
    """Off the shipped gradients and the textbook's, to the measure of every trace, gate by gate and step by
    step, and where the true dz is zero it is read as zero.
    """
    case = Case("upper", Sequential(layers), 3, 5, 4, dtype=dtype, initial_state=state)
    opened = window(case.problem(), name)
    true = exact(opened.problem)
    book = run_textbook(opened.problem, np.asarray).gradients
    for gradients in (opened.problem.reference.gradients, book):
        dz = opened.read(gradients, true)
        assert dz.dtype == dtype
        assert localize(opened.problem, gatewise(dz, name), true).first_divergence is None


@pytest.mark.parametrize(
    "case",
    [
        Case("open-dropout", Sequential([below(3, dropout=0.5), LSTM(4, dropout=0.5)]), training=True),
        Case(
            "open-stateful", Sequential([below(3, stateful=True), LSTM(4), Dense(2)]), batches=3, resets=(1,)
        ),
    ],
    ids=lambda case: case.name,
)
def test_what_belongs_to_other_sizes_is_left_out(case):
    """Factors of dropout and earlier batches were drawn for the features and units that there were."""
    opened = window(case.problem(), "lstm_1")
    true = exact(opened.problem)
    dz = opened.read(opened.problem.reference.gradients, true)
    assert localize(opened.problem, gatewise(dz, "lstm_1"), true).first_divergence is None


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("lstm_1", [below(3), LSTM(4, kernel_regularizer="l2"), Dense(2)]),
        ("lstm_1", [below(3, use_bias=False), LSTM(4), Dense(2)]),
        ("lstm_1", [below(3, recurrent_activation="tanh"), LSTM(4), Dense(2)]),
        ("lstm_1", [below(3, activation="sigmoid"), LSTM(4), Dense(2)]),
        ("lstm", [Dense(3, activation="softmax"), LSTM(4), Dense(2)]),
    ],
    ids=["a penalty on its weights", "no bias", "gates that do not close", "never zero", "units mixed"],
)
def test_what_lets_other_inputs_through_is_not_opened(name, layers):
    """Layers that cannot be made to pass on one input alone are left out, rather than misread."""
    assert window(Case("upper-not", Sequential(layers)).problem(), name) is None


def test_other_gradients_are_not_read():
    """None where dW_x is missing, of another shape, or no array."""
    opened = window(Case("upper-none", Sequential([below(3), LSTM(4), Flatten()])).problem(), "lstm_1")
    true = exact(opened.problem)
    kernel = opened.problem.reference.gradients["lstm_1/kernel"]
    for other in ({}, {"lstm_1/kernel": kernel.T}, {"lstm_1/kernel": kernel.tolist()}):
        assert opened.read(other, true) is None
