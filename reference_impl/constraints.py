"""Constraints by Keras name: what an optimizer does to a weight after each update.

Generic in their arithmetic, as the activations are. They have no gradient: they act on the weight, not
on the loss. Source: keras/src/constraints/constraints.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference_impl.activations import relu
from reference_impl.arguments import AXIS, NOT_NEGATIVE, POSITIVE, SHARE, Kind, argument_problems, bound
from reference_impl.arithmetic import EPSILON, positive
from reference_impl.spec import Array, Entry, Named, Shape


@dataclass(frozen=True)
class Constraint(Entry):
    """`value(w)` is the weight that takes the place of w, of the same shape."""

    value: Callable[..., Array]


Axis = int | tuple[int, ...] | None


def max_norm(w: Array, max_value: float, axis: Axis) -> Array:
    """Vectors along `axis` that are longer than `max_value`, cut down to it."""
    norms = lengths(w, axis)
    return w * (smaller(norms, max_value) / (EPSILON + norms))


def min_max_norm(w: Array, min_value: float, max_value: float, rate: float, axis: Axis) -> Array:
    """Lengths moved by the share `rate` of the way into [min_value, max_value]."""
    norms = lengths(w, axis)
    desired = rate * smaller(larger(norms, min_value), max_value) + (1 - rate) * norms
    return w * (desired / (EPSILON + norms))


def non_neg(w: Array) -> Array:
    return relu(w)


def unit_norm(w: Array, axis: Axis) -> Array:
    """Vectors along `axis` at length 1."""
    return w / (EPSILON + lengths(w, axis))


def lengths(w: Array, axis: Axis) -> Array:
    return np.sqrt((w * w).sum(axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=True))


def larger(a: Array, b: Array | float) -> Array:
    return np.where(positive(a - b), a, 0 * a + b)


def smaller(a: Array, b: Array | float) -> Array:
    return np.where(positive(a - b), 0 * a + b, a)


CONSTRAINTS = {
    "max_norm": Constraint(max_norm, defaults={"max_value": 2, "axis": 0}),
    "min_max_norm": Constraint(
        min_max_norm, defaults={"min_value": 0.0, "max_value": 1.0, "rate": 1.0, "axis": 0}
    ),
    "non_neg": Constraint(non_neg),
    "unit_norm": Constraint(unit_norm, defaults={"axis": 0}),
}

KINDS: dict[str, Kind] = {"min_value": NOT_NEGATIVE, "max_value": POSITIVE, "rate": SHARE, "axis": AXIS}


def constraint_problems(argument: str, value: object) -> list[str]:
    """Why `value` is no constraint, a sentence each; None is one, which changes nothing."""
    return [] if value is None else argument_problems(argument, value, CONSTRAINTS, KINDS)


def unfit_for(argument: str, value: str | Named | None, shape: Shape) -> list[str]:
    """Why Keras cannot constrain an array of `shape` by `value`, a sentence each."""
    axis = None if value is None else bound(value, CONSTRAINTS).get("axis")
    axes = axis if isinstance(axis, list | tuple) else [] if axis is None else [axis]
    return [
        f"`{argument}` = {value!r}, but a weight of shape {shape} has no axis {axis}"
        for axis in axes
        if not -len(shape) <= axis < len(shape)
    ]
