"""Losses of how much output and target overlap: ratios of sums over `axis`, all axes for None."""

from typing import Any

import numpy as np

from reference_impl.arithmetic import EPSILON
from reference_impl.spec import Array, Shape

Axis = int | tuple[int, ...] | None


def dice(y_true: Array, y: Array, axis: Axis) -> Array:
    overlap = 2 * summed(y_true * y, axis) / (summed(y_true, axis) + summed(y, axis) + EPSILON)
    return np.asarray(1 - overlap)


def d_dice(y_true: Array, y: Array, axis: Axis) -> Array:
    both = summed(y_true * y, axis, True)
    total = summed(y_true, axis, True) + summed(y, axis, True) + EPSILON
    return -2 * (y_true / total - both / total**2)


def tversky(y_true: Array, y: Array, alpha: float, beta: float, axis: Axis) -> Array:
    both = summed(y_true * y, axis)
    missed, false = summed(y_true * (1 - y), axis), summed((1 - y_true) * y, axis)
    return np.asarray(1 - both / (both + alpha * missed + beta * false + EPSILON))


def d_tversky(y_true: Array, y: Array, alpha: float, beta: float, axis: Axis) -> Array:
    both = summed(y_true * y, axis, True)
    missed, false = summed(y_true * (1 - y), axis, True), summed((1 - y_true) * y, axis, True)
    total = both + alpha * missed + beta * false + EPSILON
    d_total = y_true - alpha * y_true + beta * (1 - y_true)
    return -(y_true / total - both * d_total / total**2)


def summed(values: Array, axis: Axis, keepdims: bool = False) -> Array:
    return np.asarray(values.sum(axis=axis, keepdims=keepdims))


def overlap_shape(output_shape: Shape, axis: Axis, **_: Any) -> Shape:
    """The shape of the values: what a sum over `axis` leaves."""
    return np.empty(output_shape).sum(axis=axis).shape
