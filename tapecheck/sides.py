"""The sides that a candidate is judged by: TensorFlow's, the textbook's, and the exact values."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

import tf_oracle
from reference_impl.spec import Arrays
from tapecheck.case import Case
from tapecheck.exact import Exact, NotEnclosed, exact, named, run_textbook
from tapecheck.problem import Problem

# Cases whose sides are kept, some tens of kilobytes each for the catalogue's.
KEPT = 128


class Sides(NamedTuple):
    """A problem with everything that an answer to it is compared with."""

    problem: Problem
    oracle: tf_oracle.OraclePass
    book: Arrays  # the textbook in the problem's own dtype: "output", "loss" and every gradient
    exact: Exact | None
    unknown: str  # why there is no exact value


def sides_of(problem: Problem) -> Sides:
    """Run them. Raises `tf_oracle.OracleUnavailable` where TensorFlow cannot be used."""
    oracle = tf_oracle.run(problem.model, problem, problem.loss)
    book, _ = named(run_textbook(problem, np.asarray))
    try:
        return Sides(problem, oracle, book, exact(problem), "")
    except NotEnclosed as reason:
        return Sides(problem, oracle, book, None, str(reason))


@lru_cache(KEPT)
def sides_of_case(case: Case) -> Sides:
    """Those of a case, run once in a process: its arrays are the same every time. Nobody may write into
    them, since the next to check the case is given them too.
    """
    sides = sides_of(case.problem())
    for arrays in (sides.problem.tensors, sides.oracle.gradients, sides.book, {"y": sides.problem.y}):
        for array in arrays.values():
            np.asarray(array).flags.writeable = False
    return sides
