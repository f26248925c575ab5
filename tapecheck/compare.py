"""The measure and the verdict on one tensor.

    error(candidate) = max |candidate - exact| / (eps(dtype) * scale)
    passed  <=>  error(candidate) <= FACTOR * max(error(TensorFlow), error(textbook), FLOOR)

No rtol is picked by hand: an implementation passes when it is as accurate as TensorFlow itself, up to
FACTOR, measured against the exact value. The textbook run in the same dtype is a second measure of how
ill-conditioned the tensor is: its equations are those of the exact value, so its error is rounding and
nothing else. docs/calibration.md shows where FACTOR, FLOOR and SUSPICIOUS come from.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from reference_impl.spec import Array, kind_of
from tapecheck.exact import nonzero, scale

FACTOR = 16
FLOOR = 2
# TensorFlow's error counts only up to so many times the textbook's; past that TensorFlow itself is off.
SUSPICIOUS = 256
# A limit above this share of scale (a chaotic case in float32) would prove nothing.
MEANINGLESS = 1e-3

OFF = "TensorFlow itself is off here"
NOT_KNOWN = "the exact value is not known"
NARROWER = "precision was lost on the way"

PASSED, FAILED, INCONCLUSIVE, UNCHECKED = "passed", "failed", "inconclusive", "unchecked"


class Element(NamedTuple):
    """One element of a tensor as each side has it; `unit` is one eps of scale there."""

    at: tuple[int, ...]
    yours: float
    oracle: float
    exact: float
    unit: float


@dataclass(frozen=True)
class TensorReport:
    """How one tensor compares. All errors are in eps of scale, the unit of the measure.

    `verdict` is "passed", "failed", "inconclusive" (`note` says why) or "unchecked" (not returned).
    `bad` of `total` elements are past the limit; `cosine` and `factor` place the candidate against the
    exact tensor, candidate ≈ factor * exact, and are NaN where they mean nothing.
    """

    name: str
    shape: tuple[int, ...]
    verdict: str
    error: float
    oracle_error: float
    limit: float
    note: str = ""
    bad: int = 0
    total: int = 0
    worst: Element | None = None
    cosine: float = math.nan
    factor: float = math.nan

    @property
    def passed(self) -> bool:
        return self.verdict == PASSED

    @property
    def oracle_is_off(self) -> bool:
        """Whether TensorFlow is too far from the exact value for its error to count in the limit."""
        return self.oracle_error > self.limit

    @property
    def share_of_limit(self) -> float:
        """error / limit: up to 1 passes. 0 where nothing was compared."""
        return self.error / self.limit if self.limit > 0 and self.error >= 0 else 0.0

    @property
    def worst_index(self) -> tuple[int, ...] | None:
        """Index of the element with the largest error; None where nothing could be compared."""
        return self.worst.at if self.worst else None


def errors(name: str, candidate: Array, exact: Array, dtype: np.dtype) -> Array:
    """Elementwise error in eps of scale; where the scale is zero, 0 for zero and inf for all else.

    NaN and inf in the candidate count as inf. Below the smallest normal number nothing is measured.
    """
    unit = eps_of_scale(name, exact, dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.abs(np.asarray(candidate, np.longdouble) - exact) / unit
    found = np.where((scale(name, exact) == 0) & (found != 0), np.inf, found)
    return np.where(np.isfinite(found), found, np.inf).astype(float)


def eps_of_scale(name: str, exact: Array, dtype: np.dtype) -> Array:
    """The unit of the measure, of `exact`'s shape; never below the smallest normal number."""
    finfo = np.finfo(dtype)
    unit = np.maximum(nonzero(scale(name, exact)) * finfo.eps, finfo.tiny)
    return np.broadcast_to(unit, exact.shape)


