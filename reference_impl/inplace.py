"""The activations written where they are told, so that the fast form allocates nothing at a step.

`reference_impl/activations/` is the definition. Here sigmoid and tanh, the pair of Keras's LSTM, take
an `out` array; every other name of ACTIVATIONS goes through its definition and is copied. All of them act
on (…, H, B): where entries depend on each other, it is those along H.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from reference_impl.activations import Activation, activation
from reference_impl.spec import Array, Named


@dataclass(frozen=True)
class InPlace:
    """`value(z, out)` writes y, `slope(z, y, out)` the elementwise dy/dz; `out` does not overlap its source.

    `of_minus`, where there is one, is `value` from -z: whoever makes z makes -z for nothing.
    Softmax has no elementwise slope: there `slope` writes 1, and `couple(dy, y)` is the product with
    the Jacobian that is left to do; for all others `couple` is None. Where `reads_z` is not set, `slope`
    does not look at z.
    """

    value: Callable[[Array, Array], object]
    slope: Callable[[Array, Array, Array], object]
    of_minus: Callable[[Array, Array], object] | None = None
    couple: Callable[[Array, Array], Array] | None = None
    reads_z: bool = False


# In place of a z that is not kept: any arithmetic with it would fail.
UNREAD = np.empty((0, 0))


@cache
def in_place(name: str | Named | None, dtype: np.dtype) -> InPlace:
    """The activation by Keras name, as `activations.activation`, on arrays of `dtype`."""
    one = np.ones((), dtype)  # an array is ready to be used, a Python number is converted at every call

    def sigmoid(z: Array, out: Array) -> None:
        np.negative(z, out)
        sigmoid_of_minus(out, out)

    def sigmoid_of_minus(z: Array, out: Array) -> None:
        """1 / (1 + exp(z)); exp(z) = inf gives 0, the right limit.

        Not (1 + tanh(-z/2)) / 2, which is faster: its error is absolute, so that a nearly closed gate, and
        with it perhaps the whole gradient, keeps no digit.
        """
        np.exp(z, out)
        np.add(out, one, out)
        np.divide(one, out, out)  # half the time of np.reciprocal

    def d_sigmoid(z: Array, y: Array, out: Array) -> None:
        """y * (1 - y)."""
        np.subtract(one, y, out)
        np.multiply(out, y, out)

    def d_tanh(z: Array, y: Array, out: Array) -> None:
        """1 - y**2."""
        np.multiply(y, y, out)
        np.subtract(one, out, out)

    if name == "sigmoid":
        return InPlace(sigmoid, d_sigmoid, sigmoid_of_minus)
    if name == "tanh":
        return InPlace(np.tanh, d_tanh)
    return by_copy(activation(name))


def by_copy(defined: Activation) -> InPlace:
    """Any activation, through its definition, whose last axis is H."""

    def value(z: Array, out: Array) -> None:
        out.swapaxes(-1, -2)[...] = defined.value(z.swapaxes(-1, -2))

    def slope(z: Array, y: Array, out: Array) -> None:
        out[...] = defined.backward(np.ones_like(y), z, y)

    def one(z: Array, y: Array, out: Array) -> None:
        out[...] = 1

    def couple(dy: Array, y: Array) -> Array:
        return defined.backward(dy.swapaxes(-1, -2), UNREAD, y.swapaxes(-1, -2)).swapaxes(-1, -2)

    if defined.couples:
        return InPlace(value, one, couple=couple)
    return InPlace(value, slope, reads_z=defined.reads_z)
