"""Functions that NumPy lacks, or in which the obvious formula loses digits, generic in their arithmetic."""

import math
import operator
from typing import Any

import numpy as np

from reference_impl.spec import Array

PI = "3.14159265358979323846264338327950288"
# Where an error function in extended precision goes over from its series to its continued fraction, and
# how many terms of each reach the last digit there.
GOES_OVER, TERMS, FRACTIONS = 1.5, 32, 130


def normal_cdf(z: Array) -> Array:
    """The standard normal distribution function, to full relative precision in both tails."""
    if z.dtype == np.float32:  # the rounding of z / sqrt(2) would cost the tail some z**2 eps
        return normal_cdf(z.astype(float)).astype(z.dtype)
    return erfc(-z / np.sqrt(2 * one(z))) / 2


def normal_density(z: Array) -> Array:
    """Its derivative."""
    return np.exp(-z * z / 2) / np.sqrt(2 * pi(z))


def erfc(z: Array) -> Array:
    """The complementary error function.

    Of a number that is moved by a complex step to first order in the step, whose square is below every digit.
    """
    if z.dtype == object:
        return np.frompyfunc(operator.methodcaller("erfc"), 1, 1)(z)
    if z.real is not z:
        slope = -2 / np.sqrt(pi(z)) * np.exp(-z.real * z.real)
        return erfc(z.real) + slope * (z - z.real)
    if z.dtype == np.longdouble:
        return erfc_of_longdouble(z)
    return np.frompyfunc(math.erfc, 1, 1)(z).astype(z.dtype)


def erfc_of_longdouble(z: Array) -> Array:
    """erf(x) = 2x exp(-x**2) / sqrt(pi) * (1 + 2x**2 / 3 + (2x**2)**2 / (3 * 5) + ...) near zero, and far
    out erfc(x) = exp(-x**2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / ...))).

    Every term of either is positive. Source: Abramowitz and Stegun, 7.1.6 and 7.1.14.
    """
    x = np.abs(z)
    near = np.minimum(x, GOES_OVER)
    term = total = np.ones_like(x)
    for n in range(1, TERMS):
        term = term * 2 * near * near / (2 * n + 1)
        total = total + term
    far = fraction = np.maximum(x, GOES_OVER)
    for n in reversed(range(1, FRACTIONS)):
        fraction = far + n / fraction / 2
    inside = 1 - 2 * near * np.exp(-near * near) * total / np.sqrt(pi(z))
    beyond = np.exp(-far * far) / fraction / np.sqrt(pi(z))
    of_x = np.where(x < GOES_OVER, inside, beyond)
    return np.where(z < 0, 2 - of_x, of_x)


def one(like: Array) -> Any:
    """1 in the arithmetic of an array."""
    return type(like.flat[0])(1) if like.dtype == object else like.real.dtype.type(1)


def pi(like: Array) -> Any:
    """The number in the arithmetic of an array."""
    return type(like.flat[0]).pi() if like.dtype == object else like.real.dtype.type(PI)


def less_tanh(z: Array, levels: int = 10) -> Array:
    """z - tanh(z) for |z| < 1, where the difference would cancel: z * q / (1 + q) of the continued fraction
    tanh(z) = z / (1 + q), q = z**2 / (3 + z**2 / (5 + z**2 / ...)).

    Source: Abramowitz and Stegun, 4.5.70. So many levels reach the last digit of an extended float.
    """
    square = z * z
    q = 0 * z
    for odd in range(2 * levels + 1, 1, -2):
        q = square / (odd + q)
    return z * q / (1 + q)
