"""The same problem with targets, or an upstream gradient, a thousand times as large: gradients that are
clipped at a limit which they do not reach are right until they do.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tapecheck.answer import ask
from tapecheck.fit import Seen
from tapecheck.problem import Implementation, Problem, Result
from tapecheck.questions import usable

LOUDER = 1000
# Losses whose gradient grows with the targets.
GROWS = (None, "mean_squared_error")
# The share of its scale by which a tensor must be off: clipping changes it as a whole, and rounding that
# passes where it is measured stays far below.
OFF = 1e-2


def grows(problem: Problem) -> bool:
    """Whether the gradients of its loss grow with the targets."""
    return problem.loss in GROWS


def loud(problem: Problem, times: int = LOUDER) -> Problem:
    """The problem with so many times its targets."""
    return replace(problem, y=times * problem.y)


def heard(implementation: Implementation, seen: Iterable[Seen]) -> list[Seen]:
    """The answers to the loud problems of some, as far as there are any with the same tensors."""
    found = []
    for each in seen:
        if grows(each.problem):
            problem = loud(each.problem)
            answer = ask(implementation, problem)
            if not answer.failure and usable(problem, answer.result, each.gradients.keys()):
                found.append(Seen(problem, answer.result))
    return found


def wrong_when_loud(implementation: Implementation, problem: Problem) -> tuple[Problem, Result] | None:
    """The loud problem and the answer to it, where that is wrong; None where it is right, where there is no
    such problem, and where it is not answered, or by NaN and inf: what overflows may be right as asked.
    """
    if not grows(problem):
        return None
    louder = loud(problem)
    answer = ask(implementation, louder)
    if answer.failure:
        return None
    seen = Seen(louder, answer.result)
    if not all(np.isfinite(array).all() for array in seen.tensors.values()):
        return None
    off = max((error * float(seen.eps) for error in seen.errors(seen.truth).values()), default=0.0)
    return (louder, answer.result) if off > OFF else None
