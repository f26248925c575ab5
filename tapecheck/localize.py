"""Where a trace first goes wrong: the phase, layer, time step and quantity; and what is only contaminated.

A wrong gate spoils everything computed after it, so the errors alone say little past the first one.
The source is told apart by teacher forcing: the textbook is run once more with the candidate's own
value in place of each result as soon as it is computed. What then differs at some place cannot have
been inherited from a traced value: it is introduced there, or in untraced quantities between them. So
the first divergence is sound for any part of a trace, and all sources are for a whole one.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from reference_impl import LSTM
from reference_impl.lstm import GATES
from reference_impl.spec import Array, Arrays, did_you_mean
from reference_impl.textbook import lstm, sequential
from tapecheck.compare import FACTOR, FAILED, FLOOR, compare, errors, unusable
from tapecheck.exact import Exact, run_textbook, to
from tapecheck.problem import Problem
from tapecheck.text import figure, table

# The quantities of a trace, in the order in which one time step computes them.
FORWARD = ("i", "f", "g", "o", "c", "h")
BACKWARD = ("dh", "dc", "dz_i", "dz_f", "dz_g", "dz_o")
# Rows of the table before and after the first divergence: a long sequence is cut.
BEFORE, AFTER = 3, 8


class Divergence(NamedTuple):
    """One place of a pass: "forward" or "backward", the LSTM's name, the step t, the quantity."""

    phase: str
    layer: str
    step: int
    quantity: str  # of FORWARD or BACKWARD, such as "f", "dz_f", "dh"

    @property
    def gate(self) -> str | None:
        """ "i", "f", "g" or "o" for a gate and for its dz; None for a state."""
        gate = self.quantity.removeprefix("dz_")
        return gate if gate in GATES else None

    @property
    def tensor(self) -> str:
        return f"{self.layer}/{self.quantity}"

    def __str__(self) -> str:
        return f"{self.quantity} of {self.layer} at step {self.step} ({self.phase})"


@dataclass(frozen=True)
class Localization:
    """What a trace tells. `str()` is the text, `lines` the same line by line.

    `first_divergence` is the first wrong place: forward before backward, in the order of computation.
    `sources` are all places that introduce an error of their own, the first one among them; `problems`
    says which trace tensors could not be used. By tensor name: `errors` in eps of scale and `introduced`
    (is one introduced here?), (T,) each. `worst` is the element of the first divergence that is farthest
    off, in words, as each side has it.
    """

    first_divergence: Divergence | None
    sources: tuple[Divergence, ...]
    problems: tuple[str, ...]
    errors: Arrays
    introduced: Arrays
    worst: str = ""

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def is_everywhere(self) -> bool:
        """Whether all of the first step in order is wrong, as behind a wrong loss: no place stands out."""
        first = self.first_divergence
        last = max((len(steps) for steps in self.errors.values()), default=0) - 1
        return first is not None and first.phase == "backward" and first[2:] == (last, "dh")

    @property
    def goes_wrong_later(self) -> bool:
        """Whether the backward pass is right at the last step, where it begins, and goes wrong after it."""
        first = self.first_divergence
        last = max((len(steps) for steps in self.errors.values()), default=0) - 1
        return first is not None and first.phase == "backward" and first.step < last

    @property
    def lines(self) -> list[str]:
        """What was found, and the table of the layer and phase in which the trace first goes wrong."""
        said = [f"- {problem}" for problem in self.problems]
        first = self.first_divergence
        if first is None:
            worst = max(self.errors, key=lambda name: self.errors[name].max(), default=None)
            if worst is None:
                return [*said, "no trace tensor could be compared"]
            error = figure(float(self.errors[worst].max()))
            return [
                *said,
                f"all {len(self.errors)} trace tensors agree at every step (worst {worst}: {error})",
            ]
        element = [self.worst] if self.worst else []
        return [*said, f"first divergence: {first}", *element, *self.table(first), *self.source_lines()]

    def source_lines(self) -> Iterator[str]:
        """Each quantity that introduces errors, with the steps at which it does."""
        steps: dict[str, list[int]] = {}
        for place in self.sources:
            steps.setdefault(place.tensor, []).append(place.step)
        for tensor, at in steps.items():
            yield f"* {tensor} does not follow from the values before it, at {stretches(at)}"

    def table(self, first: Divergence) -> list[str]:
        """Error per step and quantity, in the order in which the pass computes them."""
        columns = [
            q
            for q in (FORWARD if first.phase == "forward" else BACKWARD)
            if f"{first.layer}/{q}" in self.errors
        ]
        T = len(self.errors[f"{first.layer}/{columns[0]}"])
        steps = list(range(T)) if first.phase == "forward" else list(reversed(range(T)))
        at = steps.index(first.step)
        rows = []
        for position in range(max(at - BEFORE, 0), min(at + AFTER, T)):
            t = steps[position]
            cells = [
                figure(float(self.errors[name][t])) + ("*" if self.introduced[name][t] else " ")
                for name in (f"{first.layer}/{q}" for q in columns)
            ]
            remark = {at: f"<- first divergence: {called(first)}", at + 1: "   (contaminated from here on)"}
            rows.append([f"t={t}", *cells, remark.get(position, "")])
        direction = "first step first" if first.phase == "forward" else "last step first"
        shown = f", {len(rows)} of {T} steps" if len(rows) < T else ""
        return [
            f"per step, error of {first.layer} in eps of scale ({direction}{shown})",
            *table(["", *(f"{q} " for q in columns), ""], rows, left=(0, len(columns) + 1)),
        ]


