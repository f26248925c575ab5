"""What there is to find out about a failed check: where it goes wrong, and which equation."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from tapecheck.case import Implementation, Problem, Result
from tapecheck.diagnose import Diagnosis, diagnose
from tapecheck.exact import Exact
from tapecheck.localize import Divergence, Localization, localize
from tapecheck.probes import SUSPECT, Probe, probe

# Sentences and explanations that a report shows, of the probes the most particular; the objects hold all.
SHOWN_PROBES = 4
SHOWN_DIAGNOSES = 3


@dataclass(frozen=True)
class Investigation:
    """`localization` where the implementation returned a trace; `probes` and `diagnoses` from asking it
    about other problems.
    """

    localization: Localization | None = None
    probes: tuple[Probe, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()

    @property
    def first_divergence(self) -> Divergence | None:
        """The first wrong place, from the trace, or else from the probe that reads dz off the gradients."""
        if self.localization and self.localization.first_divergence:
            return self.localization.first_divergence
        return next((found.first_divergence for found in self.probes if found.first_divergence), None)

    @property
    def finding(self) -> str:
        """The wrong equations in a few words where they are certain, else ""."""
        return " and ".join(in_short(found) for found in self.diagnoses if found.certain)

    def lines(self) -> Iterator[str]:
        """The text of a report: which equation, then where, then what the probes say."""
        sections = [likely(diagnosis) for diagnosis in self.diagnoses[:SHOWN_DIAGNOSES]]
        if self.localization:
            sections.append(self.localization.lines)
        suspects = [found for found in self.probes if found.outcome == SUSPECT]
        said = [f"- {found.name}: {found.says}" for found in suspects[-SHOWN_PROBES:]]
        if said:
            sections.append(["experiments", *(line for each in said for line in wrapped(each, "  "))])
        for number, section in enumerate(sections):
            yield from ["", *section] if number else section


def in_short(diagnosis: Diagnosis) -> str:
    """ "df = dc * c, not dc * c_prev", or what was done to all gradients."""
    _, equals, right = diagnosis.right.partition(" = ")
    return f"{diagnosis.equation}, not {right}" if equals else diagnosis.equation


def likely(diagnosis: Diagnosis) -> list[str]:
    """One diagnosis: what was computed against what is right, and why that is wrong."""
    word = "wrong" if diagnosis.certain else "perhaps wrong"
    at = f"  ({diagnosis.location})" if diagnosis.location else ""
    return [
        f"{word}: {diagnosis.quantity}",
        f"  you computed  {diagnosis.equation}",
        f"  right is      {diagnosis.right}{at}",
        *wrapped(f"  {diagnosis.explanation}", "  "),
    ]


def wrapped(text: str, hanging: str) -> list[str]:
    """The text in lines that fit a report, the later ones indented."""
    return textwrap.wrap(text, 96, subsequent_indent=hanging, break_on_hyphens=False, drop_whitespace=True)


def investigate(
    implementation: Implementation, problem: Problem, result: Result, exact: Exact, *, pairs: bool = False
) -> Investigation:
    """Everything above, for an implementation that gave a wrong `result` to `problem`."""
    return Investigation(
        localize(problem, result.trace, exact) if result.trace else None,
        tuple(probe(implementation, problem)),
        tuple(diagnose(implementation, problem, result, pairs=pairs)),
    )
