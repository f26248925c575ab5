"""Activations by Keras name, value and derivative side by side.

Every function is generic in its arithmetic: float32, float64, longdouble, complex, and object arrays
of balls all go through the same line. A derivative is given the pre-activation `z` and the activated
value `y = value(z)` and is written in `y` wherever that is enough, since a backward pass has kept it
anyway: the classic mistake is to apply `1 - tanh(z)**2` to a `y` that is already `tanh(z)`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference_impl.spec import Array, Entry, Named, look_up


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


@dataclass(frozen=True)
class Activation(Entry):
    """`value(z)` is y, shape as z. `backward(dy, z, y)` is dz = dy * dy/dz, shape as y.

    Where `couples` is set, entries of the last axis depend on each other and `backward` is the product
    with the Jacobian; for all others it is a factor. Where `reads_z` is not set, `backward` is written in
    y alone, and whoever calls it need not have kept z.
    """

    value: Callable[..., Array]
    backward: Callable[..., Array]
    couples: bool = False
    reads_z: bool = False


def linear(z: Array) -> Array:
    return z


def d_linear(dy: Array, z: Array, y: Array) -> Array:
    return dy


def relu(z: Array) -> Array:
    return np.where(positive(z), z, 0 * z)


def d_relu(dy: Array, z: Array, y: Array) -> Array:
    return np.where(positive(y), dy, 0 * dy)


def tanh(z: Array) -> Array:
    return np.tanh(z)


def d_tanh(dy: Array, z: Array, y: Array) -> Array:
    return dy * (1 - y * y)


def sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-z) = inf gives 0, which is the right limit
        return 1 / (1 + np.exp(-z))


def d_sigmoid(dy: Array, z: Array, y: Array) -> Array:
    return dy * y * (1 - y)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def d_softmax(dy: Array, z: Array, y: Array) -> Array:
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


ACTIVATIONS = {
    "linear": Activation(linear, d_linear),
    "relu": Activation(relu, d_relu),
    "tanh": Activation(tanh, d_tanh),
    "sigmoid": Activation(sigmoid, d_sigmoid),
    "softmax": Activation(softmax, d_softmax, couples=True),
}


def activation(name: str | Named | None) -> Activation:
    """The activation by Keras name; None is "linear", as in Keras."""
    return look_up(ACTIVATIONS, "linear" if name is None else name)
