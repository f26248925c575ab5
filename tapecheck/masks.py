"""Masks (B, T) to draw, by where the steps lie that do not count."""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from reference_impl.spec import Array

# The share of steps that count where each is drawn by itself.
COUNTING = 0.7


def at_random(rng: np.random.Generator, B: int, T: int) -> Array:
    """Each step by itself: leading, trailing and interior ones, and perhaps a whole row."""
    return rng.random((B, T)) < COUNTING


def trailing(rng: np.random.Generator, B: int, T: int) -> Array:
    """Rows of unequal lengths, padded at the end; the first is whole, and each has a step."""
    lengths = rng.integers(1, T + 1, B)
    lengths[0] = T
    return np.arange(T) < lengths[:, None]


def leading(rng: np.random.Generator, B: int, T: int) -> Array:
    """The same, padded at the start."""
    return trailing(rng, B, T)[:, ::-1].copy()


def interior(rng: np.random.Generator, B: int, T: int) -> Array:
    """The first and the last step count."""
    mask = at_random(rng, B, T)
    mask[:, [0, -1]] = True
    return mask


def whole_row(rng: np.random.Generator, B: int, T: int) -> Array:
    """As at random, and no step of the last row counts."""
    mask = at_random(rng, B, T)
    mask[-1] = False
    return mask


MASKS = MappingProxyType[str, Callable[[np.random.Generator, int, int], Array]](
    {"random": at_random, "leading": leading, "trailing": trailing, "interior": interior, "row": whole_row}
)
