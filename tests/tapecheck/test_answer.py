"""Asking an implementation: whatever it does is in the report, and the run goes on."""

import time

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, check
from tapecheck.answer import ask

CASE = Case("answer", Sequential([LSTM(4, return_sequences=True), Dense(2)]), 3, 6, 5)


def right(problem):
    """The shipped gradients."""
    return dict(problem.reference.gradients)


def raising(problem):
    """An implementation with a bug of its own."""

    def deeper():
        raise IndexError("list index out of range")

    deeper()


def test_exception_is_the_answer_with_its_own_traceback():
    """What it raises is said on the first line; the traceback starts at its own first frame."""
    report = check(CASE, raising)
    text = str(report)
    assert report.verdict == "failed"
    assert text.startswith("failed: the implementation raised IndexError: list index out of range [answer]")
    frames = [line for line in text.splitlines() if line.strip().startswith("File ")]
    assert [frame.rpartition(" ")[2] for frame in frames] == ["raising", "deeper"]


@pytest.mark.parametrize("returned", [[1.0], None, 3, (1, 2)])
def test_something_else_than_gradients_is_named(returned):
    """A list, a tuple, a number or nothing is refused with what should have been returned."""
    report = check(CASE, lambda p: returned)
    assert report.verdict == "failed"
    expected = f"returned a {type(returned).__name__}, but should return a tapecheck.Result or a dict"
    assert expected in str(report)


def test_prints_are_kept_from_the_screen_and_counted(capsys):
    """Fifty printed lines leave standard output alone; the report shows the first of them."""

    def chatty(problem):
        for k in range(50):
            print(f"line {k}")
        return right(problem)

    report = check(CASE, chatty)
    assert report.passed
    assert capsys.readouterr().out == ""
    assert "it printed 50 lines" in str(report)
    assert "line 0" in str(report)
    assert "line 49" not in str(report)


def test_writing_into_inputs_is_noted():
    """Arrays that were written into are named; the comparison is not touched by it."""

    def in_place(problem):
        gradients = right(problem)
        problem.weights["lstm/kernel"] -= 1
        problem.x[0, 0, 0] = np.nan
        return gradients

    report = check(CASE, in_place)
    assert report.passed
    assert "wrote into its inputs: x, lstm/kernel" in str(report)


def test_replacing_and_deleting_inputs_is_noted():
    """A weight put in place of another, by something that is no array, or taken out is named too."""

    def rough(problem):
        gradients = right(problem)
        problem.weights["lstm/kernel"] = [1.0]
        del problem.weights["lstm/bias"]
        return gradients

    answer = ask(rough, CASE.problem())
    assert answer.failure == ""
    assert answer.changed == ("lstm/kernel", "lstm/bias")


def test_time_limit_ends_an_endless_loop():
    """An implementation that never returns is stopped and said to be too slow."""

    def endless(problem):
        while True:
            time.sleep(0.01)

    answer = ask(endless, CASE.problem(), time_limit=0.2)
    assert answer.failure == "raised TooSlow: no answer within the time limit of 0.2 s"


def test_time_limit_leaves_a_quick_answer_alone():
    """Within the limit nothing changes, and no alarm is left behind."""
    assert ask(right, CASE.problem(), time_limit=30).failure == ""
    time.sleep(0.01)


def test_keyboard_interrupt_is_not_swallowed():
    """Ctrl-C in an implementation stops the run."""

    def interrupted(problem):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(CASE, interrupted)
