"""Crossentropies that count easy samples less: a factor (1 - probability of the right answer)**gamma.

Source: Lin et al., Focal Loss for Dense Object Detection (2017).
"""

import numpy as np

from reference_impl.activations import sigmoid, softmax
from reference_impl.arithmetic import absolute_by_branch, clipped, positive_part, through_clip
from reference_impl.losses.crossentropy import normalised, smoothed, through_normalised
from reference_impl.spec import Array

Alpha = float | tuple[float, ...]


def binary_focal_crossentropy(
    y_true: Array,
    y: Array,
    apply_class_balancing: bool,
    alpha: float,
    gamma: float,
    label_smoothing: float,
) -> Array:
    t, p = smoothed(y_true, label_smoothing, 2), clipped(y)
    crossentropy = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    balance = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1
    return (balance * wrong(t, y) ** gamma * crossentropy).sum(axis=-1) / y.shape[-1]


def d_binary_focal_crossentropy(
    y_true: Array,
    y: Array,
    apply_class_balancing: bool,
    alpha: float,
    gamma: float,
    label_smoothing: float,
) -> Array:
    t, p = smoothed(y_true, label_smoothing, 2), clipped(y)
    crossentropy = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    d_crossentropy = through_clip(-(t / p - (1 - t) / (1 - p)), y)
    d_focus = gamma * wrong(t, y) ** (gamma - 1) * (1 - 2 * t)
    balance = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1
    return balance * (d_focus * crossentropy + wrong(t, y) ** gamma * d_crossentropy) / y.shape[-1]


def sigmoid_focal_crossentropy(
    y_true: Array,
    z: Array,
    apply_class_balancing: bool,
    alpha: float,
    gamma: float,
    label_smoothing: float,
) -> Array:
    t = smoothed(y_true, label_smoothing, 2)
    crossentropy = positive_part(z) - z * t + np.log1p(np.exp(-absolute_by_branch(z)))
    balance = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1
    return (balance * wrong(t, sigmoid(z)) ** gamma * crossentropy).sum(axis=-1) / z.shape[-1]


def d_sigmoid_focal_crossentropy(
    y_true: Array,
    z: Array,
    apply_class_balancing: bool,
    alpha: float,
    gamma: float,
    label_smoothing: float,
) -> Array:
    t, p = smoothed(y_true, label_smoothing, 2), sigmoid(z)
    crossentropy = positive_part(z) - z * t + np.log1p(np.exp(-absolute_by_branch(z)))
    d_focus = gamma * wrong(t, p) ** (gamma - 1) * (1 - 2 * t) * p * (1 - p)
    balance = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1
    return balance * (d_focus * crossentropy + wrong(t, p) ** gamma * (p - t)) / z.shape[-1]


def wrong(t: Array, p: Array) -> Array:
    """The probability given to the other answer."""
    return 1 - (t * p + (1 - t) * (1 - p))


def categorical_focal_crossentropy(
    y_true: Array, y: Array, alpha: Alpha, gamma: float, label_smoothing: float
) -> Array:
    t, p = smoothed(y_true, label_smoothing, y.shape[-1]), clipped(normalised(y))
    return -(np.asarray(alpha, y.dtype) * (1 - p) ** gamma * t * np.log(p)).sum(axis=-1)


def d_categorical_focal_crossentropy(
    y_true: Array, y: Array, alpha: Alpha, gamma: float, label_smoothing: float
) -> Array:
    t, q = smoothed(y_true, label_smoothing, y.shape[-1]), normalised(y)
    p = clipped(q)
    d_p = gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p
    return through_normalised(through_clip(np.asarray(alpha, y.dtype) * t * d_p, q), y)


def softmax_focal_crossentropy(
    y_true: Array, z: Array, alpha: Alpha, gamma: float, label_smoothing: float
) -> Array:
    return categorical_focal_crossentropy(y_true, softmax(z), alpha, gamma, label_smoothing)


def d_softmax_focal_crossentropy(
    y_true: Array, z: Array, alpha: Alpha, gamma: float, label_smoothing: float
) -> Array:
    y = softmax(z)
    dy = d_categorical_focal_crossentropy(y_true, y, alpha, gamma, label_smoothing)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
