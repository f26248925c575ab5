"""Activations by Keras name, value and derivative side by side.

Every function is generic in its arithmetic: float32, float64, longdouble, complex, and object arrays
of balls all go through the same line. A derivative is given the pre-activation `z` and the activated
value `y = value(z)` and is written in `y` where that is enough and loses no digit, since a backward pass
has kept it anyway: the classic mistake is to apply `1 - tanh(z)**2` to a `y` that is already `tanh(z)`.

At a kink each follows Keras on TensorFlow. Source: keras/src/activations/activations.py and
keras/src/backend/tensorflow/nn.py.
"""

from reference_impl.activations.kinks import relu
from reference_impl.activations.rows import softmax
from reference_impl.activations.smooth import sigmoid, softplus
from reference_impl.activations.table import (
    ACTIVATIONS,
    REFUSED,
    Activation,
    activation,
    activation_problems,
)

__all__ = [
    "ACTIVATIONS",
    "REFUSED",
    "Activation",
    "activation",
    "activation_problems",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
]
