"""The activations written where they are told, so that the fast form allocates nothing at a step.

`reference_impl/activations.py` is the definition. Here sigmoid and tanh, the pair of Keras's LSTM, take
an `out` array; every other name of ACTIVATIONS goes through its definition and is copied.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference_impl.activations import Activation, activation
from reference_impl.spec import Array


@dataclass(frozen=True)
class InPlace:
    """`value(z, out)` writes y, `slope(y, out)` the elementwise dy/dz; `out` does not overlap its source.

    Softmax has no elementwise slope: there `slope` writes 1, and `couple(dy, y)` is the product with
    the Jacobian that is left to do; for all others `couple` is None.
    """

    value: Callable[[Array, Array], object]
    slope: Callable[[Array, Array], object]
    couple: Callable[[Array, Array], Array] | None = None


def sigmoid(z: Array, out: Array) -> None:
    """1 / (1 + exp(-z)); exp(-z) = inf gives 0, the right limit.

    Not (1 + tanh(z/2)) / 2, which is faster: its error is absolute, so that a nearly closed gate, and
    with it perhaps the whole gradient, keeps no digit.
    """
    np.negative(z, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.divide(1, out, out=out)  # half the time of np.reciprocal


def d_sigmoid(y: Array, out: Array) -> None:
    """y * (1 - y)."""
    np.subtract(1, y, out=out)
    np.multiply(out, y, out=out)


def d_tanh(y: Array, out: Array) -> None:
    """1 - y**2."""
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)


IN_PLACE = {"sigmoid": InPlace(sigmoid, d_sigmoid), "tanh": InPlace(np.tanh, d_tanh)}


def in_place(name: str | None) -> InPlace:
    """The activation by Keras name, as `activations.activation`."""
    return IN_PLACE[name] if name in IN_PLACE else by_copy(activation(name), coupled=name == "softmax")


def by_copy(defined: Activation, coupled: bool) -> InPlace:
    """Any activation, through its definition."""

    def value(z: Array, out: Array) -> None:
        out[...] = defined.value(z)

    def slope(y: Array, out: Array) -> None:
        out[...] = 1 if coupled else defined.backward(np.ones_like(y), y)

    return InPlace(value, slope, defined.backward if coupled else None)
