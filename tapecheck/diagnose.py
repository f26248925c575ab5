"""Which equation is wrong, and what was computed instead.

An implementation's gradients are compared with those of every fault, on several problems: a fault that
reproduces all of its numbers on all of them, to rounding, is what the implementation does. TensorFlow
takes no part.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tapecheck.case import Implementation, Problem, Result
from tapecheck.exact import nonzero
from tapecheck.faults import Fault, clipped_by_norm, clipped_by_value, equation_of, faults, times
from tapecheck.fit import FORWARD_ONLY, ROUNDING, Fit, Seen, alike, fit, matched
from tapecheck.questions import observe, resized
from tapecheck.residuals import Residual, residuals

SHOWN = 5
# Pairs of faults that are tried: some 0.4 milliseconds each.
MOST_PAIRS = 40_000


@dataclass(frozen=True)
class Diagnosis:
    """One explanation of an implementation's gradients.

    `quantity` is the left-hand side of the wrong equation, `fault` the class of the mistake, `equation`
    what was computed, `right` what should be, `location` where the textbook has it. `error` says how
    exactly this reproduces the implementation's numbers, in eps of scale. `certain` is True for a
    finding: all numbers are reproduced, on at least two problems, and by nothing else that differs.
    """

    quantity: str
    fault: str
    equation: str
    right: str
    location: str
    explanation: str
    certain: bool
    error: float
    same: tuple[str, ...] = ()  # other equations that give the very same numbers

    def __str__(self) -> str:
        says = "wrong" if self.certain else "perhaps"
        at = f" ({self.location})" if self.location else ""
        return f"{says}  {self.quantity}: you computed  {self.equation}   right is  {self.right}{at}"


# ---- all faults against all answers


def diagnose(
    implementation: Implementation, problem: Problem, result: Result, *, pairs: bool = False
) -> list[Diagnosis]:
    """What explains the gradients in `result`, the implementation's answer to `problem`; best first.

    `pairs` also tries two mistakes at once, which takes up to half a minute. Empty where nothing is wrong
    and where nothing is known.
    """
    with np.errstate(all="ignore"):  # wrong equations overflow
        return _diagnose(implementation, problem, result, pairs)


def _diagnose(
    implementation: Implementation, problem: Problem, result: Result, pairs: bool
) -> list[Diagnosis]:
    if Seen(problem, result).is_right:
        return []
    seen = observe(implementation, problem, result)
    wrong = [each for each in seen if not each.is_right]
    order = [*wrong, *(each for each in seen if each.is_right)]
    known = faults(wrong[0].problem)
    fits = fitting(known, order) or fitting(fitted(wrong[0]), order)
    if fits:
        return findings(fits, seen, len(wrong))
    if rounded := precision(seen):
        return rounded
    broken = residuals(implementation, seen[0].problem)
    if pairs and (found := two_at_once(known, broken, order)):
        return found
    return [*leads(broken), *partly(known, wrong[0])][:SHOWN]


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


def findings(fits: dict[Fault, Fit], seen: Sequence[Seen], wrong: int) -> list[Diagnosis]:
    """The fitting faults as diagnoses: one for each that could be told from the others elsewhere."""
    explaining = {fault: found for fault, found in fits.items() if found.how != FORWARD_ONLY}
    quantities = {fault.quantity for fault in fits}
    fits = explaining or fits
    groups = alike(fits, elsewhere(seen), seen[0].tensors)
    certain = len(groups) == 1 and wrong >= 2 and bool(explaining or len(quantities) == 1)
    return [said(group, fits[group[0]], certain, seen) for group in groups[:SHOWN]]


def elsewhere(seen: Sequence[Seen]) -> Problem:
    """A problem of other sizes, on which faults that fit can still differ."""
    return resized(seen[0].problem.case, 4, 6, 2).problem()


def said(
    group: Sequence[Fault], found: Fit, certain: bool, seen: Sequence[Seen], mistakes: int = 1
) -> Diagnosis:
    """A fitting fault, and those that have the same effect, in words; of two `mistakes`, one."""
    fault = group[0]
    count = len(seen[-1].tensors)
    together = "with the other mistake, " if mistakes > 1 else ""
    reproduces = (
        f"{together}reproduces all {count} tensors on {len(seen)} problems to {found.error:.1f} eps of scale"
    )
    same = tuple(other.wrong for other in group[1:])
    others = same and f"the same numbers come of {' or of '.join(same[:2])}"
    parts = [fault.why, found.how, reproduces, others]
    return Diagnosis(
        fault.quantity,
        fault.kind,
        fault.wrong,
        fault.right,
        fault.location,
        ". ".join(part for part in parts if part),
        certain,
        found.error,
        same,
    )


def fitted(seen: Seen) -> Iterator[Fault]:
    """Conventions with a number in them, which is read off the answer: a limit or a factor."""
    gradients = {name: array for name, array in seen.tensors.items() if name != "output"}
    right = seen.truth.gradients
    top = max(float(np.abs(array).max()) for array in gradients.values())
    if sum(int(np.sum(np.abs(array) == top)) for array in gradients.values()) > 1:
        yield clipped_by_value(top)
    for names in (list(gradients), [name for name in gradients if "/" in name]):
        yield clipped_by_norm(math.sqrt(sum(float(np.sum(gradients[name] ** 2)) for name in names)), names)
    name = max(gradients, key=lambda name: gradients[name].size)
    factor = float(np.sum(gradients[name] * right[name]) / nonzero(np.sum(right[name] ** 2)))
    yield times(factor)


def precision(seen: Sequence[Seen]) -> list[Diagnosis]:
    """Gradients that are right to the precision of float32 and no further."""
    single = float(np.finfo(np.float32).eps)
    errors = [float(max(each.errors(each.truth).values()) * each.eps / single) for each in seen]
    if not max(errors) <= ROUNDING:
        return []
    return [
        Diagnosis(
            *("precision", "float32 buffers", "some array in float32", "float64 throughout", ""),
            f"every tensor is right to {max(errors):.1f} float32 eps of scale: some buffer is float32, such "
            "as one made by np.zeros(shape, np.float32)",
            certain=False,
            error=max(errors),
        )
    ]


# ---- no single fault fits


# The quantities of the faults that can break an equation, the likely ones and then others: residuals
# cannot tell dk from dz_k, nor a wrong sum from wrong terms.
UPSTREAM = ("dy", "dlogits", "scale", "sign")
SUMS = ("layout", "cache", "scale", "dW_x")
CAUSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{f"dz_{k}": ((f"d{k}", f"dz_{k}"), ()) for k in "ifgo"},
    "dc": (("dc", "dc_next"), ("do", "dz_o")),
    "dc_next": (("dc_next", "dc"), ("truncation", "dh_next")),
    "dh_next": (("dh_next", "dh"), ("truncation", "dh_above")),
    "dh_above": (("dh_above", "dh"), UPSTREAM),
    "upstream": (UPSTREAM, ("dh_above", "clipping")),
    "sums": (SUMS, ()),
    "dW_x": (("dW_x",), SUMS),
    "dW_h": (("dW_h",), SUMS),
    "db": (("db",), SUMS),
}


# Equations that are broken together are so by one fault: of what they all read, or of all results.
WHOLES = {
    "upstream": ({"dW_y", "db_y"}, {"dh_above"}),
    "sums": ({"dW_x", "dW_h", "db"}, set[str]()),
}


def pool(known: Sequence[Fault], name: str, wide: bool) -> list[Fault]:
    """The faults that can break an equation; of several sums at once, those that touch several."""
    likely, other = CAUSES.get(name, ((name,), ()))
    wanted = likely + other * wide
    return [
        fault
        for fault in known
        if fault.quantity in wanted and (name != "sums" or len(fault.code) != 1 or fault.quantity == "cache")
    ]


def two_at_once(known: Sequence[Fault], broken: Sequence[Residual], seen: Sequence[Seen]) -> list[Diagnosis]:
    """Two faults that together reproduce every answer, one for each of two broken equations."""
    names = list(dict.fromkeys(residual.quantity for residual in broken))
    for whole, (parts, also) in WHOLES.items():
        if parts <= set(names):
            names = [whole, *(name for name in names if name not in parts | also)]
    tried: set[frozenset[Fault]] = set()
    for wide in (False, True):
        pools = [pool(known, name, wide) for name in names]
        choices = sorted(
            itertools.combinations_with_replacement(pools, 2), key=lambda two: len(two[0]) * len(two[1])
        )
        for one, another in choices:
            both = {}
            for a, b in itertools.product(one, another):
                if a is not b and frozenset((a, b)) not in tried and not a.code.keys() & b.code.keys():
                    both[a, b] = a + b
                    tried.add(frozenset((a, b)))
            if len(tried) > MOST_PAIRS:
                return []
            if fits := fitting(both.values(), seen):
                return pair_found(both, fits, seen)
    return []


def pair_found(
    both: dict[tuple[Fault, Fault], Fault], fits: dict[Fault, Fit], seen: Sequence[Seen]
) -> list[Diagnosis]:
    """The commonest of the pairs that fit, as a diagnosis for each of its faults."""
    found = {pair: fits[fault] for pair, fault in both.items() if fault in fits}
    a, b = min(found, key=lambda pair: (pair[0].rank, pair[1].rank))
    certain = len(alike(fits, elsewhere(seen), seen[0].tensors)) == 1 and len(seen) > 1
    like_a = [one for one, other in found if other is b and one is not a]
    like_b = [other for one, other in found if one is a and other is not b]
    return [
        said([fault, *others], found[a, b], certain, seen, mistakes=2)
        for fault, others in ((a, like_a), (b, like_b))
    ]


def leads(broken: Sequence[Residual]) -> list[Diagnosis]:
    """The broken equations, where no known mistake explains what they give."""
    return [
        Diagnosis(
            residual.quantity,
            "unknown",
            f"{residual.quantity} = something else" if not residual.ratio else f"{residual.ratio} * that",
            *equation_of(residual.quantity),
            f"{residual}, and no known mistake gives these numbers",
            certain=False,
            error=math.inf,
        )
        for residual in broken
    ]


def partly(known: Sequence[Fault], seen: Seen) -> list[Diagnosis]:
    """Faults that explain some of the wrong tensors and spoil none that is right; most first."""
    right = {name for name, error in seen.errors(seen.truth).items() if error <= ROUNDING}
    explained = {}
    for fault in known:
        hits = matched(fault, seen)
        if hits > right:
            explained[fault] = hits
    ranked = sorted(explained, key=lambda fault: (-len(explained[fault]), fault.rank))
    return [
        Diagnosis(
            *(fault.quantity, fault.kind, fault.wrong, fault.right, fault.location),
            f"{fault.why}. Explains {', '.join(sorted(explained[fault] - right))} and not the rest",
            certain=False,
            error=math.inf,
        )
        for fault in ranked[:2]
    ]