def localize(
    problem: Problem, trace: Mapping[str, Any], exact: Exact, oracle_trace: Arrays | None = None
) -> Localization:
    """Find the first place at which `trace`, any part of one by tensor name, leaves the exact one.

    Errors and limits are those of `compare`; the oracle's error is that of `oracle_trace`
    (`tf_oracle.taps.run`), or of the textbook in the problem's dtype where it is left out.
    """
    usable, problems = sort_out(problem, trace, exact)
    reference = run_textbook(problem, lambda array: array).trace
    oracle = reference if oracle_trace is None else oracle_trace

    introduced = introductions(problem, usable, exact)
    rounding = introductions(problem, {name: reference[name] for name in usable}, exact)
    found, wrong = {}, {}
    for name, value in usable.items():
        row = compare(name, value, oracle[name], reference[name], exact.trace[name], problem.dtype)
        found[name] = errors(name, value, exact.trace[name], problem.dtype).max(axis=(0, 2))  # (T,)
        wrong[name] = (found[name] > row.limit) & (row.verdict == FAILED)
        introduced[name] = wrong[name] & (introduced[name] > FACTOR * max(float(rounding[name].max()), FLOOR))

    diverging = [p for p in order(lstm_steps(problem)) if p.tensor in usable and wrong[p.tensor][p.step]]
    for place in diverging[:1]:  # nothing before it is wrong: what is wrong here was not inherited
        introduced[place.tensor][place.step] = True
    sources = untraced_sources([p for p in diverging if introduced[p.tensor][p.step]], usable)
    first = sources[0] if sources else None
    worst = worst_of(first, usable, oracle_trace, exact) if first else ""
    return Localization(first, tuple(sources), tuple(problems), found, introduced, worst)


def worst_of(place: Divergence, usable: Arrays, oracle_trace: Arrays | None, exact: Exact) -> str:
    """The element that is farthest off at a place, in words; "" where its quantity is not traced."""
    if place.tensor not in usable:
        return ""
    yours, true = usable[place.tensor][:, place.step], exact.trace[place.tensor][:, place.step]  # (B, H)
    off = np.abs(np.where(np.isfinite(yours), yours - true, np.inf))
    row, unit = (int(k) for k in np.unravel_index(np.argmax(off), off.shape))
    keras = "" if oracle_trace is None else f" Keras {oracle_trace[place.tensor][row, place.step, unit]:+.7g}"
    values = f"yours {yours[row, unit]:+.7g}{keras} exact {true[row, unit]:+.7g}"
    return f"{place.tensor}[{row}, {place.step}, {unit}] unit {unit}: {values}"


def untraced_sources(sources: list[Divergence], trace: Arrays) -> list[Divergence]:
    """The sources, traced back over what was not traced. dc reaches dz_i and dz_g at every step, and dz_f
    where there is a c_prev; dh reaches dc and dz_o. Where all that it reaches is wrong at one step, and
    itself is unknown, it is the source.
    """
    found = []
    for (phase, layer, step), places in groupby(sources, key=lambda place: place[:3]):
        wrong = [place.quantity for place in places]
        if f"{layer}/dc" not in trace and {"dz_i", "dz_g"} <= set(wrong):
            wrong = ["dc", *(q for q in wrong if q not in ("dz_i", "dz_f", "dz_g"))]
        if f"{layer}/dh" not in trace and {"dc", "dz_o"} <= set(wrong):
            wrong = ["dh", *(q for q in wrong if q not in ("dc", "dz_o"))]
        found += [Divergence(phase, layer, step, quantity) for quantity in wrong]
    return found


def sort_out(problem: Problem, trace: Mapping[str, Any], exact: Exact) -> tuple[Arrays, list[str]]:
    """The tensors of `trace` that can be compared, and a sentence for each of the others."""
    usable, problems = {}, []
    for name, value in trace.items():
        if name not in exact.trace:
            problems.append(f"trace {name!r} is no tensor of this model{did_you_mean(name, exact.trace)}")
        elif wrong := unusable(value, exact.trace[name], problem.dtype):
            problems.append(f"trace {name!r} {wrong}")
        else:
            usable[name] = value
    return usable, problems


