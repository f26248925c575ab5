"""What there is to find out about a failed check: where it goes wrong, and which equation."""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from tapecheck.diagnose import diagnose
from tapecheck.diagnosis import Diagnosis
from tapecheck.exact import Exact, NotEnclosed
from tapecheck.localize import Divergence, Localization, localize
from tapecheck.probes import SUSPECT, Probe, probe
from tapecheck.probes.soundness import kept_between_calls
from tapecheck.problem import Implementation, Problem, Result
from tapecheck.text import listed
from tf_oracle import taps

# What is wrong as a whole, by the experiment that finds it: equations are not to blame then.
CHANGES = "the answer changes from call to call"
WHOLE = {
    "repeat": CHANGES,
    "precision": "digits are lost, no equation is wrong",
    "free upstream": "right where dy is given, so it is dy: the loss's own derivative",
    "zero upstream": "another forward pass, or something added to the gradients",
    "scaled upstream": "gradients are clipped or normalised, or weights updated too early",
}
# Where leads would blame equations that are right.
MISLEADING = (CHANGES, WHOLE["zero upstream"])
# Quantities of the forward pass, as diagnoses name them.
FORWARD = ("z", "z_i", "z_f", "z_g", "z_o", "i", "f", "g", "o", "c", "h", "phi_c", "y", "logits")
# Characters from which on the beginning that two equations share is left out of the second.
SHARED = 20
# Sentences and explanations that a report shows, of the probes the most particular; the objects hold all.
SHOWN_PROBES = 4
SHOWN_DIAGNOSES = 3


@dataclass(frozen=True)
class Investigation:
    """`localization` where the implementation returned a trace; `probes` and `diagnoses` from asking it
    about other problems. `broken` is the exception that ended the search, a mistake of this project's.
    """

    localization: Localization | None = None
    probes: tuple[Probe, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    broken: str = ""

    @property
    def first_divergence(self) -> Divergence | None:
        """The first wrong place, from the trace, or else from the probe that reads dz off the gradients."""
        if self.localization and self.localization.first_divergence:
            return self.localization.first_divergence
        read = (found.localization for found in self.probes if found.localization)
        return next((found.first_divergence for found in read if found.first_divergence), None)

    @property
    def read(self) -> list[Localization]:
        """What experiments have read of dz, where that tells one place of it from another."""
        found = [found.localization for found in self.probes if found.localization]
        return [each for each in found if not each.is_everywhere]

    @property
    def certainty(self) -> str:
        """The wrong equations in a few words where they are certain, else ""."""
        return " and ".join(in_short(found) for found in self.diagnoses if found.certain)

    @property
    def is_forward(self) -> bool:
        """Whether what is certain is wrong in the forward pass already."""
        return any(found.certain and found.quantity in FORWARD for found in self.diagnoses)

    @property
    def whole(self) -> str:
        """What is wrong as a whole, in a few words, or ""; not where steps are right before one is wrong."""
        suspects = {found.name: found.says for found in self.probes if found.outcome == SUSPECT}
        if any(located.goes_wrong_later for located in self.read):
            suspects.pop("zero upstream", None)
        if factor := suspects.get("common factor"):
            return factor.partition(":")[0]
        return next((WHOLE[name] for name in suspects if name in WHOLE), "")

    @property
    def lead(self) -> str:
        """The best that is known where nothing is certain, in a few words, or ""."""
        if self.whole:
            return self.whole
        for located in [self.localization] if self.localization else self.read:
            if first := located.first_divergence:
                layer = "" if first.layer == "lstm" else f" of {first.layer}"
                onward = "backwards" if first.phase == "backward" else "on"
                together = [place.quantity for place in located.sources if place[:3] == first[:3]]
                return f"{listed(together)}{layer} wrong from step {first.step} {onward}"
        for found in self.probes:  # dz is right, but what is made of it is not
            if found.name == "dz" and found.outcome == SUSPECT and ", but " in found.says:
                return f"dz is right, {found.says.partition(', but ')[2]}"
        perhaps = dict.fromkeys(diagnosis.quantity for diagnosis in self.diagnoses)
        return f"perhaps {listed([*perhaps][:SHOWN_DIAGNOSES])}" if perhaps else ""

    @property
    def told(self) -> tuple[Diagnosis, ...]:
        """The diagnoses, without leads that would mislead."""
        return tuple(found for found in self.diagnoses if found.certain or self.whole not in MISLEADING)

    def lines(self) -> Iterator[str]:
        """The text of a report: which equation, then where, then what the probes say."""
        sections = [likely(diagnosis) for diagnosis in self.told[:SHOWN_DIAGNOSES]]
        if self.localization:
            sections.append(self.localization.lines)
        if not (self.localization and self.localization.first_divergence):
            title = "dz as an experiment reads it off the gradients"
            sections += [[title, *each.lines] for each in self.read]
        suspects = [found for found in self.probes if found.outcome == SUSPECT]
        said = [f"- {found.name}: {found.says}" for found in suspects[-SHOWN_PROBES:]]
        if said:
            sections.append(["experiments", *(line for each in said for line in wrapped(each, "  "))])
        if self.broken:
            sections.append(wrapped(f"tapecheck's search for the cause broke off: {self.broken}", "  "))
            sections[-1].append("please report it: the verdict holds without it")
        for number, section in enumerate(sections):
            yield from ["", *section] if number else section


def in_short(diagnosis: Diagnosis) -> str:
    """ "df = dc * c, not dc * c_prev", or what was done to all gradients."""
    _, equals, right = diagnosis.right.partition(" = ")
    theirs, words = diagnosis.equation.partition(" = ")[2].split(), right.split()
    alike = list(takewhile(lambda pair: pair[0] == pair[1], zip(theirs, words, strict=False)))
    if len(" ".join(words[: len(alike)])) >= SHARED and len(alike) < len(words):
        right = " ".join(["...", *words[len(alike) :]])
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
    """Everything above, for an implementation that gave a wrong `result` to `problem`.

    What it warns of on problems that it was not asked to do, such as an overflow, is passed over.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Investigation(
            traced(problem, result, exact),
            tuple(probe(implementation, problem)),
            tuple(diagnose(implementation, problem, result, pairs=pairs)),
        )


def unsteady(changed: Sequence[str]) -> Investigation:
    """What there is to say where a second answer to the same problem differs in these tensors."""
    return Investigation(probes=(Probe("repeat", SUSPECT, kept_between_calls(changed)),))


def traced(problem: Problem, result: Result, exact: Exact) -> Localization | None:
    """The implementation's trace beside that of the real Keras layer; None where there is none, or where
    what it should be is not known.
    """
    if not result.trace:
        return None
    try:
        return localize(problem, result.trace, exact, taps.run(problem.model, problem, problem.loss))
    except NotEnclosed:
        return None
