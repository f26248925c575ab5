"""The sides of a case are run once in a process, and nobody can change them."""

from dataclasses import replace

import numpy as np
import pytest

import tf_oracle
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, check
from tapecheck.sides import sides_of_case

CASE = Case("sides", Sequential([LSTM(4, return_sequences=True), Dense(2)]))


def test_a_case_is_run_once(monkeypatch):
    """A second check of a case, of whatever implementation, runs neither TensorFlow nor exact arithmetic,
    and its report is the same; another seed is another case.
    """
    first = check(CASE)
    runs = []
    monkeypatch.setattr(tf_oracle, "run", lambda *inputs: runs.append(inputs))
    assert str(check(CASE)) == str(first)
    wrong = check(CASE, lambda p: {k: 2 * g for k, g in p.reference.gradients.items()})
    assert wrong.verdict == "failed"
    with pytest.raises(AttributeError):
        check(replace(CASE, seed=1))
    assert len(runs) == 1


def test_the_shipped_implementation_is_run_every_time(monkeypatch):
    """What is under test is never remembered: a change to it shows in the next check."""
    assert check(CASE).passed
    right = Dense.backward
    monkeypatch.setattr(Dense, "backward", lambda *a: right(*a) | {"kernel": 2 * right(*a)["kernel"]})
    assert not check(CASE).tensors["dense/kernel"].passed


def test_what_is_remembered_cannot_be_written_into():
    """Arrays of the problem, of TensorFlow and of the textbook are read-only; an implementation is given
    copies of its own.
    """
    sides = sides_of_case(CASE)
    arrays = [*sides.problem.tensors.values(), sides.problem.y, *sides.oracle.gradients.values()]
    for array in [*arrays, *sides.book.values()]:
        with pytest.raises(ValueError, match="read-only"):
            array += 1

    def writes(problem):
        gradients = problem.reference.gradients
        problem.x[:] = np.nan
        return gradients

    assert check(CASE, writes).passed
