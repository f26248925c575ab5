"""Does a fault do what the implementation did? Both run on the same problem, compared to rounding."""

import math
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from reference_impl.spec import Array, Arrays
from reference_impl.textbook import Pass
from tapecheck.exact import nonzero, scale
from tapecheck.faults import BROKEN, Fault, program, slope
from tapecheck.faults.program import Kept
from tapecheck.problem import Problem, Result

# Two float computations of the same equations differ by a few eps of scale on problems of O(1) scale; two
# different equations by some 1e10. In float32, where they differ by 1e4, the limit is as many eps.
ROUNDING = 1024


class Seen:
    """One problem, and what the implementation answered."""

    def __init__(self, problem: Problem, result: Result):
        self.problem = problem
        tensors = dict(result.gradients)
        if result.output is not None:
            tensors["output"] = result.output
        self.kept: Kept = program.forward(problem, {})
        self.truth: Pass = program.backpropagate(problem, {}, self.kept)
        right = flat(self.truth)
        self.tensors: Arrays = {
            name: np.asarray(tensors[name], np.float64)
            for name in right
            if name in tensors and np.shape(tensors[name]) == right[name].shape
        }
        self.eps = np.finfo(np.float32 if self.is_single(tensors) else np.float64).eps
        self.units = {name: unit(name, array, right[name]) * self.eps for name, array in self.tensors.items()}

    @property
    def gradients(self) -> Arrays:
        """The tensors that are gradients."""
        return {name: array for name, array in self.tensors.items() if name != "output"}

    def is_single(self, tensors: Arrays) -> bool:
        """Whether every number went through float32."""
        return self.problem.dtype == np.float32 or all(
            np.array_equal(array, array.astype(np.float32)) for array in self.tensors.values()
        )

    def errors(self, answer: Pass) -> dict[str, float]:
        """How far another answer is from this one, tensor by tensor, in eps of scale."""
        found = flat(answer)
        return {name: distance(array, found[name], self.units[name]) for name, array in self.tensors.items()}

    def error(self, answer: Pass) -> float:
        """How far another answer is from this one, in eps of scale."""
        found = flat(answer)
        worst = 0.0
        for name, array in self.tensors.items():
            if name in found:
                worst = max(worst, distance(array, found[name], self.units[name]))
            if worst > ROUNDING:
                return math.inf
        return worst

    @cached_property
    def is_right(self) -> bool:
        """Whether the implementation's answer is the right one."""
        return self.error(self.truth) <= ROUNDING

    @cached_property
    def forward_is_right(self) -> bool | None:
        """Whether the output is right; None where it was not returned."""
        if "output" not in self.tensors:
            return None
        return distance(self.tensors["output"], self.truth.output, self.units["output"]) <= ROUNDING


def flat(answer: Pass) -> Arrays:
    """Every tensor of an answer by name, the cheapest to be told apart by first."""
    return {"output": answer.output, **answer.gradients}


def unit(name: str, theirs: Array, right: Array) -> Array:
    """The scale that a tensor is measured by: its own, and the right one's where its own is zero."""
    own = scale(name, theirs)
    return np.where(own > 0, own, nonzero(scale(name, right)))


def distance(theirs: Array, other: Array, units: Array) -> float:
    """max |theirs - other| / units; inf for another shape and for NaN on one side."""
    if other.shape != theirs.shape:
        return math.inf
    worst = float(np.max(np.abs(theirs - other) / units))
    return worst if worst == worst else math.inf


class Fit(NamedTuple):
    """How exactly a fault reproduces an answer, in eps of scale, and what of the answer it explains."""

    error: float
    how: str = ""


NO_FIT = Fit(math.inf)
OWN_GRADIENT = "its gradients are right for this forward pass"
TEXTBOOK_GRADIENT = "the backward equations are the right ones, for Keras's forward pass"
FORWARD_ONLY = "its gradients are those of neither forward pass: another mistake is in the backward pass"


