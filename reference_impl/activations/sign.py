"""Which side of a kink a number is on, in any arithmetic."""

import numpy as np

from reference_impl.spec import Array


class Undecided(ArithmeticError):
    """A ball contains zero, so its sign is not known at this precision."""


def positive(z: Array) -> Array:
    """Elementwise z > 0 as booleans, in any arithmetic: by the real part of a complex number, and
    only where a ball decides it. Raises Undecided for a ball that contains zero and more.
    """
    if z.dtype != object:
        return np.greater(z.real, 0)
    above = np.greater(z, 0).astype(bool)
    if not np.all(above | np.less_equal(z, 0).astype(bool)):
        raise Undecided("the sign of a ball is not known at this precision")
    return above


def absolute(z: Array) -> Array:
    """|z|."""
    return np.where(positive(z), z, -z)


def negative_part(z: Array) -> Array:
    """min(z, 0)."""
    return np.where(positive(z), 0 * z, z)
