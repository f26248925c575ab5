"""Runs the sides and returns a Report."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import tf_oracle
from tapecheck.case import Case, Implementation, Problem, Result
from tapecheck.compare import TensorReport, compare
from tapecheck.exact import Exact, NotEnclosed, exact
from tapecheck.report import Report


def check(case: Case | Problem, implementation: Implementation | None = None) -> Report:
    """Compare an implementation's gradients with TensorFlow's and with the exact ones.

    `case` is what to check, or a problem drawn from it already. `implementation` is a callable that
    takes a Problem and returns a Result, or a dict of gradients by tensor name; None is the shipped
    NumPy implementation. It is given arrays of its own. What it raises is not caught.

    Raises `tf_oracle.OracleUnavailable` where TensorFlow cannot be used.
    """
    problem = case.problem() if isinstance(case, Case) else case
    result = problem.reference if implementation is None else answer(implementation, problem)
    oracle = tf_oracle.run(
        problem.model, problem.weights, problem.x, problem.y, problem.loss, problem.initial_state
    )
    truth: Exact | None = None
    unknown = ""
    try:
        truth = exact(problem)
    except NotEnclosed as reason:
        unknown = str(reason)

    def row(name: str, candidate: Any, oracle_value: Any, reference_value: Any) -> TensorReport:
        true = truth.tensors[name] if truth else None
        return compare(name, candidate, np.asarray(oracle_value), reference_value, true, problem.dtype)

    mine = problem.reference
    forward = {"output": row("output", result.output, oracle.output, mine.output)}
    if problem.loss is not None:
        forward["loss"] = row("loss", result.loss, oracle.loss, np.asarray(mine.loss))
    gradients = {
        name: row(name, result.gradients.get(name), oracle.gradients[name], mine.gradients[name])
        for name in problem.tensors
    }
    return Report(
        problem=problem,
        implementation="reference_impl" if implementation is None else name_of(implementation),
        result=result,
        oracle=oracle,
        exact=truth,
        unknown=unknown,
        forward={name: tensor for name, tensor in forward.items() if tensor.verdict != "unchecked"},
        tensors=gradients,
    )


def answer(implementation: Implementation, problem: Problem) -> Result:
    """The implementation's Result, on a copy of the problem that it may write into.

    Raises TypeError where it returns something else than a Result or a dict.
    """
    returned = implementation(problem.copy())
    if isinstance(returned, Result):
        return returned
    if isinstance(returned, Mapping):
        return Result(returned)
    raise TypeError(
        f"{name_of(implementation)} returned a {type(returned).__name__}, but should return a "
        "tapecheck.Result or a dict of gradients by tensor name"
    )


def name_of(implementation: Implementation) -> str:
    """`package.module:function`, as the command takes it."""
    name = getattr(implementation, "__qualname__", type(implementation).__qualname__)
    return f"{getattr(implementation, '__module__', None) or '?'}:{name}"
