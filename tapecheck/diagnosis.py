"""What a diagnosis says, in words: a finding, or a lead."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tapecheck.faults import Fault, equation_of, forward_equation_of
from tapecheck.fit import Fit, Seen
from tapecheck.search.residuals import Residual
from tapecheck.text import listed


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


def finding(
    group: Sequence[Fault], found: Fit, certain: bool, seen: Sequence[Seen], mistakes: int = 1
) -> Diagnosis:
    """A fitting fault, and those that have the same effect; of several `mistakes` at once, one."""
    fault, *others = group
    together = "with what else is wrong, " if mistakes > 1 else ""
    same = tuple(dict.fromkeys(other.wrong for other in others if other.wrong != fault.wrong))
    parts = [
        fault.why,
        found.how,
        f"{together}reproduces all {len(seen[-1].tensors)} tensors on {len(seen)} problems to "
        f"{found.error:.1f} eps of scale",
        same and f"the same numbers come of {' or of '.join(same[:2])}",
    ]
    return Diagnosis(
        *(fault.quantity, fault.kind, fault.wrong, fault.right, fault.location),
        ". ".join(part for part in parts if part),
        certain,
        found.error,
        same,
    )


def lead(quantity: str, fault: str, equation: str, right: str, location: str, explanation: str) -> Diagnosis:
    """Something that is known, and does not explain everything."""
    return Diagnosis(quantity, fault, equation, right, location, explanation, certain=False, error=math.inf)


def partial(fault: Fault, said: str) -> Diagnosis:
    """A fault that explains some of what is wrong."""
    return lead(fault.quantity, fault.kind, fault.wrong, fault.right, fault.location, f"{fault.why}. {said}")


def mended(faults: Iterable[Fault]) -> list[Diagnosis]:
    """Faults that mend an equation for good, where others remain broken."""
    said = (
        "This explains a part of your numbers: with it mended, the equation holds on your own values, and "
        "others still do not"
    )
    return [partial(fault, said) for fault in faults]


def unknown(broken: Iterable[Residual]) -> list[Diagnosis]:
    """The broken equations, where no known mistake explains what they give."""
    return [
        lead(
            *(residual.quantity, "unknown", f"{residual.quantity} = something else"),
            *equation_of(residual.quantity),
            f"{residual}, and no single known mistake gives these numbers",
        )
        for residual in broken
    ]


def other_gates(names: Iterable[str]) -> list[Diagnosis]:
    """Forward equations that are others than Keras's, where no known ones give the output."""
    return [
        lead(
            *(name, "a different forward", f"{name} = something else"),
            *forward_equation_of(name),
            "each gate is Keras's: what goes into them is not, or what they make of the states"
            if name == "z"
            else "asked by itself, with the other gates open or shut, this is another function than Keras's",
        )
        for name in names
    ]


def too_narrow(names: Sequence[str], dtype: np.dtype) -> Diagnosis:
    """Tensors that came back in a narrower dtype than the problem's."""
    return Diagnosis(
        *("precision", "float32 buffers", f"{listed(names)} in a narrower dtype", f"{dtype} throughout", ""),
        f"the buffer that it is summed up in is none of {dtype}: give its dtype where it is made",
        certain=True,
        error=math.inf,
    )


def single_precision(error: float) -> Diagnosis:
    """Gradients that are right to the precision of float32, `error` of its eps of scale, and no further."""
    return Diagnosis(
        *("precision", "float32 buffers", "some array in float32", "float64 throughout", ""),
        f"every tensor is right to {error:.1f} float32 eps of scale: some buffer is float32, such as one "
        "made by np.zeros(shape, np.float32)",
        certain=False,
        error=error,
    )
