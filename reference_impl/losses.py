"""Losses by Keras name, value and derivative side by side, generic in their arithmetic.

`value(y_true, y_pred)` is a scalar, `backward(y_true, y_pred)` its gradient with respect to `y_pred`
(shape as `y_pred`), both with Keras's default reduction "sum_over_batch_size": the mean over every
axis but the last is taken of a per-sample loss. The factor 1/N that this puts into the gradient is
what handwritten code most often leaves out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference_impl.activations import positive, relu, sigmoid, softmax
from reference_impl.spec import Array, Shape

# keras.config.epsilon(): Keras clips probabilities into [EPSILON, 1 - EPSILON] before the logarithm.
EPSILON = 1e-7


@dataclass(frozen=True)
class Targets:
    """What a loss takes as `y_true`: how to draw it, and what is wrong with a given one."""

    draw: Callable[[np.random.Generator, Shape], Array]
    problem: Callable[[Array], str | None]


def draw_one_hot(rng: np.random.Generator, shape: Shape) -> Array:
    return np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]


def not_probabilities(y: Array) -> str | None:
    outside = y[(y < 0) | (y > 1)]
    return f"holds {outside[0]!s}, but should be within [0, 1]" if outside.size else None


def not_distributions(y: Array) -> str | None:
    sums = y.sum(axis=-1)
    worst = sums.flat[np.argmax(np.abs(sums - 1))]
    if abs(worst - 1) > 8 * np.finfo(y.dtype).eps * y.shape[-1]:
        return f"has a row that sums to {worst!s}, but should sum to 1 over the last axis (one-hot labels)"
    return not_probabilities(y)


REAL = Targets(lambda rng, shape: rng.standard_normal(shape), lambda y: None)
BINARY = Targets(lambda rng, shape: rng.integers(2, size=shape).astype(float), not_probabilities)
ONE_HOT = Targets(draw_one_hot, not_distributions)


@dataclass(frozen=True)
class Loss:
    """A loss: `value` and its `backward` side by side, and the `targets` that it takes."""

    value: Callable[[Array, Array], Array]
    backward: Callable[[Array, Array], Array]
    targets: Targets = REAL


def samples(y: Array) -> int:
    """How many per-sample losses an output has: all axes but the last."""
    return y.size // y.shape[-1]


def inner_product(upstream: Array, y: Array) -> Array:
    return (upstream * y).sum()


def d_inner_product(upstream: Array, y: Array) -> Array:
    return upstream


def mean_squared_error(y_true: Array, y: Array) -> Array:
    return ((y - y_true) ** 2).sum() / y.size


def d_mean_squared_error(y_true: Array, y: Array) -> Array:
    return 2 * (y - y_true) / y.size


def mean_absolute_error(y_true: Array, y: Array) -> Array:
    return absolute(y - y_true).sum() / y.size


def d_mean_absolute_error(y_true: Array, y: Array) -> Array:
    return sign(y - y_true) / y.size


def binary_crossentropy(y_true: Array, y: Array) -> Array:
    p = clipped(y)
    return -(y_true * np.log(p) + (1 - y_true) * np.log(1 - p)).sum() / y.size


def d_binary_crossentropy(y_true: Array, y: Array) -> Array:
    p = clipped(y)
    return through_clip(-(y_true / p - (1 - y_true) / (1 - p)), y) / y.size


def categorical_crossentropy(y_true: Array, y: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):  # an all-zero row is NaN, as it is in Keras
        q = y / y.sum(axis=-1, keepdims=True)
    return -(y_true * np.log(clipped(q))).sum() / samples(y)


def d_categorical_crossentropy(y_true: Array, y: Array) -> Array:
    total = y.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        q = y / total
        dq = through_clip(-y_true / clipped(q), q)
        return (dq - (dq * q).sum(axis=-1, keepdims=True)) / total / samples(y)


def sigmoid_crossentropy(y_true: Array, z: Array) -> Array:
    return (relu(z) - z * y_true + np.log1p(np.exp(-absolute(z)))).sum() / z.size


def d_sigmoid_crossentropy(y_true: Array, z: Array) -> Array:
    return (sigmoid(z) - y_true) / z.size


def softmax_crossentropy(y_true: Array, z: Array) -> Array:
    z = z - z.max(axis=-1, keepdims=True)
    return (y_true * (np.log(np.exp(z).sum(axis=-1, keepdims=True)) - z)).sum() / samples(z)


def d_softmax_crossentropy(y_true: Array, z: Array) -> Array:
    return (softmax(z) - y_true) / samples(z)


def absolute(d: Array) -> Array:
    return np.where(positive(d), d, -d)


def sign(d: Array) -> Array:
    zero = 0 * d
    return np.where(positive(d), zero + 1, zero) - np.where(positive(-d), zero + 1, zero)


def clipped(p: Array) -> Array:
    above = np.where(positive(p - EPSILON), p, 0 * p + EPSILON)
    return np.where(positive(1 - EPSILON - above), above, 0 * p + (1 - EPSILON))


def through_clip(dp: Array, p: Array) -> Array:
    return np.where(positive(p - EPSILON) & positive(1 - EPSILON - p), dp, 0 * dp)


# None is the free upstream gradient: the loss is sum(y_true * y_pred), so `y_true` is dy itself.
LOSSES = {
    None: Loss(inner_product, d_inner_product),
    "mean_squared_error": Loss(mean_squared_error, d_mean_squared_error),
    "mean_absolute_error": Loss(mean_absolute_error, d_mean_absolute_error),
    "binary_crossentropy": Loss(binary_crossentropy, d_binary_crossentropy, BINARY),
    "categorical_crossentropy": Loss(categorical_crossentropy, d_categorical_crossentropy, ONE_HOT),
}

# A crossentropy on the very activation that it is made for: Keras computes it from the logits, which
# is exact where 1 - p is not (keras/src/backend/tensorflow/nn.py, `_get_logits`). These take the
# logits in place of `y_pred`, and their backward is dlogits.
FROM_LOGITS = {
    ("binary_crossentropy", "sigmoid"): Loss(sigmoid_crossentropy, d_sigmoid_crossentropy, BINARY),
    ("categorical_crossentropy", "softmax"): Loss(softmax_crossentropy, d_softmax_crossentropy, ONE_HOT),
}

# The two pairs that Keras 3 gets wrong: it takes any kept logits for those of the loss's own activation,
# so the loss is not that of the outputs (docs/findings.md). Refused, since nothing could be compared.
WRONG_LOGITS = {
    ("binary_crossentropy", "softmax"): "sigmoid",
    ("categorical_crossentropy", "sigmoid"): "softmax",
}
