"""What a loss takes as `y_true`: its shape, how to draw it, and what is wrong with a given one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference_impl.spec import Array, Shape


@dataclass(frozen=True)
class Targets:
    """`draw(rng, output_shape)` is one draw as float64, `problem(y, output_shape)` what is wrong with `y` or
    None; both take the loss's arguments by keyword. `shape(output_shape)` is the shape of `y`; `whole` says
    that it holds labels, which may come as integers.
    """

    draw: Callable[..., Array]
    problem: Callable[..., str | None]
    shape: Callable[[Shape], Shape] = lambda output_shape: output_shape
    whole: bool = False


def nothing_wrong(y: Array, output_shape: Shape, **_: Any) -> None:
    return None


# ---- numbers


def draw_normal(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return rng.standard_normal(shape)


def draw_away_from_zero(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return rng.uniform(0.5, 2, shape) * (2 * rng.integers(2, size=shape) - 1)


def draw_positive(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return rng.uniform(0.1, 3, shape)


def draw_counts(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return rng.poisson(1.5, shape).astype(float)


def zeros(y: Array, output_shape: Shape, **_: Any) -> str | None:
    if (y == 0).any():
        return "holds 0.0, but should not be zero: the error is divided by the target"
    return None


def zero_rows(y: Array, output_shape: Shape, **_: Any) -> str | None:
    if not y.any(axis=-1).all():
        return "has a row of zeros, but should have a direction in every row"
    return None


def negative(y: Array, output_shape: Shape, **_: Any) -> str | None:
    below = y[y < 0]
    return f"holds {below[0]!s}, but should be 0 or more" if below.size else None


# ---- probabilities and labels, each output by itself


def draw_binary(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return rng.integers(2, size=shape).astype(float)


def draw_signs(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return 2.0 * rng.integers(2, size=shape) - 1


def not_probabilities(y: Array, output_shape: Shape, **_: Any) -> str | None:
    outside = y[(y < 0) | (y > 1)]
    return f"holds {outside[0]!s}, but should be within [0, 1]" if outside.size else None


def not_signs(y: Array, output_shape: Shape, **_: Any) -> str | None:
    strange = y[~np.isin(y, (-1, 0, 1))]
    if strange.size:
        return f"holds {strange[0]!s}, but should be -1 or 1 (or 0 and 1, which Keras makes -1 and 1)"
    if np.isin((-1, 0), y).all():
        return "holds -1.0 and 0.0, but should be labels -1 and 1, or 0 and 1"
    return None


# ---- rows that are one distribution


def draw_one_hot(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]


def draw_distributions(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def not_distributions(y: Array, output_shape: Shape, **_: Any) -> str | None:
    sums = y.sum(axis=-1)
    worst = sums.flat[np.argmax(np.abs(sums - 1))]
    if abs(worst - 1) > 8 * np.finfo(y.dtype).eps * y.shape[-1]:
        return f"has a row that sums to {worst!s}, but should sum to 1 over the last axis (one-hot labels)"
    return not_probabilities(y, output_shape)


# ---- whole numbers, one a row


def draw_labels(rng: np.random.Generator, shape: Shape, ignore_class: int | None = None, **_: Any) -> Array:
    classes = [k for k in range(shape[-1]) if k != ignore_class]
    drawn = rng.choice(classes, shape[:-1]).astype(float)
    if ignore_class is not None and drawn.size > 1:  # one in five, but never all
        drawn.flat[rng.permutation(drawn.size)[: 1 + drawn.size // 5]] = ignore_class
    return drawn


def not_labels(y: Array, output_shape: Shape, ignore_class: int | None = None, **_: Any) -> str | None:
    classes = output_shape[-1]
    strange = y[((y < 0) | (y >= classes) | (y != np.round(y))) & (y != ignore_class)]
    if not strange.size:
        return None
    return (
        f"holds {strange[0]!s}, but should be a whole number from 0 to {classes - 1}, one class of {classes}"
    )


def draw_pairs(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    """Two classes or more, of two samples or more each where the batch allows it."""
    return rng.permutation(np.arange(shape[0]) % max(shape[0] // 2, 2)).astype(float)


def not_pairs(y: Array, output_shape: Shape, remove_diagonal: bool, **_: Any) -> str | None:
    strange = y[(y < 0) | (y != np.round(y))]
    if strange.size:
        return f"holds {strange[0]!s}, but should be a whole number from 0 on"
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        return f"holds nothing but {classes[0]!s}, but should hold two classes: samples are compared"
    if remove_diagonal and counts.max() < 2:
        return "holds every class once, but should hold one twice: samples are compared"
    return None


def draw_sequences(rng: np.random.Generator, shape: Shape, **_: Any) -> Array:
    """Sequences of up to half as many labels as there are steps, padded with the blank, 0."""
    batch, steps, classes = shape
    drawn = rng.integers(1, classes, (batch, steps)).astype(float)
    lengths = rng.integers(min(1, steps // 2), steps // 2 + 1, (batch, 1))
    return np.where(np.arange(steps) < lengths, drawn, 0)


def not_sequences(y: Array, output_shape: Shape, **_: Any) -> str | None:
    wrong = not_labels(y, output_shape)
    if wrong:
        return wrong
    if (np.diff((y == 0).astype(int), axis=1) < 0).any():
        return "has a label after a 0, but should be padded with 0, the blank, at the end only"
    need = (y != 0).sum(axis=1) + ((y[:, 1:] == y[:, :-1]) & (y[:, 1:] != 0)).sum(axis=1)
    if need.max() > output_shape[1]:
        return (
            f"has a row that needs {need.max()} steps, one for each label and one between equal ones, "
            f"but the output has {output_shape[1]}"
        )
    return None


REAL = Targets(draw_normal, nothing_wrong)
NONZERO = Targets(draw_away_from_zero, zeros)
DIRECTIONS = Targets(draw_normal, zero_rows)
NOT_NEGATIVE = Targets(draw_positive, negative)
COUNTS = Targets(draw_counts, negative)
BINARY = Targets(draw_binary, not_probabilities)
SIGNS = Targets(draw_signs, not_signs)
ONE_HOT = Targets(draw_one_hot, not_distributions)
PROBABILITIES = Targets(draw_distributions, not_probabilities)
LABELS = Targets(draw_labels, not_labels, lambda output_shape: output_shape[:-1], whole=True)
PAIRS = Targets(draw_pairs, not_pairs, lambda output_shape: output_shape[:1], whole=True)
SEQUENCES = Targets(draw_sequences, not_sequences, lambda output_shape: output_shape[:2], whole=True)
