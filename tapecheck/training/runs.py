"""The runs of a training check: from the same weights, on the same batch at each step."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from reference_impl import Inputs, textbook
from reference_impl.spec import Array, Arrays, Named, kind_of
from reference_impl.training import Optimizer, number_of, optimizer, train
from tapecheck.exact import Convert, ball_sized, in_balls, in_wider_float, wider
from tapecheck.problem import Problem

# Anyone's training loop: the weights by tensor name after each of so many steps, from the problem's own.
Training = Callable[[Problem, str | Named, int], Iterable[Mapping[str, Array]]]


class ExactRun(NamedTuple):
    """The exact weights after each step, as longdouble."""

    steps: list[Arrays]
    arithmetic: str  # "ball arithmetic", or the name of a wider float
    radius: float  # largest radius, relative to scale: proven for balls, estimated for a wider float


def exact_run(problem: Problem, value: str | Named, steps: int) -> ExactRun:
    """The textbook and the optimizer in wider arithmetic, from the same floats. Raises NotEnclosed."""

    def compute(convert: Convert) -> list[Arrays]:
        return list(textbook_run(problem, value, steps, convert))

    if ball_sized(problem, steps):
        found, radius = in_balls(compute)
        return ExactRun(found, "ball arithmetic", radius)
    found, radius = in_wider_float(problem.dtype, compute)
    return ExactRun(found, wider(problem.dtype).__name__, radius)


def textbook_run(
    problem: Problem, value: str | Named, steps: int, convert: Convert = np.asarray
) -> Iterator[Arrays]:
    """The weights after each step by the textbook's gradients, in the arithmetic that `convert` makes."""
    start = problem.map(convert)
    made = bound_to(problem, value, start)

    def gradient(weights: Arrays) -> Arrays:
        return textbook.backpropagate(problem.model, replace(start, weights=weights), problem.loss).gradients

    return train(start.weights, made, steps, gradient)


def shipped(problem: Problem, value: str | Named, steps: int) -> Iterator[Arrays]:
    """The shipped implementation's training loop."""
    return train(problem.weights, bound_to(problem, value, problem), steps, gradient_of(problem))


def gradient_of(problem: Problem) -> Callable[[Arrays], Arrays]:
    """The shipped gradients of the problem's loss, at any weights."""
    return lambda weights: problem.model.run(replace(problem, weights=weights), problem.loss)[2]


def bound_to(problem: Problem, value: str | Named, inputs: Inputs) -> Optimizer:
    """The optimizer with the model's constraints, in the arithmetic of the inputs."""
    return optimizer(value, number_of(inputs.x), problem.model.of_weights("constraint"))


def collected(given: Iterable[Any], steps: int) -> list[Mapping[str, Any]]:
    """The weights of each step, copied as they come: a loop that yields may go on writing into them.

    Raises TypeError and ValueError where they are not what a Training gives.
    """
    found: list[Mapping[str, Any]] = []
    for weights in given:
        if not isinstance(weights, Mapping):
            what = f"step {len(found) + 1} is {kind_of(weights)}"
            raise TypeError(f"{what}, but should be a dict of weights by tensor name")
        found.append({name: np.copy(w) if isinstance(w, np.ndarray) else w for name, w in weights.items()})
        if len(found) > steps:
            raise ValueError(f"more than {steps} dicts of weights were given, one after each step")
    if len(found) < steps:
        raise ValueError(
            f"{len(found)} dicts of weights were given, but should be {steps}, one after each step"
        )
    if isinstance(given, Sequence) and steps > 1:
        same = [name for name, w in given[0].items() if w is given[1].get(name)]
        if same:
            raise ValueError(
                f"{same[0]} is the same array after step 1 and step 2, but should be a copy, or be yielded: "
                "a later step writes into it"
            )
    return found
