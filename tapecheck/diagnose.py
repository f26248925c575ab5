"""Which equation is wrong, and what was computed instead.

An implementation's gradients are compared with those of every fault, on several problems: a fault that
reproduces all of its numbers on all of them, to rounding, is what the implementation does. Where none does,
the mistakes are looked for on the implementation's own values (tapecheck/search). TensorFlow takes no part.
"""

from collections.abc import Sequence, Set

import numpy as np

from tapecheck.diagnosis import Diagnosis, finding, other_gates, partial, single_precision
from tapecheck.faults import Fault, faults, fitted, further, other_forwards
from tapecheck.fit import FORWARD_ONLY, ROUNDING, Fit, Seen, alike, fitting, matched
from tapecheck.loud import heard
from tapecheck.problem import Implementation, Problem, Result
from tapecheck.questions import Change, elsewhere, observe
from tapecheck.search.clipping import clipped
from tapecheck.search.each_gate import wrong_gates
from tapecheck.several import named, several

SHOWN = 5
# Answers that are asked for again with larger targets: the norm of two shows a limit.
LOUD = 2


def diagnose(
    implementation: Implementation,
    problem: Problem,
    result: Result,
    *,
    pairs: bool = False,
    change: Change | None = None,
) -> list[Diagnosis]:
    """What explains the gradients in `result`, the implementation's answer to `problem`; best first.

    `pairs` also looks for several mistakes at once, which takes some seconds more. `change` is what has made
    `problem` of its case's, and is done to the other problems that are asked about. Empty where nothing is
    wrong and where nothing is known.
    """
    with np.errstate(all="ignore"):  # wrong equations overflow
        return _diagnose(implementation, problem, result, pairs, change)[:SHOWN]


def _diagnose(
    implementation: Implementation, problem: Problem, result: Result, pairs: bool, change: Change | None
) -> list[Diagnosis]:
    checked = Seen(problem, result)
    if checked.is_right:
        return []
    seen = observe(implementation, checked, change)
    wrong = [each for each in seen if not each.is_right]
    seen = [*wrong, *(each for each in seen if each.is_right)]  # those that tell most come first
    other_model = any(each.forward_is_right is False for each in seen)
    first = wrong[0]
    known = faults(first.problem)
    read = fitted(first.gradients, first.truth.gradients, first.problem.weights)
    fits = fitting(known, seen) or fitting(read, seen)
    if not fits and not other_model:
        more = further(first.problem)
        fits, known = fitting(more, seen), (*known, *more)
    if not fits and other_model:
        fits = fitting(other_forwards(first.problem), seen)
    if fits:
        found = findings(fits, seen, len(wrong))
        best = next(iter(fits))
        if fits[best].how == FORWARD_ONLY:
            return found[:1] + several(implementation, checked, seen, known, pairs, best)
        louder = [] if change else heard(implementation, seen[:LOUD])
        if not louder or fitting(fits, louder):
            return found
        behind = clipped(known, [*seen, *louder])
        return (behind and clipping(*behind, [*seen, *louder])) or found
    if rounded := precision(seen):
        return rounded
    if other_model:  # the values of the forward pass are not known, so nothing follows from them
        return other_gates(wrong_gates(implementation, problem.case))
    seen = seen if change else [*seen, *heard(implementation, seen[:LOUD])]
    if behind := clipped(known, seen):
        return clipping(*behind, seen)
    return several(implementation, checked, seen, known, pairs) or partly(known, first)


def findings(fits: dict[Fault, Fit], seen: Sequence[Seen], wrong: int) -> list[Diagnosis]:
    """The fitting faults as diagnoses: one for each that could be told from the others elsewhere."""
    explaining = {fault: found for fault, found in fits.items() if found.how != FORWARD_ONLY}
    quantities = {fault.quantity for fault in fits}
    fits = explaining or fits
    groups = alike(fits, elsewhere(seen[0].problem.case), seen[0].tensors)
    certain = len(groups) == 1 and wrong >= 2 and bool(explaining or len(quantities) == 1)
    return [finding(group, fits[group[0]], certain, seen) for group in groups]


def clipping(behind: Sequence[Fault], limit: Fault, seen: Sequence[Seen]) -> list[Diagnosis]:
    """Clipping, and the mistake behind it; where that is none of the known ones, clipping as a lead."""
    if found := named([behind, [limit]], None, seen):
        return found
    return [
        partial(limit, "Another mistake is behind it, which does not show through: take the clipping away")
    ]


def precision(seen: Sequence[Seen]) -> list[Diagnosis]:
    """Gradients that are right to the precision of float32 and no further."""
    single = float(np.finfo(np.float32).eps)
    error = max(float(max(each.errors(each.truth).values()) * each.eps / single) for each in seen)
    return [single_precision(error)] if error <= ROUNDING else []


def partly(known: Sequence[Fault], seen: Seen) -> list[Diagnosis]:
    """Faults that explain some of the wrong tensors and spoil none that is right; most first."""
    right = {name for name, error in seen.errors(seen.truth).items() if error <= ROUNDING}
    hits = {fault: matched(fault, seen) for fault in known}
    helping = [fault for fault in known if hits[fault] > right]
    ranked = sorted(helping, key=lambda fault: (-len(hits[fault]), fault.rank))
    return [
        partial(fault, explained(hits[fault] - right, seen.tensors.keys() - right)) for fault in ranked[:2]
    ]


def explained(tensors: Set[str], wrong: Set[str]) -> str:
    """Which of the wrong tensors a fault explains."""
    if tensors == wrong:
        return "Explains all that is wrong here, and not the answers to other problems"
    return f"Explains {', '.join(sorted(tensors))} and not the rest"