def fit(fault: Fault, seen: Seen) -> Fit:
    """Whether the fault is what the implementation does on one problem."""
    try:
        if fault.phase == "forward":
            return fit_forward(fault, seen)
        return Fit(seen.error(fault.run(seen.problem, seen.kept, seen.truth)))
    except BROKEN:
        return NO_FIT


def fit_forward(fault: Fault, seen: Seen) -> Fit:
    """A wrong forward pass may come with its own gradient, or with the textbook's equations."""
    kept = program.forward(seen.problem, fault.code)
    known = seen.forward_is_right is not None
    if known and (
        seen.forward_is_right or distance(seen.tensors["output"], kept[0], seen.units["output"]) > ROUNDING
    ):
        return NO_FIT
    error = seen.error(program.backpropagate(seen.problem, fault.code, kept))
    if error <= ROUNDING:
        return Fit(error, TEXTBOOK_GRADIENT)
    error = slope_error(fault, seen)
    if error <= ROUNDING:
        return Fit(error, OWN_GRADIENT)
    return Fit(ROUNDING, FORWARD_ONLY) if known else NO_FIT


def fitting(candidates: Iterable[Fault], seen: Sequence[Seen]) -> dict[Fault, Fit]:
    """The candidates that reproduce every answer, best first."""
    fits: dict[Fault, Fit] = {}
    for fault in candidates:
        found = []
        for each in seen:
            found.append(fit(fault, each))
            if found[-1].error > ROUNDING:
                break
        else:
            fits[fault] = max(found)
    return dict(sorted(fits.items(), key=lambda pair: pair[0].rank))


def matched(fault: Fault, seen: Seen) -> set[str]:
    """The tensors that the fault reproduces."""
    try:
        errors = seen.errors(fault.run(seen.problem, seen.kept, seen.truth))
    except BROKEN:
        return set()
    return {name for name, error in errors.items() if error <= ROUNDING}


def slope_error(fault: Fault, seen: Seen) -> float:
    """How far the implementation's gradients are from the faulty forward pass's own, each along one
    random direction.
    """
    rng = np.random.default_rng(zlib.crc32(seen.problem.case.name.encode()))
    worst = 0.0
    for name, gradient in seen.tensors.items():
        if name == "output":
            continue
        direction = rng.standard_normal(gradient.shape)
        theirs = float(np.sum(gradient * direction))
        units = np.sqrt(np.sum((direction * seen.units[name]) ** 2))
        off = abs(theirs - slope(fault, seen.problem, {name: direction})) / float(units)
        if not off <= ROUNDING:  # NaN, where the faulty pass has no slope, is no fit either
            return math.inf
        worst = max(worst, off)
    return worst


def alike(fits: dict[Fault, Fit], problem: Problem, names: Iterable[str]) -> list[list[Fault]]:
    """The faults in groups that have the same effect on the tensors `names` of `problem`, best first."""
    kept = program.forward(problem, {})
    groups: list[tuple[Seen | None, list[Fault]]] = []
    for fault, found in fits.items():
        try:
            answer = effect(fault, found, problem, kept)
        except BROKEN:
            groups.append((None, [fault]))
            continue
        same = [group for other, group in groups if other and other.error(answer) <= ROUNDING]
        if same:
            same[0].append(fault)
        else:
            mine = {name: array for name, array in answer.gradients.items() if name in names}
            groups.append((Seen(problem, Result(mine, answer.output)), [fault]))
    return [group for _, group in groups]


def effect(fault: Fault, found: Fit, problem: Problem, kept: Kept) -> Pass:
    """What a fitting fault makes of a problem. Of a wrong forward pass with its own gradient that is the
    output alone: the gradient follows from it.
    """
    if found.how in (OWN_GRADIENT, FORWARD_ONLY):
        output, value, _ = program.forward(problem, fault.code)
        return Pass(output, value, {}, {})
    return fault.run(problem, kept)
