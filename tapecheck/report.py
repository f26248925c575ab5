"""The report of one check: its verdict, and the text that a person reads."""

import os
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reference_impl.spec import did_you_mean
from tapecheck.adequacy import blind_to
from tapecheck.answer import Answer
from tapecheck.case import Implementation, Problem
from tapecheck.catalogue import CATALOGUE
from tapecheck.compare import FAILED, INCONCLUSIVE, OFF, PASSED, UNCHECKED, Element, TensorReport
from tapecheck.complexstep import complex_steps
from tapecheck.diagnose import Diagnosis
from tapecheck.exact import Exact
from tapecheck.investigate import Investigation, investigate
from tapecheck.localize import Divergence
from tapecheck.saved import save
from tapecheck.text import figure, indent, plain, table
from tapecheck.witnesses import outvoted_of_three, place, shape_of_error
from tf_oracle import OraclePass, versions

# Lines of what an implementation prints that a report shows.
SHOWN_LINES = 5


class GradientMismatch(AssertionError):
    """A check did not pass. The first line of its text is the verdict."""


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
            f"{name} is not a tensor of this model{did_you_mean(name, self.tensors)}"
            for name in self.answer.result.gradients
            if name not in self.tensors
        ]
        if self.answer.failure:
            return [f"the implementation {self.answer.failure}"]
        if not any(tensor.verdict != UNCHECKED for tensor in self.tensors.values()):
            wrongs.append("no gradient was returned")
        wrongs += [
            f"{tensor.name} {tensor.note or 'is wrong'}" for tensor in self.rows if tensor.verdict == FAILED
        ]
        return wrongs + self.twin_differences

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
        doubts += [
            f"{name}: the gradient of this weight was not returned"
            for name in self.problem.weights
            if self.tensors[name].verdict == UNCHECKED
        ]
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
        where what came back are no such tensors at all: then that comes first.
        """
        unusable = any(tensor.note for tensor in self.rows if tensor.verdict == FAILED)
        if self.verdict != FAILED or self.answer.failure or self.exact is None or unusable:
            return Investigation()
        return investigate(self.function, self.problem, self.answer.result, self.exact, pairs=self.pairs)

    @property
    def first_divergence(self) -> Divergence | None:
        """The first wrong place, with `.phase`, `.layer`, `.step` and `.gate`; None where none is known."""
        return self.investigation.first_divergence

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """Which equation is wrong, best first; `certain` says whether that is a finding or a lead."""
        return self.investigation.diagnoses

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
        try:
            path = save(self.problem, self.answer.result, self.implementation)
        except OSError as error:
            return f"  arrays not saved: {error}"
        return f"  arrays {path}  (tapecheck replay {path})"

    # ---- the text

    def __str__(self) -> str:
        """At most 100 columns of ASCII, the verdict on the first line."""
        lines = [self.headline, "", *indent([self.sides, *self.tensor_lines(), *self.evidence()])]
        return plain("\n".join(lines))

    def full(self) -> str:
        """The report with the two models' layers and weights set side by side, at 80 columns."""
        return "\n".join(
            [
                self.headline,
                *indent(
                    [
                        *self.model_lines,
                        self.setting,
                        "",
                        *self.layer_lines(),
                        self.weights_line,
                        "",
                        self.sides,
                    ]
                ),
                *indent([*self.tensor_lines(), *self.evidence()]),
            ]
        )

    @property
    def model_lines(self) -> list[str]:
        """The layers, first to last, in as few lines of 78 columns as they take."""
        layers = " -> ".join(map(repr, self.problem.model.layers))
        return textwrap.wrap(layers, 78, break_long_words=False, break_on_hyphens=False)

    @property
    def setting(self) -> str:
        """Sizes, loss and dtype in one line."""
        B, T, D = self.problem.x.shape
        loss = self.problem.loss or "free upstream gradient"
        case = self.problem.case
        extras = [
            "random initial state" if case.initial_state == "random" else "",
            f"{case.mask} mask" if case.mask else "",
            "training" if case.training else "",
            f"batch {case.batches} of {case.batches}" if case.batches > 1 else "",
        ]
        return ", ".join([loss, str(self.problem.dtype), f"B={B} T={T} D={D}", *filter(None, extras)])

    def layer_lines(self) -> list[str]:
        """The table of layers: output shape and parameter count, in Keras and in NumPy."""
        rows = []
        for (name, layer, given, shape), twin in zip(
            self.problem.model.shapes(self.problem.x.shape), self.oracle.layers, strict=True
        ):
            count = sum(int(np.prod(weight)) for weight in layer.weight_shapes(given).values())
            rows.append([name, str(twin.output_shape), str(shape), str(twin.parameters), str(count)])
        return table(
            ["layer", "Keras output", "NumPy output", "Keras params", "NumPy params"], rows, left=(0,)
        )

    @property
    def weights_line(self) -> str:
        """Whether Keras holds the weights that the problem has."""
        different = [difference for difference in self.twin_differences if "weights in Keras" in difference]
        return f"weights: {len(self.problem.weights)} tensors, " + (
            "; ".join(different) or "equal bit for bit in Keras and NumPy"
        )

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        checked = [tensor for tensor in self.tensors.values() if tensor.verdict != UNCHECKED]
        case = f"[{self.problem.case.name}]"
        if self.passed:
            unchecked = [tensor.name for tensor in self.tensors.values() if tensor.verdict == UNCHECKED]
            rest = f"; unchecked: {', '.join(unchecked)}" if unchecked else ""
            return f"passed: {len(checked)} of {len(self.tensors)} gradients agree{rest} {case}"
        if self.verdict == INCONCLUSIVE:
            return f"inconclusive: {self.doubts[0]} {case}"
        wrong = [tensor.name for tensor in self.rows if tensor.verdict == FAILED]
        if any(name in self.forward for name in wrong):
            return f"forward mismatch: {' and '.join(n for n in wrong if n in self.forward)} {case}"
        if not wrong or self.answer.failure:
            return f"failed: {self.wrongs[0]} {case}"
        finding = f"{self.investigation.finding}; " if self.investigation.finding else ""
        return f"gradient mismatch: {finding}{len(wrong)} of {len(checked)} wrong {case}"

    @property
    def sides(self) -> str:
        """Who was compared with whom."""
        v = versions()
        return f"{self.implementation} against TensorFlow {v['tensorflow']}, Keras {v['keras']}"

    @property
    def unit(self) -> str:
        """What the errors are measured against, and in what."""
        if self.exact is None:
            return "nothing can be measured"
        bits = int(np.floor(-np.log2(self.exact.radius))) if self.exact.radius else "infinity"
        return f"errors in eps of scale, against {self.exact.arithmetic} (radius < 2^-{bits} of scale)"

    def tensor_lines(self) -> list[str]:
        """The table of tensors."""
        failing = self.verdict == FAILED
        ours = "NumPy" if self.implementation == "reference_impl" else "yours"
        header = ["", "tensor", "shape", *(["bad/total"] if failing else []), ours, "TensorFlow", "limit"]
        rows = []
        for tensor in self.rows:
            unchecked = tensor.verdict == UNCHECKED
            rows.append(
                [
                    MARKS[tensor.verdict],
                    tensor.name,
                    str(tensor.shape),
                    *([f"{'-' if unchecked else tensor.bad}/{tensor.total}"] if failing else []),
                    figure(tensor.error),
                    figure(tensor.oracle_error),
                    figure(tensor.limit),
                    *([shape_of_error(tensor)] if failing else []),
                ]
            )
        header += ["against exact"] if failing else []
        return [self.unit, *table(header, rows, left=(0, 1, len(header) - 1) if failing else (0, 1))]

    def evidence(self) -> Iterator[str]:
        """What else there is to say: doubts, notes, the worst elements and who is right about them."""
        said = [line for line in self.wrongs + self.doubts if not line.endswith(" is wrong")]  # in the table
        notes = [*(f"- {line}" for line in said), *self.side_effects()]
        if notes:
            yield from ["", *notes]
        disputed = [
            (tensor, tensor.worst)
            for tensor in self.tensors.values()
            if tensor.worst and (tensor.verdict == FAILED or tensor.note == OFF)
        ]
        if disputed:
            yield ""
            yield from self.witnesses(disputed)
        if self.blind_to:
            yield from ["", *textwrap.wrap(self.blind_to, 78, subsequent_indent="  ", break_on_hyphens=False)]
        found = list(self.investigation.lines())
        if found:
            yield from ["", *found]
        if not self.passed and self.rerun:
            yield ""
            yield f"rerun  {self.rerun}"

    def witnesses(self, disputed: list[tuple[TensorReport, Element]]) -> Iterator[str]:
        """The worst element of each disputed tensor as every witness has it, and who is outvoted."""
        rows, outvoted = [], []
        for tensor, element in disputed:
            at, yours, oracle, true, unit = element
            (step,) = complex_steps(self.problem, tensor.name, [int(np.ravel_multi_index(at, tensor.shape))])
            figures = [f"{value:+.7g}" for value in (yours, oracle, true, step)]
            rows.append([place(self.problem, tensor.name, at), *figures])
            apart = tensor.limit * unit
            outvoted.append(outvoted_of_three(yours, oracle, step, apart))
        header = ["worst element", "yours", "TensorFlow", "exact", "complex step"]
        yield from table(header, rows, left=(0,))
        for loser, count in Counter(outvoted).items():
            yield f"{loser} ({count} of {len(outvoted)})" if count < len(outvoted) else loser

    def side_effects(self) -> Iterator[str]:
        """What the implementation did besides answering: its traceback, its prints, its writes."""
        yield from indent(self.answer.traceback)
        if self.answer.changed:
            yield f"- note: it wrote into its inputs: {', '.join(self.answer.changed)} (they were copies)"
        if self.answer.printed:
            yield f"- note: it printed {len(self.answer.printed)} lines:"
            yield from indent(self.answer.printed[:SHOWN_LINES], 4)

    @property
    def rerun(self) -> str:
        """The command that runs this check again, or "" where no command can."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        if test:
            return f"pytest -n0 '{test}'"
        if (
            self.problem.case not in CATALOGUE
            or "<" in self.implementation
            or "__main__" in self.implementation
        ):
            return ""
        shipped = self.implementation == "reference_impl"
        option = "" if shipped else f" --implementation {self.implementation}"
        return f"tapecheck check {self.problem.case.name}{option}"


MARKS = {PASSED: "ok", FAILED: "FAIL", INCONCLUSIVE: "??", UNCHECKED: "--"}
