"""Who is off where TensorFlow and the exact gradient differ: the complex step decides.

The exact gradient is only as right as the textbook's backward equations, which are code as well. The complex
step knows none of them. Where it sides with the exact gradient, TensorFlow is off; where it sides with
TensorFlow, this project is, and then nobody's gradient is judged by it.
"""

from dataclasses import replace

import numpy as np

from reference_impl.spec import Array
from tapecheck.compare import INCONCLUSIVE, Element, TensorReport, eps_of_scale, errors
from tapecheck.complexstep import complex_steps
from tapecheck.problem import Problem

OURS_OFF = "tapecheck's own gradient is off, please report it"
NOBODY = "TensorFlow, exact gradient and complex step all differ"


def refereed(
    problem: Problem, row: TensorReport, candidate: Array, oracle: Array, exact: Array
) -> TensorReport:
    """`row`, a gradient that was compared, unless the complex step contradicts the exact gradient at the
    element where TensorFlow is farthest from it: then it is inconclusive, and `note` says why.
    """
    off = errors(row.name, oracle, exact, problem.dtype)
    at = tuple(map(int, np.unravel_index(np.argmax(off), off.shape)))
    unit = float(eps_of_scale(row.name, exact, problem.dtype)[at])
    step = float(complex_steps(problem, row.name, [int(np.argmax(off))])[0])
    if abs(step - float(exact[at])) <= row.limit * unit:
        return row
    note = OURS_OFF if abs(step - float(oracle[at])) <= row.limit * unit else NOBODY
    worst = Element(at, float(candidate[at]), float(oracle[at]), float(exact[at]), unit)
    return replace(row, verdict=INCONCLUSIVE, note=note, worst=worst)
