"""The report of a training run: its verdict, the step at which the weights part, and what was computed."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from reference_impl.spec import Array, Named, did_you_mean
from tapecheck.answer import Heard
from tapecheck.compare import FAILED, INCONCLUSIVE, PASSED, UNCHECKED, TensorReport, alignment, errors
from tapecheck.investigate import wrapped
from tapecheck.page import MARKS, SHOWN_LINES
from tapecheck.problem import Problem
from tapecheck.text import figure, indent, table
from tapecheck.training.mistakes import Mistake, reproducing
from tapecheck.training.runs import ExactRun
from tapecheck.witnesses import place
from tf_oracle import versions


class TrainingMismatch(AssertionError):
    """A training run did not pass. The first line of its text is the verdict."""


class Parting(NamedTuple):
    """Where the weights first leave the exact run: the step, from 1, and the tensor that is furthest off."""

    step: int
    tensor: str
    at: tuple[int, ...] | None  # the element with the largest error, where there is one


@dataclass(frozen=True)
class TrainingReport:
    """What `check_training` found. `str(report)` is the text; its first line is the verdict."""

    problem: Problem
    optimizer: str | Named
    implementation: str  # its name
    heard: Heard  # what its loop did
    weights: list[Mapping[str, Any]]  # and gave, after each step; [] where it failed
    exact: ExactRun | None  # None where the exact run is not known,
    unknown: str  # and then why not
    steps: tuple[dict[str, TensorReport], ...]  # every weight by tensor name, after each step

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
    def parting(self) -> Parting | None:
        """The first step with a wrong weight, and the tensor furthest past its limit; None without one."""
        for step, tensors in enumerate(self.steps, 1):
            wrong = [tensor for tensor in tensors.values() if tensor.verdict == FAILED]
            if wrong:
                worst = max(wrong, key=lambda tensor: tensor.share_of_limit)
                return Parting(step, worst.name, worst.worst_index)
        return None

    @cached_property
    def wrongs(self) -> list[str]:
        """Everything that makes the check fail, a sentence each."""
        if self.heard.failure:
            return [f"the implementation {self.heard.failure}"]
        strange = {name for weights in self.weights for name in weights if name not in self.problem.weights}
        said = [
            f"{name} is no weight of this model{did_you_mean(name, self.problem.weights)}"
            for name in sorted(strange)
        ]
        if not any(tensor.verdict != UNCHECKED for tensors in self.steps for tensor in tensors.values()):
            said.append("no weight was returned")
        if self.parting:
            step, name, at = self.parting
            note = self.steps[step - 1][name].note
            where = f"{name}, which {note}" if note else place(self.problem, name, at or ())
            said.append(f"weights part at step {step} in {where}")
        return said

    @cached_property
    def doubts(self) -> list[str]:
        """Everything that keeps a run without wrongs from passing, a sentence each."""
        if self.heard.failure:
            return []
        if self.exact is None:
            return [self.unknown]
        said = []
        for step, tensors in enumerate(self.steps, 1):
            unsure = [tensor for tensor in tensors.values() if tensor.verdict == INCONCLUSIVE]
            if unsure:
                said.append(f"from step {step} on nothing is proven: {unsure[0].name}: {unsure[0].note}")
                break
        missing = {name for ts in self.steps for name, tensor in ts.items() if tensor.verdict == UNCHECKED}
        said += [f"{name}: this weight was not returned" for name in sorted(missing)]
        return said + self.unmoved

    @property
    def unmoved(self) -> list[str]:
        """The weights that a program which does nothing would get right, a sentence each: those whose
        steps are all within the limit, unless the exact steps are zero. All may not be.
        """
        assert self.exact is not None
        still, within = [], []
        for name, start in self.problem.weights.items():
            runs = [step[name] for step in self.exact.steps]
            if all(np.array_equal(w, start) for w in runs):
                still.append(name)
            elif all(
                errors(name, start, w, self.problem.dtype).max() <= tensors[name].limit
                for w, tensors in zip(runs, self.steps, strict=True)
            ):
                within.append(f"{name}: its steps are smaller than the limit, which proves nothing")
        if len(still) == len(self.problem.weights):
            return ["no weight moves at all, which proves nothing"]
        return within

    @cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """What was computed instead: the mistakes that reproduce the implementation's weights after every
        step, the likeliest first. () for a run that passed, and where none does.
        """
        if self.verdict != FAILED or self.heard.failure or self.exact is None or self.parting is None:
            return ()
        limits = [{name: tensor.limit for name, tensor in tensors.items()} for tensors in self.steps]
        return tuple(reproducing(self.problem, self.optimizer, self.weights, self.exact.steps, limits))

    def assert_passed(self) -> None:
        """Raise TrainingMismatch, an AssertionError, with the report as its text unless the check passed."""
        __tracebackhide__ = True
        if not self.passed:
            raise TrainingMismatch(str(self))

    # ---- the text

    def __str__(self) -> str:
        """At most 100 columns of ASCII, the verdict on the first line."""
        lines = [*self.setting, "", self.sides, *self.step_lines(), *self.tensor_lines(), *self.evidence()]
        return "\n".join([self.headline, *indent(lines)])

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        case = f"[{self.problem.case.name}]"
        if self.passed:
            return f"passed: all weights agree after each of {len(self.steps)} steps {case}"
        if self.verdict == INCONCLUSIVE:
            return f"inconclusive: {self.doubts[0]} {case}"
        short = f"training mismatch: {self.wrongs[-1]} {case}"
        if not self.mistakes:
            return short
        full = f"training mismatch: {self.wrongs[-1]}; {self.mistakes[0].wrong} {case}"
        return full if len(full) <= 100 else short

    @property
    def setting(self) -> list[str]:
        """The optimizer and the number of steps."""
        said = f"{self.optimizer!r}, {len(self.steps)} steps on one batch, {self.problem.dtype}"
        return textwrap.wrap(said, 96, break_long_words=False, break_on_hyphens=False)

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
        against = f"{self.exact.arithmetic} (radius < {self.exact.radius:.1g} of scale)"
        return f"errors of the weights in eps of scale, against {against}"

    def step_lines(self) -> list[str]:
        """The table of steps: of each the tensor that is nearest to its limit, or furthest past it."""
        rows = []
        for step in self.shown:
            tensor = max(self.steps[step - 1].values(), key=severity)
            figures = [figure(value) for value in (tensor.error, tensor.oracle_error, tensor.limit)]
            mark = MARKS[tensor.verdict]
            rows.append([mark, str(step), tensor.name, *figures])
        ours = "NumPy" if self.implementation == "reference_impl" else "yours"
        header = ["", "step", "worst weight", ours, "TensorFlow", "limit"]
        return [self.unit, *table(header, rows, left=(0, 2))]

    @property
    def shown(self) -> list[int]:
        """The steps in the table: the first and the last, some between, and all around the parting."""
        last = len(self.steps)
        parting = self.parting.step if self.parting else 0
        steps = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, last, *range(parting - 1, parting + 2)}
        return sorted(step for step in steps if 1 <= step <= last)

    def tensor_lines(self) -> Iterator[str]:
        """The table of weights at the step where they part, with what was done to each in that step."""
        if self.parting is None or self.exact is None:
            return
        step = self.parting.step
        rows = []
        for name, tensor in self.steps[step - 1].items():
            yours, exact = self.move(name, step)
            rows.append(
                [
                    MARKS[tensor.verdict],
                    name,
                    str(tensor.shape),
                    f"{tensor.bad}/{tensor.total}",
                    figure(tensor.error),
                    figure(tensor.limit),
                    tensor.note or how_it_lies(yours, exact),
                ]
            )
        header = ["", f"at step {step}", "shape", "bad/total", "yours", "limit", "your step"]
        yield from ["", *table(header, rows, left=(0, 1, 6))]
        elements = [
            [place(self.problem, tensor.name, worst.at), *(f"{value:+.9g}" for value in worst[1:4])]
            for tensor in self.steps[step - 1].values()
            if (worst := tensor.worst) and tensor.bad
        ]
        if elements:
            yield from ["", *table(["worst element", "yours", "TensorFlow", "exact"], elements, left=(0,))]

    def move(self, name: str, step: int) -> tuple[Any, Array]:
        """What one step did to a weight: in the implementation, None where it did not say, and exactly."""
        assert self.exact is not None
        start = self.problem.weights[name]
        exact = [start, *(weights[name] for weights in self.exact.steps)]
        yours: list[Any] = [start, *(weights.get(name) for weights in self.weights)]
        known = all(isinstance(w, np.ndarray) and w.shape == start.shape for w in yours)
        return yours[step] - yours[step - 1] if known else None, exact[step] - exact[step - 1]

    def evidence(self) -> Iterator[str]:
        """What else there is to say: what was computed instead, doubts, and what the implementation did."""
        if self.mistakes:
            first, *others = self.mistakes
            said = [f"  you computed  {first.wrong}", f"  right is      {first.right}"]
            said += [f"  reproduces your weights after every one of {len(self.steps)} steps"]
            said += [f"  and so does   {other.wrong}" for other in others[:SHOWN_OTHERS]]
            yield from ["", "wrong:", *(line for each in said for line in wrapped(each, " " * 16))]
        said = [*self.wrongs[:-1], *self.doubts]
        if said or self.heard.traceback or self.heard.printed:
            yield from ["", *(f"- {line}" for line in said), *indent(self.heard.traceback)]
        if self.heard.printed:
            yield f"- note: it printed {len(self.heard.printed)} lines:"
            yield from indent(self.heard.printed[:SHOWN_LINES], 4)


# Other mistakes with the same numbers that a report shows.
SHOWN_OTHERS = 2


def severity(tensor: TensorReport) -> tuple[int, float]:
    """Order of tensors in a step: wrong ones before doubtful ones, then by their share of the limit."""
    return (UNCHECKED, PASSED, INCONCLUSIVE, FAILED).index(tensor.verdict), tensor.share_of_limit


def how_it_lies(yours: Any, exact: Array) -> str:
    """A step against the exact one: "-1 x exact", or a cosine and a ratio of lengths."""
    if yours is None:
        return ""
    cosine, factor = alignment(yours, exact)
    if np.isnan(cosine):
        return "no step" if not np.any(yours) else ""
    return f"{factor:.6g} x exact" if abs(cosine) > 1 - 1e-6 else f"cos {cosine:.3f} ({factor:.2f}x)"
