"""The report of one check: its verdict, and the text that a person reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reference_impl.spec import did_you_mean
from tapecheck.adequacy import blind_to
from tapecheck.answer import Answer
from tapecheck.catalogue import CATALOGUE
from tapecheck.compare import FAILED, INCONCLUSIVE, NARROWER, PASSED, UNCHECKED, TensorReport
from tapecheck.diagnose import diagnose
from tapecheck.diagnosis import Diagnosis, too_narrow
from tapecheck.exact import Exact
from tapecheck.headline import headline
from tapecheck.investigate import CHANGES, Investigation, investigate, traced, unsteady
from tapecheck.localize import Divergence
from tapecheck.loud import LOUDER, loud
from tapecheck.page import evidence, model_lines, sides, tensor_lines
from tapecheck.problem import Implementation, Problem, Result
from tapecheck.rerun import RUN, arrays_file, called
from tapecheck.saved import save
from tapecheck.text import fitted, indent, listed
from tf_oracle import OraclePass

# What may end an investigation without ending the run. In this project's own tests it is nothing.
BREAKS: tuple[type[Exception], ...] = (Exception,)


class GradientMismatch(AssertionError):
    """A check did not pass. The first line of its text is the verdict."""

    __module__ = "tapecheck"  # as users import it, and as pytest prints it before the verdict


@dataclass(frozen=True)
class Report:
    """What `check` found. `str(report)` is the text; its first line is the verdict."""

    problem: Problem
    implementation: str  # its name
    function: Implementation
    answer: Answer
    pairs: bool  # whether to look for two mistakes at once
    oracle: OraclePass
    exact: Exact | None  # None where the exact values are not known,
    unknown: str  # and then why not
    forward: dict[str, TensorReport]  # "output" and "loss", as far as the implementation returned them
    tensors: dict[str, TensorReport]  # every gradient by tensor name
    loud: tuple[Problem, Result] | None = None  # a wrong answer where gradients are large (see loud.py)

    # ---- the verdict

    @cached_property
    def verdict(self) -> str:
        """ "passed", "failed" or "inconclusive". Failed wins: being wrong is never inconclusive."""
        if self.wrongs:
            return FAILED
        return INCONCLUSIVE if self.doubts else PASSED

    @property
    def passed(self) -> bool:
        return self.verdict == PASSED

    @cached_property
    def wrongs(self) -> list[str]:
        """Everything that makes the check fail, a sentence each."""
        if self.answer.not_done:
            return []
        wrongs = [
            f"{name} is an unknown tensor{self.meant(name, value)}"
            for name, value in self.answer.result.gradients.items()
            if name not in self.tensors
        ]
        if self.answer.failure:
            return [f"the implementation {self.answer.failure}"]
        if self.answer.unlike_first:
            wrongs.insert(0, f"{CHANGES}: right when first asked, not the second time")
        if self.loud:
            wrongs.insert(0, f"right as asked, wrong with {LOUDER} times the targets: something is clipped")
        if not any(tensor.verdict != UNCHECKED for tensor in self.tensors.values()):
            wrongs.append("no gradient was returned")
        wrongs += [
            f"{tensor.name} {tensor.note or 'is wrong'}" for tensor in self.rows if tensor.verdict == FAILED
        ]
        return wrongs + self.twin_differences

    def meant(self, name: str, value: object) -> str:
        """What a tensor with a wrong name may be: the missing one of its shape, or of the nearest name."""
        if name in ("output", "loss", "trace"):
            return f", and no gradient: return a tapecheck.Result with `{name}` for it"
        missing = [each for each, tensor in self.tensors.items() if tensor.verdict == UNCHECKED]
        alike = [each for each in missing if self.tensors[each].shape == getattr(value, "shape", None)]
        return (
            f"; did you mean {alike[0]!r}?"
            if len(alike) == 1
            else did_you_mean(name, alike or missing or self.tensors)
        )

    @cached_property
    def doubts(self) -> list[str]:
        """Everything that keeps a check without wrongs from passing, a sentence each."""
        if self.answer.not_done:
            return [f"the implementation {self.answer.failure}"]
        if self.answer.failure:
            return []
        if self.exact is None:
            return [self.unknown]
        doubts = [f"{tensor.name}: {tensor.note}" for tensor in self.rows if tensor.verdict == INCONCLUSIVE]
        missing = [name for name in self.problem.weights if self.tensors[name].verdict == UNCHECKED]
        if missing:
            doubts.append(f"no gradient of {listed(missing)} was returned")
        if not any(self.exact.tensors[name].any() for name in self.tensors):
            doubts.append("every gradient is exactly zero (a dead relu head?), which proves nothing")
        return doubts

    @cached_property
    def twin_differences(self) -> list[str]:
        """Where the Keras twin is not the same model: weights, output shapes, parameter counts."""
        weights, given = self.problem.weights, self.oracle.weights
        differences = [
            f"{name}: the weights in Keras are not those that were set"
            for name in weights
            if given.get(name) is None or given[name].tobytes() != weights[name].tobytes()
        ]
        for (name, layer, ins, out), twin in zip(
            self.problem.model.shapes(self.problem.x.shape), self.oracle.layers, strict=True
        ):
            parameters = sum(int(np.prod(shape)) for shape in layer.weight_shapes(ins).values())
            if (out, parameters) != (twin.output_shape, twin.parameters):
                differences.append(
                    f"{name}: output {out} and {parameters} parameters, but Keras has "
                    f"{twin.output_shape} and {twin.parameters}"
                )
        return differences

    @cached_property
    def investigation(self) -> Investigation:
        """Where a failed check goes wrong, found out when it is first asked for. Empty for a passed one, and
        where what came back are no such tensors at all: then that comes first, beside what a trace tells.
        """
        if self.verdict != FAILED or self.answer.failure or self.exact is None:
            return Investigation()
        if self.answer.unlike_first:
            return unsteady(self.answer.unlike_first)
        if self.unusable:
            narrow = [row.name for row in self.rows if row.verdict == FAILED and row.note.endswith(NARROWER)]
            found = (too_narrow(narrow, self.problem.dtype),) if narrow else ()
            return Investigation(traced(self.problem, self.answer.result, self.exact), diagnoses=found)
        if self.loud:
            named = diagnose(self.function, *self.loud, pairs=self.pairs, change=loud)
            return Investigation(diagnoses=tuple(named))
        try:
            return investigate(self.function, self.problem, self.answer.result, self.exact, pairs=self.pairs)
        except BREAKS as error:  # a mistake of ours here costs neither the verdict nor the cases after it
            return Investigation(broken=f"{type(error).__name__}: {error}")

    @property
    def unusable(self) -> list[str]:
        """What came back and is no such tensor, or holds NaN or inf, a sentence each."""
        return [f"{row.name} {row.note}" for row in self.rows if row.verdict == FAILED and row.note]

    @property
    def first_divergence(self) -> Divergence | None:
        """The first wrong place, with `.phase`, `.layer`, `.step` and `.gate`; None where none is known."""
        return self.investigation.first_divergence

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """Which equation is wrong, best first; `certain` says whether that is a finding or a lead."""
        return self.investigation.told

    @cached_property
    def blind_to(self) -> str:
        """What a case of the user's that passed cannot see, in one line, found out when it is first asked
        for: every known mistake is run on a case like it, in under a second. "" for any other case.
        """
        return blind_to(self.problem.case) if self.passed and self.problem.case not in CATALOGUE else ""

    @property
    def rows(self) -> list[TensorReport]:
        """Forward tensors, then gradients."""
        return [*self.forward.values(), *self.tensors.values()]

    def assert_passed(self) -> None:
        """Raise GradientMismatch, an AssertionError, with the report as its text unless the check passed.
        The arrays are saved first, and the text says where.
        """
        __tracebackhide__ = True
        if not self.passed:
            raise GradientMismatch(f"{self}\n{self.saved_line()}")

    def saved_line(self) -> str:
        """Save the problem and the answer to it, and say where; or why not."""
        path, said = arrays_file(self.problem.case.name)
        try:
            save(self.problem, self.answer.result, self.implementation, path)
        except OSError as error:
            return fitted([f"  arrays not saved: {error}"])[0]
        return f"  arrays {called('tapecheck')} replay {said}"

    # ---- the text

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        return headline(self)

    def __str__(self) -> str:
        """At most 100 columns of ASCII, the verdict on the first line."""
        return self.text(["", sides(self)])

    def full(self) -> str:
        """The report with the two models' layers and weights set side by side."""
        return self.text([*model_lines(self), "", sides(self)])

    def text(self, opening: Iterable[str]) -> str:
        """The verdict, the opening, and what there is to say. No line is broken that is to be pasted."""
        lines = fitted(indent([*opening, *tensor_lines(self), *evidence(self)]))
        again = "" if self.passed or self.answer.not_done else RUN.get().command
        return "\n".join([self.headline, *lines, *(["", f"  rerun  {again}"] if again else [])])
