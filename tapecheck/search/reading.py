"""What an implementation's gradients give away of its own values: the dz of every step, and the dlogits.

In a roomy problem every layer has more units than there are rows. A kernel's gradient is rows.T @ d, and
with more columns than rows that has one answer: d, as the implementation had it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from typing import NamedTuple

import numpy as np

from reference_impl import LSTM, Dense
from reference_impl.spec import Array, Arrays, BadInput
from tapecheck.case import Case
from tapecheck.faults.program import Kept
from tapecheck.problem import Problem
from tapecheck.questions import sizes_of, with_sizes

# The rows of a roomy problem. Its narrowest layer has one unit more than there are.
BATCH, STEPS = 2, 4
# A reading is believed where its rows are no worse conditioned than this.
CONDITION = 1e6

Values = Mapping[str, Array]  # by layer name: dz of an LSTM (B, T, 4H), dlogits of a Dense


def roomy(case: Case) -> Iterator[Case]:
    """The case with few rows and many units, the most telling first: an implementation may refuse some.
    Sizes that were equal stay equal, and others differ. All stay where the loss is made for so many classes.
    """
    *units, features = sizes_of(case)
    for batch in (BATCH, 1):
        sizes = {size: batch * STEPS + 1 + k for k, size in enumerate(sorted({*units, features}))}
        if features not in units:
            sizes[features] = 4 * max(sizes.values()) + 1  # dx gives dz away where D >= 4H
        with suppress(BadInput):
            yield with_sizes(case, batch, STEPS, sizes)
    rows = min(features, *(layer.units for layer in case.model.layers if isinstance(layer, LSTM)), STEPS)
    yield with_sizes(case, 1, rows, {size: size for size in sizes})


class Source(NamedTuple):
    """A gradient, and what makes of it the values of a layer that it gives away."""

    tensor: str
    solve: Callable[[Array], Array]


class Reader:
    """What the gradients of a problem give away of each layer: an LSTM's dz by dx, dW_x and dW_h, a Dense's
    dlogits by dW_y.
    """

    def __init__(self, problem: Problem, kept: Kept):
        self.sources: dict[str, list[Source]] = {}
        for position, ((name, layer), one) in enumerate(
            zip(problem.model.named_layers(), kept[2], strict=True)
        ):
            if isinstance(layer, LSTM):
                self.sources[name] = list(
                    of_lstm(name, problem.weights[f"{name}/kernel"], one.values, position)
                )
            elif isinstance(layer, Dense):
                x, logits = one.values["x"], one.values["logits"]
                solve = solver(x.reshape(-1, x.shape[-1]))
                self.sources[name] = (
                    [Source(f"{name}/kernel", reshaped(solve, logits.shape))] if solve else []
                )

    def ways(self, theirs: Arrays) -> Iterator[tuple[str, ...]]:
        """Every choice of a gradient without NaN for each layer, "" for none, the fullest first."""
        told = {name for name, gradient in theirs.items() if np.isfinite(gradient).all()}
        each = [
            [source.tensor for source in sources if source.tensor in told] + [""]
            for sources in self.sources.values()
        ]
        return product(*each)

    def read(self, theirs: Arrays, way: tuple[str, ...]) -> Values:
        """The values of each layer by the gradients chosen."""
        return {
            name: source.solve(theirs[source.tensor])
            for (name, sources), tensor in zip(self.sources.items(), way, strict=True)
            for source in sources
            if source.tensor == tensor
        }


def of_lstm(name: str, W_x: Array, steps: list[Arrays], position: int) -> Iterator[Source]:
    """Where an LSTM's dz (B, T, 4H) is to be had."""
    x, h_prev = (np.stack([step[value] for step in steps], axis=1) for value in ("x_t", "h_prev"))
    B, T, D = x.shape
    shape = B, T, W_x.shape[1]
    if position == 0 and (solve := solver(W_x.T)):  # dx.T = W_x @ dz.T
        yield Source("x", lambda dx: solve(dx.reshape(B * T, D).T).T.reshape(shape))
    if by_x := solver(x.reshape(B * T, D)):  # dW_x = x.T @ dz
        yield Source(f"{name}/kernel", reshaped(by_x, shape))
    rows = h_prev.reshape(B * T, -1)
    used = rows.any(axis=1)  # a step from a zero state leaves no trace in dW_h
    if by_h := solver(rows[used]):  # dW_h = h_prev.T @ dz

        def some(dW_h: Array) -> Array:
            found = np.full((B * T, shape[2]), np.nan)
            found[used] = by_h(dW_h)
            return found.reshape(shape)

        yield Source(f"{name}/recurrent_kernel", some)


def solver(rows: Array) -> Callable[[Array], Array] | None:
    """What gives the d of gradient = rows.T @ d, for `rows` (N, n); None where that has no one answer."""
    N, n = rows.shape
    if n < N or not np.linalg.cond(rows) < CONDITION:
        return None
    inverse = np.linalg.pinv(rows.T)
    return lambda gradient: inverse @ gradient


def reshaped(solve: Callable[[Array], Array], shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """The same, in another shape."""
    return lambda gradient: solve(gradient).reshape(shape)
