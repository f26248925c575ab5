"""Asking an implementation: whatever it does is in the report, and the run goes on."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from reference_impl import LSTM, BadInput, Dense, Sequential
from tapecheck import Case, Result, check
from tapecheck.answer import Limited, ask
from tapecheck.layout import Layout

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


@pytest.mark.parametrize(
    ("returned", "said"),
    [([1.0], "a list"), (None, "None"), (3, "an int"), (Result(3), "a Result whose `gradients` are an int")],
)
def test_something_else_than_gradients_is_named(returned, said):
    """A list, a number, nothing or a Result of none is refused with what should have been returned."""
    report = check(CASE, lambda p: returned)
    assert report.verdict == "failed"
    assert report.answer.failure.startswith(f"returned {said}, but should return a tapecheck.Result or a ")


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


def test_streams_that_are_closed_are_read_all_the_same():
    """Code that closes what it prints to ends neither the check nor its own words."""

    def closes(problem):
        print("\x1b[31mred")
        sys.stdout.close()
        return problem.reference.gradients

    report = check(CASE, closes)
    assert report.passed
    assert "      \\x1b[31mred" in str(report).splitlines()  # and no terminal is steered


def test_long_messages_are_shortened():
    """An exception that holds a whole array in words does not fill the screen."""

    def wordy(problem):
        raise ValueError("0.123 " * 10_000)

    assert len(str(check(CASE, wordy)).splitlines()) < 30


def test_progress_bars_are_kept_from_the_screen(capsys):
    """What goes to standard error is kept as well, and shown in plain ASCII."""

    def barred(problem):
        print("\r40% ████", end="", file=sys.stderr)
        return right(problem)

    report = check(CASE, barred)
    assert capsys.readouterr() == ("", "")
    assert "it printed" in str(report)
    assert str(report).isascii()


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


def endless(problem):
    """An implementation that never returns."""
    while True:
        time.sleep(0.01)


def test_settings_of_the_process_end_with_the_call():
    """NumPy's error handling and warning filters that an implementation sets do not reach what follows."""

    def strict(problem):
        np.seterr(all="raise")
        warnings.simplefilter("ignore")
        return right(problem)

    before, filters = np.geterr(), list(warnings.filters)
    assert check(CASE, strict).passed
    assert (np.geterr(), warnings.filters) == (before, filters)


def test_time_limit_ends_an_endless_loop():
    """An implementation that never returns is stopped, and its own line that hangs is shown."""
    report = check(CASE, endless, time_limit=0.2)
    text = str(report)
    assert report.verdict == "failed"
    assert text.startswith(
        "failed: the implementation gave no answer within the time limit of 0.2 s [answer]"
    )
    assert "in endless" in text
    assert "answer.py" not in text.replace("test_answer.py", "")


def test_time_limit_is_not_swallowed():
    """Code that catches every Exception in a loop is stopped as well."""

    def stubborn(problem):
        while True:
            with contextlib.suppress(Exception):
                time.sleep(1)

    assert "within the time limit" in ask(Limited(stubborn, 0.2), CASE.problem()).failure


def test_time_limit_holds_for_every_experiment():
    """An implementation that is wrong on the case, and hangs on any other, does not hang the diagnosis."""

    def wrong_then_endless(problem):
        if problem.case != CASE:
            endless(problem)
        return {name: 2 * gradient for name, gradient in right(problem).items()}

    assert "2 x exact" in str(check(CASE, wrong_then_endless, time_limit=0.05))


def test_time_limit_leaves_a_quick_answer_alone():
    """Within the limit nothing changes, and an alarm that was set before it, such as that of a time limit
    for the whole test, still goes off.
    """
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        assert ask(Limited(right, 30), CASE.problem()).failure == ""
        time.sleep(0.4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung == [True]


NATIVE = """
import collections, itertools, tapecheck.answer
from reference_impl import LSTM, Sequential
tapecheck.answer.GRACE = 0.3
def stuck(problem):
    collections.deque(itertools.repeat(None), maxlen=0)  # a loop in C that asks for no signal
problem = tapecheck.Case("native", Sequential([LSTM(2)])).problem()
tapecheck.answer.ask(tapecheck.answer.Limited(stuck, 0.2), problem)
"""


def test_native_code_that_hangs_ends_the_process():
    """Where no signal gets through, the process ends with status 1 and says which line of theirs hangs."""
    run = subprocess.run([sys.executable, "-c", NATIVE], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert run.stderr.startswith("Timeout (")
    assert "in stuck" in run.stderr


def test_time_limit_says_where_it_cannot_be():
    """Outside of the main thread, and on a system without the signal, it is refused in one line."""
    said = []

    def checked():
        with pytest.raises(BadInput) as refused:
            check(CASE, right, time_limit=1)
        said.append(str(refused.value))

    thread = threading.Thread(target=checked, name="worker")
    thread.start()
    thread.join()
    assert said[0].splitlines()[1:] == ["  - it needs the main thread, but this is worker: leave it out"]


def test_time_limit_without_the_signal(monkeypatch):
    """On Windows there is no such signal: said, and the user may leave the limit out."""
    monkeypatch.delattr(signal, "SIGALRM")
    with pytest.raises(BadInput, match="which Windows has not: leave it out"):
        check(CASE, right, time_limit=1)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "3", [1], True])
def test_time_limit_is_a_positive_number(limit):
    """Anything else is refused before the implementation is called."""
    with pytest.raises(BadInput, match="should be a positive number of seconds"):
        check(CASE, right, time_limit=limit)


def test_exit_is_the_answer():
    """Code that calls sys.exit ends itself and nothing else."""
    assert check(CASE, lambda p: sys.exit(3)).answer.failure == "raised SystemExit: 3"


def test_not_implemented_is_no_failure():
    """Code that says it does not do such a case is not called wrong, nor does the case pass."""

    def modest(problem):
        raise NotImplementedError("mean absolute error only")

    report = check(CASE, modest)
    assert report.verdict == "inconclusive"
    expected = "inconclusive: the implementation does not do this: mean absolute error only [answer]"
    assert str(report).splitlines()[0] == expected
    assert "Traceback" not in str(report)


def test_frames_of_ours_are_left_out():
    """Where a Layout refuses what they hand it, the traceback ends in their line, not in ours."""

    def misused(problem):
        return Layout().gradients(problem, {})

    frames = [line for line in ask(misused, CASE.problem()).traceback if line.strip().startswith("File ")]
    assert [frame.rpartition(" ")[2] for frame in frames] == ["misused"]


def test_what_is_not_callable_is_misuse():
    """An implementation that cannot be called is the user's slip, and no wrong implementation."""
    with pytest.raises(BadInput, match="`implementation` is not callable: it is a dict"):
        check(CASE, {})


def test_a_case_by_its_name():
    """Cases of the catalogue may be named; an unknown name suggests the nearest."""
    assert check("one-step", right).passed
    with pytest.raises(BadInput, match="did you mean 'one-step'"):
        check("one-stp", right)


@pytest.mark.parametrize("case", [None, 3, ["one-step"], CASE.model, {}])
def test_what_is_no_case_is_refused(case):
    """Anything but a case, a problem or a name is said to be none, before TensorFlow is asked."""
    with pytest.raises(BadInput, match="but should be a Case, a Problem, or the name of a case"):
        check(case, right)


def test_keyboard_interrupt_is_not_swallowed():
    """Ctrl-C in an implementation stops the run."""

    def interrupted(problem):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(CASE, interrupted)
