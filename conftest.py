"""What all tests share: one thread for BLAS and TensorFlow, and the two sides of a case, run once."""

import os
from functools import cache
from typing import NamedTuple

# Before NumPy or TensorFlow is loaded, here or in a worker: the same bits in every run, on any machine.
for variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ[variable] = "1"

import pytest  # noqa: E402
from sybil import Sybil  # noqa: E402
from sybil.parsers.markdown import PythonCodeBlockParser  # noqa: E402

import tf_oracle  # noqa: E402
from tapecheck.case import Case, Problem  # noqa: E402
from tapecheck.exact import Exact, exact  # noqa: E402

# Every Python block of the README and of docs/ is run, in order, page by page.
pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md"], path="."
).pytest()


class Sides(NamedTuple):
    """A case with everything that it is judged by."""

    problem: Problem
    oracle: tf_oracle.OraclePass
    exact: Exact


@cache
def sides_of(case: Case) -> Sides:
    """Run once in a process, however many tests look at it."""
    problem = case.problem()
    oracle = tf_oracle.run(
        problem.model, problem.weights, problem.x, problem.y, problem.loss, problem.initial_state
    )
    return Sides(problem, oracle, exact(problem))


@pytest.fixture
def sides(case: Case) -> Sides:
    """The sides of the `case` that the test is parametrized with."""
    return sides_of(case)
