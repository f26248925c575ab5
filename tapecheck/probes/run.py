"""Every experiment in turn, from the plainest explanation to the most particular."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tapecheck.case import Case
from tapecheck.exact import BALL_LIMIT, multiply_adds
from tapecheck.localize import Localization
from tapecheck.probes import derived, soundness, steps, upstream
from tapecheck.probes.subject import NOT_APPLICABLE, SUSPECT, Finding, NotApplicable, Subject
from tapecheck.problem import Implementation, Problem


class Probe(NamedTuple):
    """What one experiment found; `says` is one sentence: what that rules out or points to."""

    name: str
    outcome: str
    says: str
    localization: Localization | None = None  # of the dz that it has read

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}: {self.says}"


EXPERIMENTS: dict[str, Callable[[Subject], Finding]] = {
    "arrays": soundness.arrays,
    "repeat": soundness.repeat,
    "buffers": soundness.buffers,
    "inputs": soundness.inputs,
    "forward": soundness.forward,
    "precision": soundness.precision,
    "free upstream": upstream.free_upstream,
    "zero upstream": upstream.zero_upstream,
    "scaled upstream": upstream.scaled_upstream,
    "negative upstream": upstream.negative_upstream,
    "common factor": upstream.common_factor,
    "last upstream": upstream.last_upstream,
    "one row": upstream.one_row,
    "one step": steps.one_step,
    "two steps": steps.two_steps,
    "W_h = 0": steps.without_dh_next,
    "f = 0": steps.without_dc_next,
    "W_h = 0, f = 0": steps.steps_apart,
    "symmetric W_h": steps.symmetric_kernel,
    "handed on": steps.handed_on,
    "dz": steps.dz_of_all,
}
# Where one of these goes wrong, what follows would be blamed on equations that are right.
SPOILING = ("arrays", "repeat", "forward", "scaled upstream")


def probe(implementation: Implementation, case: Case | Problem) -> list[Probe]:
    """Every experiment on `implementation`, on `case` and on problems derived from it.

    A probe whose problem the implementation cannot do is "not applicable", and says why.
    """
    subject = affordable(Subject(implementation, case.problem() if isinstance(case, Case) else case))
    found: list[Probe] = []
    for name, experiment in EXPERIMENTS.items():
        spoilt = next((p.name for p in found if p.name in SPOILING and p.outcome == SUSPECT), None)
        try:
            if spoilt:
                raise NotApplicable(f"nothing follows from it before {spoilt!r} is right")
            found.append(Probe(name, *experiment(subject)))
        except NotApplicable as reason:
            found.append(Probe(name, NOT_APPLICABLE, str(reason)))
    return found


def affordable(subject: Subject) -> Subject:
    """The subject, on the first two rows of a large problem where it takes them: some twenty exact
    gradients are needed, and a wrong equation shows in two rows as well.
    """
    problem = subject.problem
    if multiply_adds(problem.model, problem.x.shape) <= BALL_LIMIT or len(problem.x) <= 2:
        return subject
    two_rows = derived.cut(problem, batch=2)
    if two_rows is None:
        return subject
    fewer = replace(subject, problem=two_rows)
    try:
        _ = fewer.base  # asks the implementation, which may refuse two rows
    except NotApplicable:
        return subject
    return fewer
