"""Activations by name as functions of Keras, in the dtype of the model.

TensorFlow rounds the constants of two of them to float32 whatever the dtype (docs/findings.md). In float64
these are written here once more, of the same operations, with their constants in float64.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from reference_impl.activations import ACTIVATIONS
from reference_impl.arguments import bound
from reference_impl.spec import Named
from tf_oracle.start import load


def activation(value: str | Named | None, dtype: str) -> Any:
    """What a Keras layer takes as `activation`: a name as it is, a function where it has arguments."""
    if value is None:
        return None
    named = value if isinstance(value, Named) else Named(value)
    if dtype == "float64" and named.name in IN_FLOAT64 and value != "relu":
        return partial(IN_FLOAT64[named.name], **bound(named, ACTIVATIONS))
    if not named.given:
        return value
    return partial(getattr(load().keras.activations, named.name), **named.arguments)


def leaky_relu(x: Any, negative_slope: float) -> Any:
    """As `tf.nn.leaky_relu`, whose slope is an attribute of the operation and so a float32."""
    tf = load().tf
    return tf.where(x > 0, x, tf.constant(negative_slope, x.dtype) * x)


def gelu(x: Any, approximate: bool) -> Any:
    """As `tf.nn.gelu`, which casts a Python float to `x.dtype`, and on the way there to float32."""
    tf = load().tf
    if approximate:
        return 0.5 * x * (1 + tf.tanh(0.7978845608028654 * (x + tf.constant(0.044715, x.dtype) * x**3)))
    return 0.5 * x * tf.math.erfc(-x * tf.constant(0.7071067811865476, x.dtype))


def relu(x: Any, negative_slope: float, max_value: float | None, threshold: float) -> Any:
    """As `keras.activations.relu`, which hands a mere slope on to leaky_relu."""
    if negative_slope != 0 and max_value is None and threshold == 0:
        return leaky_relu(x, negative_slope)
    return load().keras.activations.relu(x, negative_slope, max_value, threshold)


IN_FLOAT64: dict[str, Callable[..., Any]] = {"leaky_relu": leaky_relu, "gelu": gelu, "relu": relu}
