"""Which product of known values a number is, is found or not said."""

import numpy as np
import pytest

from tapecheck.search.products import Factors


def known():
    """Values of 30 steps, as an LSTM may have them, with nothing in common."""
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(0.1, 0.9, 30) for name in ("i", "f", "o")}
    values |= {name: rng.uniform(-0.9, 0.9, 30) for name in ("g", "phi_c", "c", "c_prev", "h", "h_prev")}
    return values | {"sigma": lambda v: 1 / (1 + np.exp(-v)), "phi": np.tanh, "B": 3, "T": 5}


VALUES = known()
BASE = np.random.default_rng(1).standard_normal(30)


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1.0, ""),
        (-1.0, " * -1"),
        (0.5, " / 2"),
        (0.1234567, " * 0.1234567"),
        (VALUES["f"], " * f"),
        (1 / VALUES["c_prev"], " / c_prev"),
        (1 - VALUES["g"] ** 2, " * (1 - g * g)"),
        (np.tanh(VALUES["g"]), " * phi(g)"),
    ],
)
def test_a_factor_is_found(factor, said):
    """The fewest values that give it, and nothing else."""
    assert Factors(VALUES).products(BASE * factor, BASE, most=2) == [said]


def test_two_factors_are_found_in_any_order():
    """f * (1 - f) in place of i is said with both."""
    factor = VALUES["f"] * (1 - VALUES["f"])
    (said,) = Factors(VALUES).products(BASE * factor, BASE, most=2)
    np.testing.assert_allclose(eval(f"1{said}", {}, dict(VALUES)), factor)
    assert Factors(VALUES).products(BASE * factor, BASE, most=1) == []


def test_a_number_that_may_be_a_size_is_said_as_both():
    """1/15 is 1/(B * T) where B = 3 and T = 5."""
    assert Factors(VALUES).products(BASE / 15, BASE, most=0) == [" / 15", " / (B * T)"]


def test_what_is_no_product_is_not_said():
    """A sum, noise, NaN, and a handful of numbers that anything would fit."""
    factors = Factors(VALUES)
    noise = np.random.default_rng(2).standard_normal(30)
    for value in (BASE * (1 + VALUES["f"] * VALUES["c"]), noise, BASE * np.nan):
        assert factors.products(value, BASE, most=2) == []
    few = np.where(np.arange(30) < 5, BASE, 0)
    assert factors.products(few * VALUES["f"], few, most=2) == []


def test_signs_count():
    """|c| is not c."""
    assert Factors(VALUES).products(BASE * np.abs(VALUES["c"]), BASE, most=2) == []
