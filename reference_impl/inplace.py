"""The activations written where they are told, so that the fast form allocates nothing at a step.

`reference_impl/activations/` is the definition. Here sigmoid and tanh, the pair of Keras's LSTM, take
an `out` array; every other name of ACTIVATIONS goes through its definition and is copied.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference_impl.activations import Activation, activation
from reference_impl.spec import Array, Named


@dataclass(frozen=True)
class InPlace:
    """`value(z, out)` writes y, `slope(z, y, out)` the elementwise dy/dz; `out` does not overlap its source.

    Softmax has no elementwise slope: there `slope` writes 1, and `couple(dy, y)` is the product with
    the Jacobian that is left to do; for all others `couple` is None. Where `reads_z` is not set, `slope`
    does not look at z.
    """

    value: Callable[[Array, Array], object]
    slope: Callable[[Array, Array, Array], object]
    couple: Callable[[Array, Array], Array] | None = None
    reads_z: bool = False


def sigmoid(z: Array, out: Array) -> None:
    """1 / (1 + exp(-z)); exp(-z) = inf gives 0, the right limit.

    Not (1 + tanh(z/2)) / 2, which is faster: its error is absolute, so that a nearly closed gate, and
    with it perhaps the whole gradient, keeps no digit.
    """
    np.negative(z, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.divide(1, out, out=out)  # half the time of np.reciprocal


def d_sigmoid(z: Array, y: Array, out: Array) -> None:
    """y * (1 - y)."""
    np.subtract(1, y, out=out)
    np.multiply(out, y, out=out)


def d_tanh(z: Array, y: Array, out: Array) -> None:
    """1 - y**2."""
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)


# In place of a z that is not kept: any arithmetic with it would fail.
UNREAD = np.empty((0, 0))

IN_PLACE: dict[object, InPlace] = {"sigmoid": InPlace(sigmoid, d_sigmoid), "tanh": InPlace(np.tanh, d_tanh)}


def in_place(name: str | Named | None) -> InPlace:
    """The activation by Keras name, as `activations.activation`."""
    return IN_PLACE[name] if name in IN_PLACE else by_copy(activation(name))


def by_copy(defined: Activation) -> InPlace:
    """Any activation, through its definition."""

    def value(z: Array, out: Array) -> None:
        out[...] = defined.value(z)

    def slope(z: Array, y: Array, out: Array) -> None:
        out[...] = defined.backward(np.ones_like(y), z, y)

    def one(z: Array, y: Array, out: Array) -> None:
        out[...] = 1

    def couple(dy: Array, y: Array) -> Array:
        return defined.backward(dy, UNREAD, y)

    return InPlace(value, one, couple) if defined.couples else InPlace(value, slope, None, defined.reads_z)
