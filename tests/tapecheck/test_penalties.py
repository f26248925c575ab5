"""Planted mistakes with regularizers: each fails the check, and is named."""

import pytest

from reference_impl import LSTM, Dense, Named, Sequential
from tapecheck import Case, check
from tapecheck.faults.penalties import activity_times, less, unregularized
from tapecheck.problem import Result

CASE = Case(
    "penalties",
    Sequential(
        [
            LSTM(3, return_sequences=True, kernel_regularizer=Named("l2", l2=0.2), activity_regularizer="l1"),
            Dense(2, kernel_regularizer="l1", activity_regularizer=Named("l2", l2=0.1)),
        ]
    ),
    3,
    4,
    5,
)


def on(change):
    """An implementation that takes the gradient of another loss: that of the changed problem."""
    return lambda problem: change(problem).reference.gradients


def lacking(share):
    """An implementation that leaves out a share of the penalties on weights."""
    return lambda problem: less(share)(problem, problem.reference.gradients)


ACTIVITY = "activity_regularizer"
WRONG = {
    "no penalties at all": (on(unregularized), None),
    "no penalty on weights": (lacking(1), "without the penalty"),
    "l2 * w in place of 2 * l2 * w": (lacking(0.5), "half of d penalty / dW"),
    "no penalty on outputs": (on(lambda p: unregularized(p, ACTIVITY)), "without the penalty on y"),
    "not divided by the batch": (on(lambda p: activity_times(p, len(p.x))), "not divided by B"),
    "divided by the steps too": (on(lambda p: activity_times(p, 1 / p.x.shape[1])), "/ (B * T)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_penalty_is_detected_and_named(name):
    """The gradient fails, and the diagnosis says which part of the penalties is wrong, where one fault is."""
    implementation, words = WRONG[name]
    report = check(CASE, implementation)
    assert report.verdict == "failed"
    if words:
        assert words in report.diagnoses[0].equation
        assert report.diagnoses[0].certain


def test_loss_without_penalties_is_a_wrong_loss():
    """An implementation that returns the loss of the data alone fails, though its gradients are right."""

    def data_alone(problem):
        right = problem.reference
        return Result(right.gradients, right.output, unregularized(problem).reference.loss)

    report = check(CASE, data_alone)
    assert report.verdict == "failed"
    assert not report.forward["loss"].passed
