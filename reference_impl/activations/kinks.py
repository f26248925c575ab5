"""Activations of several pieces, value and derivative side by side. At a kink each follows Keras."""

import numpy as np

from reference_impl.arithmetic import absolute, negative_part, positive
from reference_impl.spec import Array


def relu(
    z: Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    if max_value is None and threshold == 0:
        return np.where(positive(z), z, negative_slope * z)
    y = np.where(positive(z - threshold), z, 0 * z)
    if max_value is not None:
        y = np.where(positive(y - max_value), 0 * z + max_value, np.where(positive(y), y, 0 * z))
    return y if negative_slope == 0 else y - negative_slope * relu(threshold - z)


def d_relu(
    dy: Array, z: Array, y: Array, negative_slope: float, max_value: float | None, threshold: float
) -> Array:
    passes = positive(z - threshold)
    if max_value is not None:
        passes &= ~positive(z - max_value) & ~positive(-z)
    if max_value == 6 and threshold == 0:  # Keras goes another way here, on which nothing passes at 6
        passes &= positive(6 - z)
    if max_value is None and threshold == 0:  # and here the slope holds at 0
        return np.where(passes, dy, negative_slope * dy)
    return np.where(passes, dy, 0 * dy) + np.where(positive(threshold - z), negative_slope * dy, 0 * dy)


def leaky_relu(z: Array, negative_slope: float) -> Array:
    return np.where(positive(z), z, negative_slope * z)


def d_leaky_relu(dy: Array, z: Array, y: Array, negative_slope: float) -> Array:
    return np.where(positive(z), dy, negative_slope * dy)


def relu6(z: Array) -> Array:
    return relu(z, max_value=6)


def d_relu6(dy: Array, z: Array, y: Array) -> Array:
    return np.where(positive(y) & positive(6 - y), dy, 0 * dy)


def elu(z: Array, alpha: float) -> Array:
    return np.where(positive(z), z, alpha * np.expm1(negative_part(z)))


def d_elu(dy: Array, z: Array, y: Array, alpha: float) -> Array:
    return np.where(positive(z), dy, dy * alpha * np.exp(negative_part(z)))


# Chosen so that mean 0 and variance 1 are a fixed point of the layers (Klambauer et al. 2017).
SELU, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def selu(z: Array) -> Array:
    return SELU * np.where(positive(z), z, SELU_ALPHA * np.expm1(negative_part(z)))


def d_selu(dy: Array, z: Array, y: Array) -> Array:
    return SELU * np.where(positive(-z), dy * SELU_ALPHA * np.exp(negative_part(z)), dy)


def celu(z: Array, alpha: float) -> Array:
    return relu(z) + alpha * np.expm1(negative_part(z) / alpha)


def d_celu(dy: Array, z: Array, y: Array, alpha: float) -> Array:
    return dy * np.exp(negative_part(z) / alpha)


def hard_sigmoid(z: Array) -> Array:
    return relu6(z + 3) / 6


def d_hard_sigmoid(dy: Array, z: Array, y: Array) -> Array:
    return np.where(positive(y) & positive(1 - y), dy / 6, 0 * dy)


def hard_silu(z: Array) -> Array:
    return z * hard_sigmoid(z)


def d_hard_silu(dy: Array, z: Array, y: Array) -> Array:
    return dy * hard_sigmoid(z) + d_hard_sigmoid(dy * z, z, hard_sigmoid(z))


def hard_tanh(z: Array) -> Array:
    return np.where(positive(z - 1), 0 * z + 1, np.where(positive(-1 - z), 0 * z - 1, z))


def d_hard_tanh(dy: Array, z: Array, y: Array) -> Array:
    return np.where(positive(z - 1) | positive(-1 - z), 0 * dy, dy)


def hard_shrink(z: Array, threshold: float) -> Array:
    return np.where(positive(absolute(z) - threshold), z, 0 * z)


def d_hard_shrink(dy: Array, z: Array, y: Array, threshold: float) -> Array:
    return np.where(positive(absolute(z) - threshold), dy, 0 * dy)


def soft_shrink(z: Array, threshold: float) -> Array:
    below = np.where(positive(-threshold - z), z + threshold, 0 * z)
    return np.where(positive(z - threshold), z - threshold, below)


def d_soft_shrink(dy: Array, z: Array, y: Array, threshold: float) -> Array:
    return np.where(positive(z - threshold) | positive(-threshold - z), dy, 0 * dy)


def sparse_plus(z: Array) -> Array:
    return np.where(positive(z + 1), np.where(positive(1 - z), (z + 1) * (z + 1) / 4, z), 0 * z)


def d_sparse_plus(dy: Array, z: Array, y: Array) -> Array:
    return dy * sparse_sigmoid(z)


def sparse_sigmoid(z: Array) -> Array:
    return np.where(positive(z + 1), np.where(positive(1 - z), (z + 1) / 2, 0 * z + 1), 0 * z)


def d_sparse_sigmoid(dy: Array, z: Array, y: Array) -> Array:
    return np.where(positive(z + 1) & positive(1 - z), dy / 2, 0 * dy)


def threshold(z: Array, threshold: float, default_value: float) -> Array:
    return np.where(positive(z - threshold), z, 0 * z + default_value)


def d_threshold(dy: Array, z: Array, y: Array, threshold: float, default_value: float) -> Array:
    return np.where(positive(z - threshold), dy, 0 * dy)
