"""Losses of probabilities: crossentropies and divergences.

`y` are probabilities, which Keras clips before the logarithm, and `z` logits. A crossentropy of logits
is exact where one of probabilities is not.
"""

import numpy as np

from reference_impl.activations import sigmoid, softmax
from reference_impl.arithmetic import (
    EPSILON,
    absolute_by_branch,
    clipped,
    one_hot,
    positive_part,
    through_clip,
)
from reference_impl.spec import Array


def smoothed(y_true: Array, label_smoothing: float, classes: int) -> Array:
    """Labels moved towards equal shares of the classes."""
    return y_true * (1 - label_smoothing) + label_smoothing / classes


# ---- binary: each output by itself


def binary_crossentropy(y_true: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    t, p = smoothed(y_true, label_smoothing, 2), clipped(y)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=-1) / y.shape[-1]


def d_binary_crossentropy(y_true: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    t, p = smoothed(y_true, label_smoothing, 2), clipped(y)
    return through_clip(-(t / p - (1 - t) / (1 - p)), y) / y.shape[-1]


def sigmoid_crossentropy(y_true: Array, z: Array, label_smoothing: float = 0.0) -> Array:
    t = smoothed(y_true, label_smoothing, 2)
    return (positive_part(z) - z * t + np.log1p(np.exp(-absolute_by_branch(z)))).sum(axis=-1) / z.shape[-1]


def d_sigmoid_crossentropy(y_true: Array, z: Array, label_smoothing: float = 0.0) -> Array:
    return (sigmoid(z) - smoothed(y_true, label_smoothing, 2)) / z.shape[-1]


# ---- categorical: the outputs of a row are one distribution


def categorical_crossentropy(y_true: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    t = smoothed(y_true, label_smoothing, y.shape[-1])
    return -(t * np.log(clipped(normalised(y)))).sum(axis=-1)


def d_categorical_crossentropy(y_true: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    t, q = smoothed(y_true, label_smoothing, y.shape[-1]), normalised(y)
    return through_normalised(through_clip(-t / clipped(q), q), y)


def softmax_crossentropy(y_true: Array, z: Array, label_smoothing: float = 0.0) -> Array:
    t, z = smoothed(y_true, label_smoothing, z.shape[-1]), z - z.max(axis=-1, keepdims=True)
    return (t * (np.log(np.exp(z).sum(axis=-1, keepdims=True)) - z)).sum(axis=-1)


def d_softmax_crossentropy(y_true: Array, z: Array, label_smoothing: float = 0.0) -> Array:
    return softmax(z) - smoothed(y_true, label_smoothing, z.shape[-1])


def normalised(y: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):  # an all-zero row is NaN, as it is in Keras
        return y / y.sum(axis=-1, keepdims=True)


def through_normalised(dq: Array, y: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (dq - (dq * normalised(y)).sum(axis=-1, keepdims=True)) / y.sum(axis=-1, keepdims=True)


# ---- the same with whole numbers for labels


def sparse_categorical_crossentropy(y_true: Array, y: Array, ignore_class: int | None) -> Array:
    t, p = labels(y_true, y, ignore_class), clipped(y)  # clipped first, then normalised
    return -(t * np.log(normalised(p))).sum(axis=-1)


def d_sparse_categorical_crossentropy(y_true: Array, y: Array, ignore_class: int | None) -> Array:
    t, p = labels(y_true, y, ignore_class), clipped(y)
    return through_clip(through_normalised(-t / normalised(p), p), y)


def sparse_softmax_crossentropy(y_true: Array, z: Array, ignore_class: int | None) -> Array:
    return softmax_crossentropy(labels(y_true, z, ignore_class), z)


def d_sparse_softmax_crossentropy(y_true: Array, z: Array, ignore_class: int | None) -> Array:
    t = labels(y_true, z, ignore_class)
    return softmax(z) * t.sum(axis=-1, keepdims=True) - t


def labels(y_true: Array, y: Array, ignore_class: int | None) -> Array:
    """The labels (...) as one-hot rows (..., K); a row of zeros for the class to ignore."""
    t, counted = one_hot(y_true, y.shape[-1]), not_ignored(y_true, ignore_class)
    return t if counted is None else np.where(counted[..., None], t, 0 * t)


def not_ignored(y_true: Array, ignore_class: int | None) -> Array | None:
    """Which samples count; None for all."""
    return None if ignore_class is None else ~np.equal(y_true, ignore_class).astype(bool)


# ---- others


def kl_divergence(y_true: Array, y: Array) -> Array:
    t, p = clipped(y_true, EPSILON, 1), clipped(y, EPSILON, 1)
    return (t * np.log(t / p)).sum(axis=-1)


def d_kl_divergence(y_true: Array, y: Array) -> Array:
    t, p = clipped(y_true, EPSILON, 1), clipped(y, EPSILON, 1)
    return through_clip(-t / p, y, EPSILON, 1)


def categorical_generalized_cross_entropy(y_true: Array, y: Array, q: float) -> Array:
    p = (one_hot(y_true, y.shape[-1]) * y).sum(axis=-1)
    return (1 - p**q) / q


def d_categorical_generalized_cross_entropy(y_true: Array, y: Array, q: float) -> Array:
    t = one_hot(y_true, y.shape[-1])
    p = (t * y).sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # at p = 0 it is infinite
        return -t * p ** (q - 1)
