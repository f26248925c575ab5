"""Ball arithmetic as NumPy arrays: python-flint's `arb`, which encloses the true value rigorously."""

from typing import Any

import numpy as np
from flint import arb, arb_mat

from reference_impl.spec import Array, Arrays

# Multiply-adds of a product from which on the matrices are worth being converted for it.
WORTH = 512


class Balls(np.ndarray):
    """An object array of balls, whose matrix products are flint's: a third of the time of ball by ball."""

    def sum(self, *arguments: Any, **named: Any) -> Any:
        """That of an array of objects: a sum over all axes is a ball."""
        found = super().sum(*arguments, **named)
        return found[()] if np.ndim(found) == 0 and isinstance(found, np.ndarray) else found

    def __matmul__(self, other: Any) -> Any:
        return product(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return product(other, self)


def product(a: Array, b: Array) -> Array:
    """`a @ b` of arrays (..., m, k) and (k, n)."""
    rows, (k, n) = a.size // a.shape[-1], b.shape[-2:]
    if b.ndim > 2 or a.ndim < 2 or rows * k * n < WORTH:
        found: Array = np.matmul(a.view(np.ndarray), b.view(np.ndarray))
    else:
        entries = arb_mat(rows, k, a.ravel().tolist()) * arb_mat(k, n, b.ravel().tolist())
        found = np.array(entries.entries(), object).reshape(*a.shape[:-1], n)
    return found.view(Balls)


def to_balls(array: Array) -> Array:
    """The same numbers as exact balls: every float is one."""
    found: Array = np.asarray(as_ball(array.astype(np.float64).astype(object)), object)
    return found.view(Balls)


as_ball = np.frompyfunc(arb, 1, 1)


def middles(balls: Arrays) -> Arrays:
    """The midpoints rounded to longdouble, at the precision of the balls."""
    return {name: to_longdouble(array) for name, array in balls.items()}


def to_longdouble(balls: Array) -> Array:
    """The midpoints of one array: the nearest float, and the nearest to what is left."""
    high, low = (np.asarray(part, np.longdouble) for part in high_and_low(balls))
    return np.asarray(high + low)


def _high_and_low(ball: arb) -> tuple[float, float]:
    high = float(ball)
    return high, float(ball - high)


high_and_low = np.frompyfunc(_high_and_low, 1, 2)
middle_and_radius = np.frompyfunc(lambda ball: (float(ball), float(ball.rad())), 1, 2)
