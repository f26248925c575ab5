"""Mistakes of a training loop, and which one reproduces a run.

The same idea as the faults of a backward pass: what a program computed instead is found by making every
mistake and looking which one gives the program's numbers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference_impl.arguments import bound
from reference_impl.optimizers import OPTIMIZERS
from reference_impl.spec import Arrays, Named
from reference_impl.training import Optimizer, train
from tapecheck.compare import eps_of_scale
from tapecheck.faults import BROKEN
from tapecheck.faults.penalties import unregularized
from tapecheck.problem import Problem
from tapecheck.training import changes
from tapecheck.training.rules import other_arguments, other_equations
from tapecheck.training.runs import bound_to, gradient_of


@dataclass(frozen=True, eq=False)
class Mistake:
    """`wrong` is what was computed and `right` what should be; `optimizer` makes the mistake, on the
    gradients of `problem`.
    """

    right: str
    wrong: str
    optimizer: Optimizer
    problem: Problem


def reproducing(
    problem: Problem,
    value: str | Named,
    given: Sequence[Mapping[str, Any]],
    exact: Sequence[Arrays],
    limits: Sequence[Mapping[str, float]],
) -> Iterator[Mistake]:
    """The mistakes that give the weights `given` after every step, to within the limits in eps of scale,
    and not the exact ones.
    """
    plain = unregularized(problem)
    first = {id(each): gradient_of(each)(each.weights) for each in (problem, plain)}

    def near(found: Arrays, other: Mapping[str, Any], k: int) -> bool:
        """Whether two weights after step k are the same."""
        return all(
            name not in other
            or (
                np.shape(other[name]) == right.shape
                and np.all(
                    np.abs(found[name] - other[name])
                    <= limits[k][name] * eps_of_scale(name, right, problem.dtype)
                )
            )
            for name, right in exact[k].items()
        )

    for mistake in mistakes(problem, plain, value):
        gradient = first_known(mistake.problem, first[id(mistake.problem)])
        run = train(problem.weights, mistake.optimizer, len(given), gradient)
        try:
            with np.errstate(all="ignore"):
                wrong = False
                for k, found in enumerate(run):
                    if not near(found, given[k], k):
                        break
                    wrong = wrong or not near(found, exact[k], k)
                else:
                    if wrong:
                        yield mistake
        except BROKEN:
            continue


def first_known(problem: Problem, first: Arrays) -> Callable[[Arrays], Arrays]:
    """The shipped gradients, of which those at the start are known."""
    gradient = gradient_of(problem)
    return lambda weights: first if weights is problem.weights else gradient(weights)


def mistakes(problem: Problem, plain: Problem, value: str | Named) -> Iterator[Mistake]:
    """Every mistake that this optimizer leaves room for, those that people make first. `plain` is the
    problem without penalties.
    """
    made, arguments = bound_to(problem, value, problem), bound(value, OPTIMIZERS)
    found = [
        *changes.directions(made),
        *changes.constraints(made, problem),
        *changes.clips(made, arguments),
        *changes.decays(made, arguments),
        *changes.rates(made, arguments),
        *changes.counts(made),
        *other_arguments(value, problem),
        *other_equations(made, value),
        *changes.sizes(made, problem),
    ]
    if plain is not problem:
        yield Mistake("gradients of the whole loss", "gradients of the loss without penalties", made, plain)
    for right, wrong, changed in found:
        yield Mistake(right, wrong, changed, problem)
