"""A tensor fails for being wrong, never for rounding less luckily than TensorFlow."""

import numpy as np
import pytest

from benchmarks.calibration import random_problem
from tapecheck import Result, check
from tapecheck.exact import exact, named, run_textbook
from tapecheck.rounding import farthest, one_away

# The one configuration of 2,500 in which TensorFlow and the textbook were both lucky in a sum that cancels.
LUCKY = 1207


@pytest.fixture(scope="module")
def problem():
    """That configuration."""
    return random_problem(LUCKY, "float64")[1]


def test_less_luck_than_tensorflow_is_no_failure(problem):
    """The one entry of the Dense bias's gradient is past 16 times what the others are off, and passes."""
    report = check(problem)
    row = report.tensors["dense/bias"]
    assert report.passed
    assert row.error > 16 * max(row.oracle_error, 2)


def test_a_wrong_sum_fails_all_the_same(problem):
    """A relative error of a billionth in that entry is no rounding."""

    def slightly_wrong(given):
        right = given.reference
        return Result(
            {**right.gradients, "dense/bias": right.gradients["dense/bias"] * (1 + 1e-9)}, right.output
        )

    report = check(problem, slightly_wrong)
    assert [row.name for row in report.rows if row.verdict == "failed"] == ["dense/bias"]


def test_inputs_move_by_one_rounding_and_zeros_stay():
    """Every entry but the zeros is another number, off by no more than one unit in its last place."""
    array = np.array([0.0, 1.0, -3.0, 2.0**-30, 1e10])
    moved = one_away(array, np.random.default_rng(0))
    assert moved[0] == 0
    assert np.all(moved[1:] != array[1:])
    assert np.all(np.abs(moved - array) <= np.finfo(float).eps * np.abs(array))
    assert one_away(array.astype(np.float32), np.random.default_rng(0)).dtype == np.float32


def test_the_farthest_is_no_nearer_than_the_textbook(problem):
    """Tensor by tensor, and where nothing is farther it is the textbook's own."""
    true = exact(problem).tensors
    book, _ = named(run_textbook(problem, np.asarray))
    for name, array in farthest(problem, book, true).items():
        assert np.abs(array - true[name]).max() >= np.abs(book[name] - true[name]).max()
