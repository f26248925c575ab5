"""Activations over the last axis, the only one that they may be given; value and derivative side by side."""

import numpy as np

from reference_impl.activations.kinks import relu
from reference_impl.arithmetic import positive
from reference_impl.spec import Array


def softmax(z: Array, axis: int = -1) -> Array:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def d_softmax(dy: Array, z: Array, y: Array, axis: int = -1) -> Array:
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def log_softmax(z: Array, axis: int = -1) -> Array:
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def d_log_softmax(dy: Array, z: Array, y: Array, axis: int = -1) -> Array:
    return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)


def sparsemax(z: Array, axis: int = -1) -> Array:
    """max(z - tau, 0), with tau so that it sums to 1 (Martins and Astudillo 2016, algorithm 1). Not what
    Keras computes, which gets tau wrong (docs/findings.md).
    """
    numbers = z.astype(float) if z.dtype == object else z.real
    z_sorted = np.take_along_axis(z, np.argsort(-numbers, axis=-1), axis=-1)
    place = np.arange(1, z.shape[-1] + 1, dtype=numbers.dtype)
    above = positive(1 + place * z_sorted - np.cumsum(z_sorted, axis=-1))
    sum_above = np.where(above, z_sorted, 0 * z_sorted).sum(axis=-1, keepdims=True)
    tau = (sum_above - 1) / np.where(above, 1 + 0 * numbers, 0 * numbers).sum(axis=-1, keepdims=True)
    return relu(z - tau)


def d_sparsemax(dy: Array, z: Array, y: Array, axis: int = -1) -> Array:
    above = positive(y)
    k = above.sum(axis=-1, keepdims=True)  # 0 where y is NaN
    mean = np.where(above, dy, 0 * dy).sum(axis=-1, keepdims=True) / np.maximum(k, 1).astype(dy.dtype)
    return np.where(above & (k > 1), dy - mean, 0 * (dy + y))  # one alone is always 1; NaN stays NaN
