"""Circle loss: pulls the outputs of one class together and those of others apart (Sun et al. 2020).

`y` (B, K) are embeddings, which should have length 1, and `y_true` (B,) their classes. Every sample is
compared with every other of the batch.
"""

from typing import Any

import numpy as np

from reference_impl.activations import sigmoid, softplus
from reference_impl.arithmetic import positive_part, where_positive_part
from reference_impl.spec import Array


def circle(y_true: Array, y: Array, gamma: float, margin: float, remove_diagonal: bool) -> Array:
    alike, unlike = pairs(y_true, remove_diagonal)
    near, far, _, _ = weighted(y, gamma, margin)
    value = softplus(log_sum_exp(near, alike) + log_sum_exp(far, unlike))
    return np.where(with_rivals(y_true, remove_diagonal), value, 0 * value)


def d_circle(
    y_true: Array, y: Array, gamma: float, margin: float, remove_diagonal: bool, w: Array | None = None
) -> Array:
    """The derivative of the sum of the values times `w` (B,), or 1: each value reads every row of `y`."""
    alike, unlike = pairs(y_true, remove_diagonal)
    near, far, d_near, d_far = weighted(y, gamma, margin)
    slope = sigmoid(log_sum_exp(near, alike) + log_sum_exp(far, unlike))[:, None]  # of the softplus
    slope = np.where(with_rivals(y_true, remove_diagonal)[:, None], slope, 0 * slope)
    slope = slope if w is None else slope * w[:, None]
    d_distance = slope * (share(near, alike) * d_near + share(far, unlike) * d_far)  # (B, B)
    d_product = where_positive_part(-d_distance, 1 - y @ y.T)
    return d_product @ y + d_product.T @ y  # each embedding is compared, and is compared with


def pairs(y_true: Array, remove_diagonal: bool) -> tuple[Array, Array]:
    """Which pairs (B, B) are of one class, and which of two."""
    same = np.equal(y_true[:, None], y_true[None, :]).astype(bool)
    return same & ~(np.eye(len(y_true), dtype=bool) & remove_diagonal), ~same


def weighted(y: Array, gamma: float, margin: float) -> tuple[Array, Array, Array, Array]:
    """The exponents (B, B) of pairs of one class and of two, by their distance, and their derivatives."""
    d = positive_part(1 - y @ y.T)
    near, d_near = gamma * (d + margin) * (d - margin), gamma * 2 * d
    left = positive_part(1 + margin - d)
    far = gamma * left * (1 - margin - d)
    d_far = where_positive_part(gamma * (2 * d - 2), 1 + margin - d)
    return near, far, d_near, d_far


def log_sum_exp(exponents: Array, counted: Array) -> Array:
    """log(sum(exp)) over the counted entries of each row, over all of it where none is counted."""
    top = top_of(exponents, counted)
    return (np.log(terms(exponents - top, counted).sum(axis=1, keepdims=True)) + top)[:, 0]


def share(exponents: Array, counted: Array) -> Array:
    """Its derivative: a softmax over the counted entries of each row."""
    e = terms(exponents - top_of(exponents, counted), counted)
    return e / e.sum(axis=1, keepdims=True)


def terms(exponents: Array, counted: Array) -> Array:
    zero, here = 0 * exponents, some(counted)
    return np.where(here, np.exp(np.where(here, exponents, zero)), zero)


def top_of(exponents: Array, counted: Array) -> Array:
    """The largest counted entry of each row, so that no exponential overflows."""
    least = -(-exponents).max(axis=1, keepdims=True)
    return np.where(some(counted), exponents, least).max(axis=1, keepdims=True)


def some(counted: Array) -> Array:
    """A row of which nothing is counted has no value, and takes no part in the loss: any will do."""
    return np.logical_or(counted, ~counted.any(axis=1, keepdims=True))


def with_rivals(y_true: Array, remove_diagonal: bool, **_: Any) -> Array:
    """Which samples have another of their class and one of another; those that have not do not count."""
    alike, unlike = pairs(y_true, remove_diagonal)
    return np.logical_and(alike.any(axis=1), unlike.any(axis=1))
