"""What activations, losses, regularizers and optimizers are built from: signs, kinks and clips, generic in
their arithmetic.

At a kink each follows TensorFlow: |d| has the derivative 0 at 0, and max(d, 0) has 1 there.
"""

import operator

import numpy as np

from reference_impl.spec import Array

# keras.config.epsilon(): where Keras clips, and what it adds to a denominator.
EPSILON = 1e-7


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


def absolute(d: Array) -> Array:
    """|d|; at 0 the complex step passes nothing either."""
    return np.where(positive(d), d, np.where(positive(-d), -d, 0 * d))


def absolute_by_branch(z: Array) -> Array:
    """|z| as a part of something smooth: at 0 the complex step takes the branch z <= 0, as it does in the
    other parts.
    """
    return np.where(positive(z), z, -z)


def sign(d: Array) -> Array:
    """Its derivative: -1, 0 or 1."""
    zero = 0 * d
    return np.where(positive(d), zero + 1, zero) - np.where(positive(-d), zero + 1, zero)


def positive_part(d: Array) -> Array:
    """max(d, 0)."""
    return np.where(positive(d), d, 0 * d)


def negative_part(d: Array) -> Array:
    """min(d, 0)."""
    return np.where(positive(d), 0 * d, d)


def where_positive_part(dd: Array, d: Array) -> Array:
    """What flows back through max(d, 0): all of `dd` where d >= 0."""
    return np.where(positive(-d), 0 * dd, dd)


def clipped(p: Array, low: float = EPSILON, high: float = 1 - EPSILON) -> Array:
    """`p` within [low, high]."""
    above = np.where(positive(p - low), p, 0 * p + low)
    return np.where(positive(high - above), above, 0 * p + high)


def through_clip(dp: Array, p: Array, low: float = EPSILON, high: float = 1 - EPSILON) -> Array:
    """What flows back through the clip: nothing where `p` was clipped."""
    return np.where(positive(low - p) | positive(p - high), 0 * dp, dp)


def one_hot(labels: Array, classes: int) -> Array:
    """(..., K) with 1 at the label and 0 elsewhere, from labels (...)."""
    here = np.equal(labels[..., None], np.arange(classes)).astype(bool)
    zero = 0 * labels[..., None]
    return np.where(here, zero + 1, zero)


def largest(z: Array) -> Array:
    """Where the last axis is largest, as booleans (..., K): at several places where they are equal.

    Raises Undecided where two balls overlap.
    """
    top = z.max(axis=-1, keepdims=True)
    here = np.equal(z, top).astype(bool)
    if z.dtype != object:
        return here
    here |= np.frompyfunc(operator.is_, 2, 1)(z, top).astype(bool)  # no ball is equal to itself
    if not np.all(here | np.greater(top, z).astype(bool)):
        raise Undecided("which of two balls is larger is not known at this precision")
    return here