# ---- teacher forcing


def introductions(problem: Problem, trace: Arrays, exact: Exact) -> Arrays:
    """The error introduced at each step, (T,) by tensor name of `trace`, in eps of scale.

    The scale is the exact tensor's or, where a wrong value has made the numbers larger, theirs. 0 where
    what came in is not finite: nothing can be said there.
    """
    due = forced(problem, trace)
    found = {}
    for name, value in trace.items():
        true, wide = exact.trace[name], value.astype(np.longdouble)
        with np.errstate(invalid="ignore", over="ignore"):
            moved = true + (wide - due[name])
        error = np.minimum(
            errors(name, moved, true, problem.dtype), errors(name, wide, due[name], problem.dtype)
        )
        found[name] = np.where(np.isfinite(due[name]), error, 0).max(axis=(0, 2))
    return found


def forced(problem: Problem, trace: Arrays) -> Arrays:
    """What the textbook, in longdouble, computes at each place from the values of `trace` before it.

    By tensor name, (B, T, H). Where a value is not traced, the textbook's own goes on.
    """
    places = list(order(lstm_steps(problem)))
    visits = {q: iter([place for place in places if place.quantity == q]) for q in FORWARD + BACKWARD}
    due: dict[str, dict[int, Array]] = {}

    def see(quantity: str, value: Array) -> Array:
        place = next(visits[quantity])
        due.setdefault(place.tensor, {})[place.step] = value
        if place.tensor not in trace:
            return value
        return trace[place.tensor][:, place.step].astype(np.longdouble)

    with np.errstate(all="ignore"):
        run_textbook(problem.settled, to(np.longdouble), watched_textbook(see))
    return {name: np.stack([steps[t] for t in sorted(steps)], axis=1) for name, steps in due.items()}


def watched_textbook(see: Callable[[str, Array], Array]) -> ModuleType:
    """A copy of the textbook in which each `q = …` of a time step is followed by `q = see("q", q)`."""
    watched = copy_of(lstm, Watch())
    vars(watched)["see"] = see
    book = copy_of(sequential)
    vars(book)["lstm"] = watched
    return book


class Watch(ast.NodeTransformer):
    """Puts `q = see("q", q)` behind every assignment to a traced quantity in a loop over t."""

    def visit_For(self, loop: ast.For) -> ast.For:
        loop.body = [line for statement in loop.body for line in (statement, *self.after(statement))]
        return loop

    def after(self, statement: ast.stmt) -> list[ast.stmt]:
        match statement:
            case ast.Assign(targets=[ast.Name(id=q)]) if q in FORWARD + BACKWARD:
                return ast.parse(f"{q} = see({q!r}, {q})").body
        return []


def copy_of(module: ModuleType, edit: ast.NodeTransformer | None = None) -> ModuleType:
    """A fresh copy of `module`, its source edited first."""
    tree: Any = ast.parse(inspect.getsource(module))
    copy = ModuleType(module.__name__)
    exec(compile(edit.visit(tree) if edit else tree, str(module.__file__), "exec"), vars(copy))
    return copy


# ---- places and words


def lstm_names(problem: Problem) -> list[str]:
    """The names of the model's LSTMs, first to last."""
    return [name for name, layer in problem.model.named_layers() if isinstance(layer, LSTM)]


def lstm_steps(problem: Problem) -> dict[str, int]:
    """How many steps each of the model's LSTMs takes, first to last."""
    shapes = problem.model.shapes(problem.x.shape)
    return {name: given[1] for name, layer, given, _ in shapes if isinstance(layer, LSTM)}


def order(steps: Mapping[str, int]) -> Iterator[Divergence]:
    """Every place of a pass in the order of computation: forward, then backward as forward reversed."""
    for name, T in steps.items():
        for t in range(T):
            for quantity in FORWARD:
                yield Divergence("forward", name, t, quantity)
    for name, T in reversed(list(steps.items())):
        for t in reversed(range(T)):
            for quantity in BACKWARD:
                yield Divergence("backward", name, t, quantity)


def called(place: Divergence) -> str:
    """ "gate f" for a gate or its dz, else the quantity."""
    return f"gate {place.gate}" if place.gate else place.quantity


def stretches(steps: list[int]) -> str:
    """ "step 3", or "steps 0-2, 5"."""
    runs: list[list[int]] = []
    for t in sorted(steps):
        if runs and t == runs[-1][-1] + 1:
            runs[-1].append(t)
        else:
            runs.append([t])
    said = ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"step {said}" if len(steps) == 1 else f"steps {said}"
