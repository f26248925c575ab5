"""What all tests share: one thread for BLAS and TensorFlow, and the two sides of a case, run once."""

import os
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser
from threadpoolctl import threadpool_limits

import tapecheck.report
import tf_oracle
from tapecheck.case import Case
from tapecheck.exact import Exact
from tapecheck.problem import Problem
from tapecheck.sides import sides_of_case

# As in an activated environment: reports show commands as the shell finds them.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# One thread, so that every run gives the same bits. TensorFlow reads its variables when it is loaded.
threadpool_limits(1)
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

# Derandomized in every run; `--hypothesis-profile intense` draws more, and anew.
settings.register_profile("ci", derandomize=True)
settings.register_profile("intense", max_examples=10_000)
settings.load_profile("ci")

pytest_plugins = ["pytester"]  # tests/tapecheck/test_plugin.py runs pytest inside pytest


class InOrder(PythonEvaluator):
    """Runs a block after all those above it on its page, whose names it uses, in whichever worker it is."""

    def __call__(self, example: Example) -> None:
        ran = example.namespace.setdefault("_ran", set())
        for block in example.document.examples():
            if block.start <= example.start and block.start not in ran:
                ran.add(block.start)
                super().__call__(block)


# Every Python block of the README and of docs/ is run.
pytest_collect_file = Sybil(
    parsers=[CodeBlockParser("python", InOrder())], patterns=["README.md", "docs/*.md"], path="."
).pytest()


@pytest.fixture(autouse=True)
def no_investigation_breaks_off_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a report would only mention to a user is an error here."""
    monkeypatch.setattr(tapecheck.report, "BREAKS", ())


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
