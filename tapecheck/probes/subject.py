"""An implementation under test, asked about one problem after another, each answer judged."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from reference_impl.lstm import GATES
from reference_impl.spec import Array, Arrays
from tapecheck.answer import ask
from tapecheck.compare import FACTOR, FAILED, FLOOR, TensorReport, compare, errors
from tapecheck.exact import Exact, NotEnclosed, exact
from tapecheck.localize import Localization
from tapecheck.probes import derived
from tapecheck.problem import Implementation, Problem, Result

# As it should be; points at what is wrong; what it looks for is not all that is wrong; could not be run.
RIGHT, SUSPECT, RULED_OUT, NOT_APPLICABLE = "right", "suspect", "ruled out", "not applicable"
# How far a direction or a factor may be off and still be called the same.
ALIKE = 1e-6

# What an experiment returns: the outcome, one sentence, and where dz goes wrong if it has read dz.
Finding = tuple[str, str] | tuple[str, str, Localization]


class NotApplicable(Exception):
    """An experiment cannot be made with this implementation or model; the message says why."""


@dataclass(frozen=True)
class Judged:
    """The implementation's answer to a problem. `changed` names the inputs that it wrote into.

    Judged by the exact gradient, with the limit of `compare` and the shipped implementation in place of
    TensorFlow.
    """

    problem: Problem
    result: Result
    changed: tuple[str, ...] = ()

    @property
    def gradients(self) -> Mapping[str, Any]:
        return self.result.gradients

    @cached_property
    def arrays(self) -> Arrays:
        """The gradients of this model that are arrays of floats at all."""
        return {
            name: value
            for name, value in self.gradients.items()
            if name in self.problem.tensors and isinstance(value, np.ndarray) and value.dtype.kind == "f"
        }

    @cached_property
    def true(self) -> Exact:
        """The exact values. Raises NotApplicable where they are not known."""
        try:
            return exact(self.problem)
        except NotEnclosed as reason:
            raise NotApplicable(str(reason)) from reason

    @property
    def traced(self) -> Exact:
        """The exact values, with a trace that is known. Raises NotApplicable where it is not."""
        try:
            _ = self.true.trace  # computed here, or never
        except NotEnclosed as reason:
            raise NotApplicable(str(reason)) from reason
        return self.true

    @cached_property
    def wrong(self) -> list[TensorReport]:
        """The weights whose gradient is wrong. Raises NotApplicable where none is returned."""
        if not any(name in self.gradients for name in self.problem.weights):
            raise NotApplicable("no gradient of a weight is returned")
        rows = map(self.compared, self.problem.weights)
        return [row for row in rows if row.verdict == FAILED]

    def compared(self, name: str) -> TensorReport:
        """How one gradient compares."""
        mine, true = self.problem.reference.gradients[name], self.true.tensors[name]
        return compare(name, self.gradients.get(name), mine, mine, true, self.problem.dtype)

    def is_wrong(self, name: str) -> bool:
        """Whether one gradient is wrong."""
        return self.compared(name).verdict == FAILED

    def wrong_gates(self, tensor: str) -> list[str]:
        """The gates whose columns of an LSTM's `tensor` are wrong, in the wrong LSTM nearest the loss."""
        for row in reversed(self.wrong):
            if row.name.startswith("lstm") and row.name.endswith(f"/{tensor}") and row.worst:
                true, dtype = self.true.tensors[row.name], self.problem.dtype
                bad = errors(row.name, self.gradients[row.name], true, dtype) > row.limit
                columns = np.split(bad, 4, axis=-1)
                return [gate for gate, column in zip(GATES, columns, strict=True) if column.any()]
        return []


@dataclass(frozen=True)
class Subject:
    """The implementation under test, and the problem that all others are derived from."""

    implementation: Implementation
    problem: Problem

    def ask(self, problem: Problem | None) -> Judged:
        """The answer to a problem, in arrays that no later call can write into.

        Raises NotApplicable for None, and where the implementation fails.
        """
        if problem is None:
            raise NotApplicable("not with this model and loss")
        answer = ask(self.implementation, problem)
        if answer.failure:
            raise NotApplicable(f"the implementation {answer.failure}")
        gradients = {name: copy(value) for name, value in answer.result.gradients.items()}
        return Judged(problem, replace(answer.result, gradients=gradients), answer.changed)

    @cached_property
    def base(self) -> Judged:
        """The answer to the problem itself."""
        return self.ask(self.problem)

    @cached_property
    def steerable(self) -> Problem:
        """The problem, or one with a free upstream gradient where targets cannot steer that of its loss."""
        if derived.steered(self.problem, 1):
            return self.problem
        free = derived.with_free_upstream(self.problem)
        if not self.takes_free_upstream(self.ask(free)):
            raise NotApplicable(f"{self.problem.loss} fixes the upstream gradient, and loss=None is ignored")
        return free

    def takes_free_upstream(self, free: Judged) -> bool:
        """Whether twice the dy gives twice the gradients: code that ignores loss=None does not."""
        twice = self.ask(replace(free.problem, y=2 * free.problem.y)).arrays
        return all(same(2 * once, twice.get(name), free.problem.dtype) for name, once in free.arrays.items())


def same(first: Array, second: Array | None, dtype: np.dtype) -> bool:
    """Whether two gradients agree to rounding, NaN with NaN."""
    if second is None or first.shape != second.shape:
        return False
    if np.array_equal(first, second, equal_nan=True):
        return True
    return bool(errors("", second, first.astype(np.longdouble), dtype).max() <= FACTOR * FLOOR)


def contrast(
    subject: Subject, problem: Problem | None, where: str, *, if_exact: str, if_wrong: str
) -> Finding:
    """The answer as given against that to a derived problem: only the first being wrong says most."""
    answer = subject.ask(problem)
    if not any(answer.problem.reference.gradients[name].any() for name in answer.problem.weights):
        raise NotApplicable(f"every gradient is zero {where}")  # a dead relu, which is right by chance
    wrong = answer.wrong
    if subject.base.wrong and wrong:
        return RULED_OUT, f"wrong {where} too: {if_wrong}"
    if subject.base.wrong:
        return SUSPECT, f"exact {where}: {if_exact}"
    return (SUSPECT, f"exact as given, but wrong {where}") if wrong else (RIGHT, f"exact {where}")


# ---- words


def factor_of(wrong: list[TensorReport]) -> float | None:
    """The one factor between all the wrong gradients and the exact ones; None where there is none."""
    factors = [row.factor for row in wrong if abs(row.cosine) > 1 - ALIKE]
    if not wrong or len(factors) < len(wrong) or np.ptp(factors) > ALIKE * abs(factors[0]):
        return None
    return factors[0]
