"""The exact gradient.

The textbook equations are run in other arithmetic than float: in balls, which enclose the true value
rigorously, where the size allows, and past that in the next wider float.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flint import ctx

from reference_impl import textbook
from reference_impl.arithmetic import Undecided
from reference_impl.sequential import Sequential
from reference_impl.spec import Array, Arrays, Shape
from tapecheck.balls import middle_and_radius, middles, to_balls
from tapecheck.problem import Problem

# How an array of floats becomes one of the arithmetic at hand, and what computes in it: some groups of
# tensors by name, which is what they are scaled by.
Convert = Callable[[Array], Array]
Compute = Callable[[Convert], Sequence[Arrays]]

# Radius that a ball may have, relative to the scale of its tensor (or of its time step).
RADIUS = 2.0**-70
PRECISIONS = (128, 256, 512, 1024)
# Multiply-adds of one pass up to which balls are used: some 0.1 microseconds each.
BALL_LIMIT = 1_000_000
# Units of all layers and samples up to which they are: balls of one step, for which TensorFlow takes as long
# whether they are few or many.
BALLS_A_STEP = 250


class NotEnclosed(ArithmeticError):
    """No precision gave the exact value; the message says of what."""


@dataclass(frozen=True)
class Exact:
    """The exact values, as longdouble: "output", "loss", every gradient, and the trace."""

    problem: Problem
    tensors: Arrays
    radius: float  # largest radius, relative to scale: proven for balls, estimated for a wider float
    precision: int  # of the balls in bits; 0 for a wider float

    @property
    def arithmetic(self) -> str:
        return "ball arithmetic" if self.precision else wider(self.problem.dtype).__name__

    @cached_property
    def trace(self) -> Arrays:
        """The trace of the same pass, run again when it is first asked for: a check that passes never
        asks, and so many balls take as long as the pass. Raises NotEnclosed.
        """
        if not self.precision:
            return as_longdouble(run_textbook(self.problem, to(wider(self.problem.dtype))).trace)
        (trace,), _ = in_balls(lambda convert: [run_textbook(self.problem, convert).trace])
        return trace


def exact(problem: Problem) -> Exact:
    """Exact output, loss, gradients and trace. Raises NotEnclosed, for instance for a relu exactly at
    its kink, or for values that overflow.
    """
    return by_balls(problem) if ball_sized(problem) else by_wider_float(problem)


def ball_sized(problem: Problem, passes: int = 1) -> bool:
    """Whether so many passes are small enough for balls, or there is no wider float."""
    if np.finfo(wider(problem.dtype)).nmant == np.finfo(problem.dtype).nmant:
        return True
    model, shape = problem.model, problem.x.shape
    a_step = sum(out[0] * out[-1] for _, _, _, out in model.shapes(shape))
    return a_step <= BALLS_A_STEP and passes * multiply_adds(model, shape) <= BALL_LIMIT


def by_balls(problem: Problem) -> Exact:
    """The enclosures, at the first precision at which all radii are below RADIUS of scale."""
    (tensors,), radius, precision = enclosed(lambda convert: named(run_textbook(problem, convert))[:1])
    with ctx.workprec(precision):
        return Exact(problem, middles(tensors), radius, precision)


def by_wider_float(problem: Problem) -> Exact:
    """The textbook in float64 for float32, and in longdouble for float64."""
    (tensors,), radius = in_wider_float(
        problem.dtype, lambda convert: named(run_textbook(problem, convert))[:1]
    )
    return Exact(problem, tensors, radius, precision=0)


def in_balls(compute: Compute) -> tuple[list[Arrays], float]:
    """What `compute` gives in balls, rounded to longdouble, and the largest radius. Raises NotEnclosed."""
    groups, radius, precision = enclosed(compute)
    with ctx.workprec(precision):
        return [middles(group) for group in groups], radius


def enclosed(compute: Compute) -> tuple[Sequence[Arrays], float, int]:
    """The balls that `compute` gives, the largest radius, and the bits: at the first precision at which all
    radii are below RADIUS of scale. Raises NotEnclosed where there is none.
    """
    reason = ""
    for precision in PRECISIONS:
        with ctx.workprec(precision):
            try:
                groups = compute(to_balls)
            except Undecided as undecided:
                reason = str(undecided)
                continue
            radius = max(relative_radius(name, balls) for group in groups for name, balls in group.items())
        if radius < RADIUS:
            return groups, radius, precision
        reason = "a value overflows, or cancels to zero"
    raise NotEnclosed(f"the exact value is not known at {PRECISIONS[-1]} bits: {reason}")


def in_wider_float(dtype: np.dtype, compute: Compute) -> tuple[list[Arrays], float]:
    """What `compute` gives in the float wider than `dtype`, as longdouble. Its error is estimated from that
    of the same equations in `dtype`: the same rounding errors, larger by the ratio of the epsilons.
    """
    wide = wider(dtype)
    groups = [as_longdouble(group) for group in compute(to(wide))]
    narrow = compute(to(dtype.type))
    ratio = float(np.finfo(wide).eps / np.finfo(dtype).eps)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and so is the largest of anything and NaN
        apart = [
            np.max(np.abs(rounded[name] - value) / nonzero(scale(name, value)))
            for group, rounded in zip(groups, narrow, strict=True)
            for name, value in group.items()
        ]
    radius = ratio * float(np.max(apart))
    if not math.isfinite(radius):
        raise NotEnclosed("the exact value is not known: a value overflows")
    return groups, radius


def scale(name: str, value: Array) -> Array:
    """The largest magnitude, over the tensor, or, for `x` and trace tensors (B, T, …), a time step at
    a time: late gradients vanish, and one scale for all would pass zeros. Broadcasts against `value`.
    """
    per_step = value.ndim == 3 and name != "output"
    return np.abs(value).max(axis=(0, 2) if per_step else None, keepdims=True)


def nonzero(scales: Array) -> Array:
    """The scales with 1 for 0, to divide by where the numerator is 0 too."""
    return np.where(scales == 0, 1, scales)


def multiply_adds(model: Sequential, input_shape: Shape) -> int:
    """Multiply-adds of one forward and backward pass: each weight, three times a row."""
    return sum(
        3 * math.prod(given[:-1]) * math.prod(shape)
        for _, layer, given, _ in model.shapes(input_shape)
        for tensor, shape in layer.weight_shapes(given).items()
        if tensor != "bias"
    )


def run_textbook(problem: Problem, convert: Callable[[Array], Array], book: Any = textbook) -> textbook.Pass:
    """The textbook's whole pass on the problem's arrays, each converted first. `book` is an edited copy."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows has no limit, and that is said
        return book.backpropagate(problem.model, problem.map(convert), problem.loss)


def named(run: textbook.Pass) -> tuple[Arrays, Arrays]:
    """A pass's tensors, with output and loss among them, and its trace."""
    return {"output": run.output, "loss": np.asarray(run.loss), **run.gradients}, run.trace


def wider(dtype: np.dtype) -> type[np.floating]:
    """The next wider float: float64, or longdouble, which on some machines is no wider."""
    return np.float64 if dtype == np.float32 else np.longdouble


def to(dtype: type[np.floating]) -> Convert:
    """The same numbers in another float."""
    return lambda array: array.astype(dtype)


def as_longdouble(tensors: Mapping[str, Array]) -> Arrays:
    """Tensors by name, in longdouble."""
    return {name: np.asarray(value, np.longdouble) for name, value in tensors.items()}


def relative_radius(name: str, balls: Array) -> float:
    """The largest radius relative to scale; inf where a nonzero radius has nothing to compare with."""
    middle, radius = (np.asarray(part, float) for part in middle_and_radius(balls))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(radius == 0, 0, radius / scale(name, middle))
    return float(np.max(np.where(np.isfinite(middle) & np.isfinite(relative), relative, np.inf)))
