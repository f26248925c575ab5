"""Losses of a margin: zero, and without a gradient, where the answer is right by far enough."""

import numpy as np

from reference_impl.arithmetic import largest, positive_part, where_positive_part
from reference_impl.spec import Array


def hinge(y_true: Array, y: Array) -> Array:
    return positive_part(1 - signed(y_true) * y).sum(axis=-1) / y.shape[-1]


def d_hinge(y_true: Array, y: Array) -> Array:
    t = signed(y_true)
    return where_positive_part(-t, 1 - t * y) / y.shape[-1]


def squared_hinge(y_true: Array, y: Array) -> Array:
    return (positive_part(1 - signed(y_true) * y) ** 2).sum(axis=-1) / y.shape[-1]


def d_squared_hinge(y_true: Array, y: Array) -> Array:
    t = signed(y_true)
    return -2 * t * positive_part(1 - t * y) / y.shape[-1]


def categorical_hinge(y_true: Array, y: Array) -> Array:
    return positive_part(1 + (others(y_true, y)).max(axis=-1) - (y_true * y).sum(axis=-1))


def d_categorical_hinge(y_true: Array, y: Array) -> Array:
    rival = np.where(largest(others(y_true, y)), 0 * y + 1, 0 * y)  # (..., K)
    share = rival / rival.sum(axis=-1, keepdims=True)  # equal ones share
    margin = 1 + others(y_true, y).max(axis=-1, keepdims=True) - (y_true * y).sum(axis=-1, keepdims=True)
    return where_positive_part((1 - y_true) * share - y_true, margin)


def others(y_true: Array, y: Array) -> Array:
    return (1 - y_true) * y


def signed(y_true: Array) -> Array:
    """Labels 0 and 1 as -1 and 1, where the whole batch has no other, as Keras does; else as they are."""
    binary = np.all(np.equal(y_true, 0) | np.equal(y_true, 1))
    return 2 * y_true - 1 if binary else y_true
