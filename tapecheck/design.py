"""How a test looks at a model: what it draws, what it compares, and what it calls equal.

Two tests of one model can see very different things. Weights that are all alike hide a transpose, and a
forward pass that is all that is compared hides the whole backward pass.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reference_impl.textbook import Pass
from tapecheck.case import Case
from tapecheck.faults import BROKEN, Fault, program
from tapecheck.fit import ROUNDING, Seen, flat
from tapecheck.problem import Problem, Result


class Tolerance(NamedTuple):
    """As `np.allclose` takes it: |candidate - right| <= atol + rtol * |right|, entry by entry."""

    rtol: float
    atol: float


@dataclass(frozen=True)
class Design:
    """A test of `case`. The defaults are this project's own.

    `draw` makes the arrays that the test uses from those that the case draws. `compares` says of
    "output" and of a gradient's name whether it is compared. `tolerance` is None for our measure: equal
    up to rounding, in eps of scale.
    """

    case: Case
    draw: Callable[[Problem], Problem] = lambda problem: problem
    compares: Callable[[str], bool] = lambda name: True
    tolerance: Tolerance | None = None

    def sees(self, candidates: Iterable[Fault]) -> set[Fault]:
        """The faults that make this test fail: it tells their answer from the right one."""
        problem = self.draw(self.case.problem())
        output, _, gradients, _ = program.backpropagate(problem, {})
        compared = {name: array for name, array in gradients.items() if self.compares(name)}
        right = Seen(problem, Result(compared, output if self.compares("output") else None))
        found = set()
        with np.errstate(all="ignore"):  # wrong equations overflow
            for fault in candidates:
                try:
                    if self.tells(right, fault.run(problem, right.kept, right.truth)):
                        found.add(fault)
                except BROKEN:
                    continue
        return found

    def tells(self, right: Seen, answer: Pass) -> bool:
        """Whether the test finds the answer different from the right one."""
        if self.tolerance is None:
            return right.error(answer) > ROUNDING
        values = flat(answer)
        rtol, atol = self.tolerance
        return not all(  # by the comparison that the published test makes, with its tolerance
            np.allclose(values[name], array, rtol=rtol, atol=atol) for name, array in right.tensors.items()
        )
