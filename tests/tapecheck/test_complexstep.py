"""The complex step: exact to rounding, block by block, and blind to every backward pass."""

from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Flatten, Sequential, textbook
from tapecheck import Case
from tapecheck import complexstep as module
from tapecheck.compare import errors
from tapecheck.complexstep import complex_gradient, complex_steps
from tapecheck.exact import exact

FLOAT64 = np.dtype(np.float64)
CASES = [
    Case("sequences", Sequential([LSTM(4, return_sequences=True), Dense(2, activation="tanh")]), 3, 6, 5),
    Case(
        "flat", Sequential([LSTM(4, return_sequences=True), Flatten(), Dense(2, activation="relu")]), 3, 3, 5
    ),
    Case("last", Sequential([LSTM(4), Dense(3, activation="softmax")]), 2, 4, 5, "categorical_crossentropy"),
    Case("stack", Sequential([LSTM(3, return_sequences=True), LSTM(2)]), 2, 4, 5, None, "float32"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_entry_is_exact_to_rounding(case):
    """The witness without a backward pass gives every tensor's exact derivative to a few eps of scale."""
    problem = case.problem()
    true = exact(problem).tensors
    stepped = complex_gradient(problem)
    assert list(stepped) == list(problem.tensors)
    for name, gradient in stepped.items():
        assert gradient.shape == problem.tensors[name].shape
        assert errors(name, gradient, true[name], FLOAT64).max() < 16, name


def test_blocks_change_nothing(monkeypatch):
    """Two entries at a time, as when they fill the memory, give the same numbers."""
    problem = CASES[0].problem()
    together = complex_gradient(problem)
    monkeypatch.setattr(module, "BLOCK", 2 * (module.numbers(problem) + problem.x.size))
    for name, gradient in complex_gradient(problem).items():
        np.testing.assert_allclose(gradient, together[name], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_at_once_is_each_alone(case, monkeypatch):
    """The pass on complex numbers, with one entry moved, gives what all entries at once give: a step at each
    operation is one step through the whole.
    """
    problem = case.problem()
    together = complex_gradient(problem)
    monkeypatch.setattr(module, "BLOCK", 1)
    for name, gradient in complex_gradient(problem).items():
        assert errors(name, gradient, together[name].astype(np.longdouble), FLOAT64).max() < 16, name


def test_single_entries():
    """Chosen entries come in the order they are asked for."""
    problem = CASES[0].problem()
    whole = complex_steps(problem, "lstm/kernel")
    few = complex_steps(problem, "lstm/kernel", [17, 3])
    np.testing.assert_allclose(few, whole.ravel()[[17, 3]], rtol=1e-13)


def test_no_backward_pass_has_a_say(monkeypatch):
    """With every backward function of the textbook broken the derivatives are what they were."""
    problem = CASES[0].problem()
    before = complex_gradient(problem)
    for part in (textbook.lstm, textbook.dense):
        monkeypatch.setattr(part, "backward", None)
    for name, gradient in complex_gradient(problem).items():
        assert gradient.tobytes() == before[name].tobytes()


def test_a_wrong_forward_pass_shows(monkeypatch):
    """The witness is of the forward pass: another one, here half the loss, has another derivative."""
    problem = CASES[0].problem()
    forward = textbook.forward
    monkeypatch.setattr(textbook, "forward", lambda *a: (lambda o, loss, v: (o, loss / 2, v))(*forward(*a)))
    halved = complex_steps(problem, "lstm/bias")
    monkeypatch.undo()
    np.testing.assert_allclose(2 * halved, complex_steps(problem, "lstm/bias"), rtol=1e-13)


def test_inputs_are_left_alone():
    """The problem's arrays are what they were, to the bit."""
    problem = CASES[0].problem()
    before = {name: array.copy() for name, array in problem.tensors.items()}
    complex_gradient(replace(problem))
    for name, array in problem.tensors.items():
        assert array.tobytes() == before[name].tobytes(), name