def compare(
    name: str, candidate: Any, oracle: Array, textbook: Array, exact: Array | None, dtype: np.dtype
) -> TensorReport:
    """The verdict on `candidate`, an implementation's value for the tensor `name`; None if missing.

    Without an `exact` value nothing is measured, and a candidate of the right shape is inconclusive.
    """
    if exact is None:
        unknown = TensorReport(name, oracle.shape, INCONCLUSIVE, math.nan, math.nan, math.nan, NOT_KNOWN)
        wrong_kind = "" if candidate is None else unusable(candidate, oracle, dtype)
        return replace(unknown, verdict=FAILED, note=wrong_kind) if wrong_kind else unknown

    oracle_error = float(errors(name, oracle, exact, dtype).max())
    rounding = max(float(errors(name, textbook, exact, dtype).max()), FLOOR)
    oracle_is_off = oracle_error > SUSPICIOUS * rounding
    limit = FACTOR * (rounding if oracle_is_off else max(oracle_error, rounding))
    base = TensorReport(
        name, exact.shape, UNCHECKED, math.nan, oracle_error, limit, note="not returned", total=exact.size
    )

    if candidate is None:
        return base
    wrong_kind = unusable(candidate, exact, dtype)
    if wrong_kind:
        return replace(base, verdict=FAILED, error=math.inf, bad=exact.size, note=wrong_kind)

    candidate = np.asarray(candidate)
    found = errors(name, candidate, exact, dtype)
    error = float(found.max())
    suspect = errors(name, oracle, exact, dtype) if oracle_is_off and error <= limit else found
    broken = np.argwhere(~np.isfinite(candidate))
    if len(broken):  # the first one, in time where there is any
        index = tuple(map(int, broken[np.argmin(broken[:, 1])] if candidate.ndim == 3 else broken[0]))
    else:
        index = tuple(map(int, np.unravel_index(np.argmax(suspect), found.shape)))
    sides = (candidate[index], oracle[index], exact[index], eps_of_scale(name, exact, dtype)[index])
    verdict, note = PASSED, ""
    if error > limit:
        verdict = FAILED
    elif oracle_is_off:
        verdict = INCONCLUSIVE
        note = OFF
    elif limit * np.finfo(dtype).eps > MEANINGLESS:
        verdict = INCONCLUSIVE
        note = "too ill-conditioned: the limit is above 1e-3 of scale"
    if len(broken):
        note = f"holds {candidate[index]!s}, first at {[*index]}"
    cosine, factor = alignment(candidate, exact)
    return replace(
        base,
        verdict=verdict,
        note=note,
        error=error,
        bad=int((found > limit).sum()),
        worst=Element(index, *map(float, sides)),
        cosine=cosine,
        factor=factor,
    )


def unusable(candidate: Any, expected: Array, dtype: np.dtype) -> str:
    """Why a returned value is no such tensor at all, or "". Nothing is ever broadcast or cast."""
    if expected.ndim == 0 and isinstance(candidate, int | float):
        return ""
    if not isinstance(candidate, np.ndarray | np.generic):
        return f"is {kind_of(candidate)}, but should be a NumPy array of shape {expected.shape}"
    if candidate.shape != expected.shape:
        transposed = ": transposed" if candidate.shape == expected.shape[::-1] else ""
        return f"has shape {candidate.shape}, but should be {expected.shape}{transposed}"
    if candidate.dtype.kind != "f":
        return f"is {candidate.dtype}, but should be {dtype}"
    if candidate.dtype.itemsize < dtype.itemsize:
        return f"is {candidate.dtype}, but should be {dtype}: {NARROWER}"
    return ""


def alignment(candidate: Array, exact: Array) -> tuple[float, float]:
    """Cosine between the two, and the factor by which the candidate is longer; NaN without a direction."""
    a, b = candidate.astype(np.longdouble).ravel(), exact.ravel()
    aa, ab, bb = a @ a, a @ b, b @ b
    if not (np.isfinite(aa) and aa > 0 and bb > 0):
        return math.nan, math.nan
    return float(ab / np.sqrt(aa * bb)), float(ab / bb)
