"""Clipping that a case does not reach is reached with larger targets."""

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, check

MODEL = Sequential([LSTM(4, return_sequences=True), Dense(3)])
CASE = Case("loud", MODEL, 3, 5, 6, initial_state="random")


def clipped(problem):
    """Right gradients, clipped at what the case's own do not reach."""
    return {name: np.clip(g, -50, 50) for name, g in problem.reference.gradients.items()}


@pytest.mark.parametrize("loss", [None, "mean_squared_error"])
def test_clipping_at_a_limit_that_is_not_reached(loss):
    """It fails, although every number of the case itself is right, and the limit is named for certain."""
    report = check(Case("loud", MODEL, 3, 5, 6, loss), clipped)
    assert all(tensor.verdict == "passed" for tensor in report.tensors.values())
    assert report.headline == (
        "failed: right as asked, wrong with 1000 times the targets: something is clipped [loud]"
    )
    (found,) = report.diagnoses
    assert (found.quantity, found.equation) == ("clipping", "every gradient clipped to +-50")
    assert found.certain


def test_what_does_not_answer_is_not_blamed():
    """Code that takes no other targets than the case's own passes."""
    y = CASE.problem().y

    def particular(problem):
        if not np.array_equal(problem.y, y):
            raise NotImplementedError("other targets")
        return clipped(problem)

    check(CASE, particular).assert_passed()


def test_rounding_is_no_clipping():
    """An implementation that passes in float32 passes with larger targets as well."""
    narrow = Case("loud-float32", MODEL, 3, 5, 6, dtype="float32", initial_state="random")
    check(narrow, lambda problem: problem.reference).assert_passed()


def test_an_overflow_is_not_blamed():
    """Code that is right as asked, and overflows where its targets are larger, passes."""

    def overflowing(problem):
        gradients = problem.reference.gradients
        return gradients if np.abs(problem.y).max() < 50 else {n: g * np.nan for n, g in gradients.items()}

    check(CASE, overflowing).assert_passed()
