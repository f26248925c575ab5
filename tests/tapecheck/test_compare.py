"""The measure on one tensor, on numbers small enough to check by hand."""

import math

import numpy as np
import pytest

from tapecheck.compare import FACTOR, FLOOR, SUSPICIOUS, alignment, compare, errors, unusable

EPS = np.finfo(np.float64).eps
EXACT = np.array([[1.0, -4.0], [0.5, 2.0]], np.longdouble)
FLOAT64 = np.dtype(np.float64)


def off(by):
    """The exact tensor as float64, with its largest element off by `by` eps of scale."""
    array = EXACT.astype(float)
    array[0, 1] -= by * 4 * EPS
    return array


def judged(candidate, oracle=0.0, textbook=0.0):
    """The verdict on a candidate, beside an oracle and a textbook that are off by that many eps."""
    return compare("w", candidate, off(oracle), off(textbook), EXACT, FLOAT64)


def test_error_is_in_eps_of_the_largest_element():
    """An error of k eps of scale reads k, wherever in the tensor it is."""
    assert errors("w", off(3), EXACT, FLOAT64).max() == 3
    small = EXACT.astype(float)
    small[1, 0] += 4 * EPS
    assert errors("w", small, EXACT, FLOAT64).max() == 1


@pytest.mark.parametrize("by", [0, 16, 32])
def test_up_to_the_floor_passes(by):
    """A candidate within FACTOR * FLOOR eps passes even where TensorFlow is exact."""
    assert judged(off(by)).passed
    assert judged(off(by)).limit == FACTOR * FLOOR


def test_just_past_the_limit_fails():
    """One eps more fails, with the element and the count of bad ones."""
    report = judged(off(33))
    assert report.verdict == "failed"
    assert (report.bad, report.total, report.worst_index) == (1, 4, (0, 1))
    assert report.error == 33


def test_limit_follows_tensorflow():
    """Where TensorFlow is off by 10 eps, 160 are allowed and 161 are not."""
    assert judged(off(160), oracle=10).passed
    assert judged(off(161), oracle=10).verdict == "failed"


def test_limit_follows_the_conditioning():
    """Where the textbook's own rounding is 10 eps, TensorFlow being luckier does not tighten the limit."""
    assert judged(off(160), textbook=10).passed
    assert judged(off(161), textbook=10).verdict == "failed"


def test_suspicious_oracle_gives_no_pass():
    """Far past the textbook's error TensorFlow's own error does not count, and nothing passes."""
    assert judged(off(0), oracle=SUSPICIOUS * FLOOR).passed
    report = judged(off(0), oracle=SUSPICIOUS * FLOOR + 1)
    assert report.verdict == "inconclusive"
    assert "TensorFlow itself is off" in report.note
    assert report.limit == FACTOR * FLOOR
    assert judged(off(40), oracle=SUSPICIOUS * FLOOR + 1).verdict == "failed"


def test_meaningless_limit_gives_no_pass():
    """A limit above 1e-3 of scale proves nothing, but a larger error still fails."""
    by = 1e-3 / EPS / FACTOR * 1.01
    assert judged(off(1), oracle=by, textbook=by).verdict == "inconclusive"
    assert judged(EXACT.astype(float) + 1, oracle=by, textbook=by).verdict == "failed"


def test_zero_slice_must_be_zero():
    """Where the exact value is zero over a whole slice, nothing but zero will do."""
    zeros = np.zeros((2, 2), np.longdouble)
    clean = np.zeros((2, 2))
    assert compare("w", clean, clean, clean, zeros, FLOAT64).passed
    tiny = clean + 1e-300
    assert compare("w", tiny, clean, clean, zeros, FLOAT64).verdict == "failed"


def test_each_time_step_has_its_own_scale():
    """A step whose gradients are 1e-9 of the others' is still held to 32 eps of its own."""
    exact = np.ones((1, 2, 3), np.longdouble)
    exact[:, 0] = 1e-9
    wrong = exact.astype(float)
    wrong[:, 0] = 0
    right = exact.astype(float)
    assert compare("x", wrong, right, right, exact, FLOAT64).verdict == "failed"
    assert compare("x", wrong, right, right, exact, FLOAT64).worst_index == (0, 0, 0)


def test_subnormal_values_are_not_measured():
    """Below the smallest normal number a flushed zero is no error."""
    exact = np.array([1e-310], np.longdouble)
    zero, kept = np.array([0.0]), np.array([1e-310])
    assert compare("w", zero, zero, kept, exact, FLOAT64).passed


def test_missing_is_unchecked_and_not_passed():
    """A tensor that was not returned is neither right nor wrong."""
    report = judged(None)
    assert report.verdict == "unchecked"
    assert not report.passed
    assert report.worst_index is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_values_fail_even_where_the_oracle_has_them_too(value):
    """NaN agrees with nothing, NaN in the oracle included."""
    bad = EXACT.astype(float)
    bad[1, 1] = value
    report = compare("w", bad, bad, off(0), EXACT, FLOAT64)
    assert report.verdict == "failed"
    assert f"holds {value}, first at [1, 1]" in report.note


def test_alignment_tells_a_common_factor():
    """Twice the gradient has cosine 1 and factor 2, its negative cosine -1; zeros have neither."""
    assert alignment(2 * EXACT, EXACT) == (pytest.approx(1), pytest.approx(2))
    assert alignment(-EXACT, EXACT) == (pytest.approx(-1), pytest.approx(-1))
    assert all(map(math.isnan, alignment(0 * EXACT, EXACT)))


def test_a_number_will_do_for_a_scalar():
    """A loss may be a Python float; an array of one element may not."""
    assert unusable(0.5, np.array(0.5), FLOAT64) == ""
    assert unusable(np.float64(0.5), np.array(0.5), FLOAT64) == ""
    assert "has shape (1,)" in unusable(np.array([0.5]), np.array(0.5), FLOAT64)
