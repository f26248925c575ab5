"""Runs the sides and returns a Report."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from reference_impl.spec import Arrays
from tapecheck.answer import Answer, Limited, ask
from tapecheck.case import Case
from tapecheck.catalogue import taken
from tapecheck.compare import FAILED, TensorReport, compare
from tapecheck.imports import name_of, require_callable
from tapecheck.loud import wrong_when_loud
from tapecheck.problem import Implementation, Problem
from tapecheck.referee import refereed
from tapecheck.report import Report
from tapecheck.rounding import farthest
from tapecheck.sides import sides_of, sides_of_case


def check(
    case: Case | Problem | str,
    implementation: Implementation | None = None,
    *,
    time_limit: float | None = None,
    pairs: bool = False,
    name: str = "",
) -> Report:
    """Compare an implementation's gradients with TensorFlow's and with the exact ones.

    `case` is what to check, its name in the catalogue, or a problem drawn from it already.
    `implementation` is a callable that takes a Problem and returns a Result, or a dict of gradients by
    tensor name; None is the shipped NumPy implementation. It is given arrays of its own; whatever it raises
    or returns is in the report. NotImplementedError says that it does not do such a case. Where its answer
    passes it is asked a second time, for what is kept between calls shows only then, and once with targets
    that are 1000 times as large, where the loss grows with them: clipping may show only then.
    `time_limit` is in seconds, for each call of the implementation (see `tapecheck.answer.Limited`).
    `pairs` lets the diagnosis of a failed check look for two mistakes at once, which takes up to half a
    minute. `name` is what the report calls the implementation, by default its module and name.

    Raises BadInput for what is no case, for an implementation that is not callable and where no time
    limit can be set; `tf_oracle.OracleUnavailable` where TensorFlow cannot be used.
    """
    case = taken(case)
    sides = sides_of_case(case) if isinstance(case, Case) else sides_of(case)
    problem, oracle, book, truth, unknown = sides
    if implementation is not None:
        require_callable(implementation, "this implementation", "`implementation`")
        if time_limit is not None:
            implementation = Limited(implementation, time_limit)

    @cache
    def worst() -> Arrays:
        return farthest(problem, book, truth.tensors) if truth else book

    def row(name: str, candidate: Any, oracle_value: Any) -> TensorReport:
        true = truth.tensors[name] if truth else None
        values = name, candidate, np.asarray(oracle_value)
        first = compare(*values, book[name], true, problem.dtype)
        if first.verdict == FAILED and not first.note:
            first = compare(*values, worst()[name], true, problem.dtype)
        if first.oracle_is_off and first.worst and true is not None and name in problem.tensors:
            return refereed(problem, first, candidate, values[2], true)
        return first

    def judged(answer: Answer) -> Report:
        result = answer.result
        forward = {"output": row("output", result.output, oracle.output)}
        if problem.loss is not None:
            forward["loss"] = row("loss", result.loss, oracle.loss)
        gradients = {
            name: row(name, result.gradients.get(name), oracle.gradients[name]) for name in problem.tensors
        }
        return Report(
            problem=problem,
            implementation=name or (name_of(implementation) if implementation else "reference_impl"),
            function=implementation or (lambda problem: problem.reference),
            answer=answer,
            pairs=pairs,
            oracle=oracle,
            exact=truth,
            unknown=unknown,
            forward={name: tensor for name, tensor in forward.items() if tensor.verdict != "unchecked"},
            tensors=gradients,
        )

    if implementation is None:
        return judged(Answer(replace(problem).reference))
    report = judged(ask(implementation, problem))
    if report.passed:
        report = confirmed(report, judged(ask(implementation, problem)))
    return replace(report, loud=wrong_when_loud(implementation, problem)) if report.passed else report


def confirmed(first: Report, second: Report) -> Report:
    """The first report, which is passed, where the second answer to the same problem is as right; else the
    second report, failed. Rounding may differ from call to call.
    """
    answer = second.answer
    if answer.failure:
        failure = f"answered once and, asked again, {answer.failure}"
        return replace(second, answer=replace(answer, failure=failure, not_done=False))
    right = {row.name for row in second.rows if row.passed}
    lost = [row.name for row in first.rows if row.passed and row.name not in right]
    unlike = lost + [name for name in answer.result.gradients if name not in second.tensors]
    return replace(second, answer=replace(answer, unlike_first=tuple(unlike))) if unlike else first
