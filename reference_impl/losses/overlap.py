"""Losses of how much output and target overlap: ratios of sums over `axis`, all axes for None."""

from typing import Any

import numpy as np

from reference_impl.arithmetic import EPSILON
from reference_impl.spec import Array, Shape

Axis = int | tuple[int, ...] | None


def dice(y_true: Array, y: Array, axis: Axis) -> Array:
    both, total = summed(y_true * y, axis), summed(y_true, axis) + summed(y, axis) + EPSILON
    return (1 - 2 * both / total).reshape(overlap_shape(y.shape, axis))


def d_dice(y_true: Array, y: Array, axis: Axis) -> Array:
    both, total = summed(y_true * y, axis), summed(y_true, axis) + summed(y, axis) + EPSILON
    return -2 * (y_true / total - both / total**2)


def tversky(y_true: Array, y: Array, alpha: float, beta: float, axis: Axis) -> Array:
    both = summed(y_true * y, axis)
    missed, false = summed(y_true * (1 - y), axis), summed((1 - y_true) * y, axis)
    index = both / (both + alpha * missed + beta * false + EPSILON)
    return (1 - index).reshape(overlap_shape(y.shape, axis))


def d_tversky(y_true: Array, y: Array, alpha: float, beta: float, axis: Axis) -> Array:
    both = summed(y_true * y, axis)
    missed, false = summed(y_true * (1 - y), axis), summed((1 - y_true) * y, axis)
    total = both + alpha * missed + beta * false + EPSILON
    d_total = y_true - alpha * y_true + beta * (1 - y_true)
    return -(y_true / total - both * d_total / total**2)


def summed(values: Array, axis: Axis) -> Array:
    """The sum, with an axis of one entry for each that it is over."""
    return values.sum(axis=axis, keepdims=True)


def overlap_shape(output_shape: Shape, axis: Axis, **_: Any) -> Shape:
    """The shape of the values: what a sum over `axis` leaves."""
    return np.zeros(output_shape).sum(axis=axis).shape
