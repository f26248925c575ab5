"""What all tests share: one thread for BLAS and TensorFlow, and the two sides of a case, run once."""

import os
from functools import cache
from typing import NamedTuple

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from threadpoolctl import threadpool_limits

import tf_oracle
from tapecheck.case import Case, Problem
from tapecheck.exact import Exact
from tapecheck.sides import sides_of_case

# One thread, so that every run gives the same bits. TensorFlow reads its variables when it is loaded.
threadpool_limits(1)
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

pytest_plugins = ["pytester"]  # tests/tapecheck/test_plugin.py runs pytest inside pytest

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
    """Run once in a process, however many tests and checks look at it."""
    found = sides_of_case(case)
    assert found.exact is not None, found.unknown
    return Sides(found.problem, found.oracle, found.exact)


@pytest.fixture
def sides(case: Case) -> Sides:
    """The sides of the `case` that the test is parametrized with."""
    return sides_of(case)
