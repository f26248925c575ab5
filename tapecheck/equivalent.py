"""Edits that are no mistakes: why a fault that no case sees may be set aside, proven by running it."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tapecheck.case import Case
from tapecheck.design import Design
from tapecheck.faults import BROKEN, Fault, program
from tapecheck.problem import Problem

CANNOT_RUN = "cannot run: it reads what is not there yet, or shapes that do not fit"
NO_SUCH_LINE = "edits a line that this model never runs"
SAME_NUMBERS = "gives the same numbers as the right equation on every random case"

# Random cases on which an edit that is called the same gives the same numbers.
DRAWS = 5


def set_aside(case: Case, hidden: Iterable[Fault]) -> dict[str, tuple[Fault, ...]]:
    """The faults that are none, by the reason; what is left can be seen in some draw of the case."""
    problem = case.problem()
    found: dict[str, tuple[Fault, ...]] = {CANNOT_RUN: (), NO_SUCH_LINE: (), SAME_NUMBERS: ()}
    rest = []
    for fault in hidden:
        reason = "" if runs(fault, problem) else CANNOT_RUN
        if not reason and fault.code and not reaches(fault, problem):
            reason = NO_SUCH_LINE
        if reason:
            found[reason] += (fault,)
        else:
            rest.append(fault)
    draws = [replace(case, seed=case.seed + 1 + n) for n in range(DRAWS)]
    shown = {fault for draw in draws for fault in Design(draw).sees(rest)}
    found[SAME_NUMBERS] = tuple(fault for fault in rest if fault not in shown)
    return {reason: some for reason, some in found.items() if some}


def runs(fault: Fault, problem: Problem) -> bool:
    """Whether the edited program answers at all."""
    try:
        with np.errstate(all="ignore"):  # wrong equations overflow
            fault.run(problem)
    except BROKEN:
        return False
    return True


class Reached(Exception):
    """An edited line was run."""


def reaches(fault: Fault, problem: Problem) -> bool:
    """Whether the model runs any of the lines that the fault edits."""
    stop = program.compiled_lines("from tapecheck.equivalent import Reached\nraise Reached")
    try:
        program.backpropagate(problem, dict.fromkeys(fault.code, stop))
    except Reached:
        return True
    return False
