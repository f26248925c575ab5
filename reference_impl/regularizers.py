"""Regularizers by Keras name: the penalty that goes into the loss, and its gradient, side by side.

Generic in their arithmetic, as the activations are. An argument left out has Keras's default: "l2" is
`Named("l2", l2=0.01)`. Source: keras/src/regularizers/regularizers.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference_impl.arguments import NOT_NEGATIVE, Kind, argument_problems, is_one_of
from reference_impl.arithmetic import EPSILON, absolute, positive, sign
from reference_impl.spec import Array, Entry, Named, Shape


@dataclass(frozen=True)
class Regularizer(Entry):
    """`value(w)` is the penalty, a scalar; `backward(w)` is its gradient, of the shape of w."""

    value: Callable[..., Array]
    backward: Callable[..., Array]


def l1_penalty(w: Array, l1: float) -> Array:
    return l1 * absolute(w).sum()


def d_l1_penalty(w: Array, l1: float) -> Array:
    return l1 * sign(w)


def l2_penalty(w: Array, l2: float) -> Array:
    return l2 * (w * w).sum()


def d_l2_penalty(w: Array, l2: float) -> Array:
    return 2 * l2 * w


def l1_l2_penalty(w: Array, l1: float, l2: float) -> Array:
    return l1_penalty(w, l1) + l2_penalty(w, l2)


def d_l1_l2_penalty(w: Array, l1: float, l2: float) -> Array:
    return d_l1_penalty(w, l1) + d_l2_penalty(w, l2)


def orthogonal_penalty(w: Array, factor: float, mode: str) -> Array:
    """factor times the mean |cosine| between two rows, or two columns."""
    n, _, _ = unit_rows(w if mode == "rows" else w.T)
    cosines = off_diagonal(n @ n.T)
    return factor * absolute(cosines).sum() / pairs(n) / 2


def d_orthogonal_penalty(w: Array, factor: float, mode: str) -> Array:
    """Back through the mean of |cosine|, the cosines, and the scaling of each row to length 1."""
    n, inverse, scaled = unit_rows(w if mode == "rows" else w.T)
    dcosines = factor * sign(off_diagonal(n @ n.T)) / pairs(n) / 2
    dn = 2 * dcosines @ n  # each row stands in two products, and dcosines is symmetric
    along = (dn * n).sum(axis=1, keepdims=True)  # a row's length is divided out: nothing passes along it
    dw = (dn - n * np.where(scaled, along, 0 * along)) * inverse
    return dw if mode == "rows" else dw.T


def unit_rows(w: Array) -> tuple[Array, Array, Array]:
    """The rows of w (N, M) at length 1, one over their lengths (N, 1), and which rows were scaled to it:
    one shorter than EPSILON is divided by EPSILON.
    """
    squares = (w * w).sum(axis=1, keepdims=True)
    scaled = positive(squares - EPSILON**2)
    inverse = np.where(scaled, squares, 0 * squares + EPSILON**2) ** -0.5
    return w * inverse, inverse, scaled


def off_diagonal(square: Array) -> Array:
    return np.where(np.eye(len(square), dtype=bool), 0 * square, square)


def pairs(n: Array) -> float:
    return len(n) * (len(n) - 1) / 2


REGULARIZERS = {
    "l1": Regularizer(l1_penalty, d_l1_penalty, defaults={"l1": 0.01}),
    "l2": Regularizer(l2_penalty, d_l2_penalty, defaults={"l2": 0.01}),
    "l1_l2": Regularizer(l1_l2_penalty, d_l1_l2_penalty, defaults={"l1": 0.0, "l2": 0.0}),
    "orthogonal_regularizer": Regularizer(
        orthogonal_penalty, d_orthogonal_penalty, defaults={"factor": 0.01, "mode": "rows"}
    ),
}

KINDS: dict[str, Kind] = {
    "l1": NOT_NEGATIVE,
    "l2": NOT_NEGATIVE,
    "factor": NOT_NEGATIVE,
    "mode": is_one_of("rows", "columns"),
}


def regularizer_problems(argument: str, value: object) -> list[str]:
    """Why `value` is no regularizer, a sentence each; None is one, which penalises nothing."""
    if (
        isinstance(value, str) and value == "l1_l2"
    ):  # documented, and refused by Keras itself (docs/findings.md)
        return [f"`{argument}` = 'l1_l2', but should be Named('l1_l2', l1=0.01, l2=0.01)"]
    return [] if value is None else argument_problems(argument, value, REGULARIZERS, KINDS)


def unfit_for(argument: str, value: str | Named | None, shape: Shape) -> list[str]:
    """Why Keras cannot regularize an array of `shape` with `value`, a sentence each."""
    name = value.name if isinstance(value, Named) else value
    if name != "orthogonal_regularizer":
        return []
    if len(shape) != 2:
        return [f"`{argument}` = {value!r} on an array of shape {shape}, but it takes matrices alone"]
    columns = isinstance(value, Named) and value.arguments.get("mode") == "columns"
    if shape[1 if columns else 0] == 1:
        one = "column" if columns else "row"
        return [
            f"`{argument}` = {value!r} on an array of shape {shape}, but one {one} has no other to be "
            "orthogonal to: in Keras the penalty is 0/0"
        ]
    return []
