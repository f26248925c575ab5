"""Balls: products that enclose the true ones, and midpoints with all their digits."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq

from tapecheck.balls import WORTH, Balls, middles, to_balls

RNG = np.random.default_rng(0)
SHAPES = {
    "small": ((2, 3), (3, 4)),
    "large": ((7, 11), (11, 13)),
    "rows of steps": ((5, 4, 11), (11, 13)),
    "a matrix for each step": ((5, 4, 11), (5, 11, 13)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_products_enclose_the_true_one(name):
    """Every entry's ball holds the product in fractions, and is no wider than its digits ask for."""
    a, b = (RNG.standard_normal(shape) * 10.0 ** RNG.integers(-3, 4, shape) for shape in SHAPES[name])
    with ctx.workprec(128):
        third = to_balls(a) / 3
        found = third @ to_balls(b)
    fraction = np.frompyfunc(Fraction, 1, 1)
    true = np.matmul(fraction(a) / 3, fraction(b))
    assert found.shape == true.shape
    assert isinstance(found, Balls)
    with ctx.workprec(512):
        for ball, exact in zip(found.ravel(), true.ravel(), strict=True):
            assert ball.contains(fmpq(exact.numerator, exact.denominator))
            assert float(ball.rad()) < 1e-27


def test_a_plain_array_on_either_side():
    """Floats times balls are balls, with flint's product too."""
    a, b = RNG.standard_normal((2, 9, 9))
    assert a.size * len(b) > WORTH
    for found in (a @ to_balls(b), to_balls(a) @ b):
        assert isinstance(found, Balls)
        np.testing.assert_allclose(found.astype(float), a @ b, rtol=1e-12)


def test_midpoints_keep_more_than_float64():
    """A third, rounded to longdouble, is nearer to a third than any float64 (where longdouble is wider)."""
    with ctx.workprec(128):
        third = middles({"w": np.array([arb(1) / 3], dtype=object)})["w"][0]
    assert abs(third * 3 - 1) <= np.finfo(np.longdouble).eps
