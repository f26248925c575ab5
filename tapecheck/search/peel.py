"""Several mistakes at once, peeled off one by one.

On forced values (forced.py) a mistake shows where it was made and nowhere else. So a fault that is one of
several mends what it broke, whatever else is wrong: more of the implementation's values follow from each
other with it than without. The search mends one, asks what is left, and goes on from there. Faults that no
list has are read off the numbers on the way (readoff.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from reference_impl.spec import Array, Arrays
from tapecheck.faults import BROKEN, Fault
from tapecheck.faults.program import Code, Kept
from tapecheck.problem import Problem
from tapecheck.search.forced import Forced, near
from tapecheck.search.reading import Reader
from tapecheck.search.readoff import read_off
from tapecheck.search.residuals import Residual, residuals

# Mistakes that are looked for at most, and states that the search goes on from.
DEPTH, BEAM = 3, 12
ROOTS = 2  # readings of the same answer: where a gradient gives nonsense away, another may not
MENDING = 60  # faults that mend something by themselves, tried on top of each other
MOST_RUNS = 6000  # of the textbook, some 2.5 milliseconds each
NARROW = 4  # states from which all that can break what is still broken is tried
# The quantities whose mistakes break an equation.
WHOLE = ("dz", "cache", "clipping", "truncation", "layout")
CAUSES = {
    **{f"dz_{k}": (f"d{k}", f"dz_{k}", *WHOLE) for k in "ifgo"},
    "dc": ("dc", "dc_next", *WHOLE),
    "dc_next": ("dc_next", "dc", *WHOLE),
    "dh_next": ("dh_next", "dh", "dh_above", *WHOLE),
    "dh_above": ("dh_above", "dh", "dh_next", "dx", "truncation", "scale", "sign"),
    "dlogits": ("dlogits", "dy", "dW_y", "scale", "sign"),
    "dy": ("dy", "dlogits", "dW_y", "scale", "sign"),
    "db_y": ("db_y", "db"),
    **{quantity: (quantity, "dW_x", "cache", "layout", "scale") for quantity in ("dW_x", "dW_h", "db")},
    "dx": ("dx", "layout"),
}


@dataclass(frozen=True, eq=False)
class State:
    """Some mistakes mended: `holds` says which cells hold then."""

    faults: tuple[Fault, ...]
    forced: Forced
    code: Code
    way: tuple[str, ...]  # by which gradient each layer is read
    holds: Array = field(repr=False)
    print: str = ""  # the same for two states that come to the same

    @property
    def wrong(self) -> int:
        """How many cells do not hold."""
        return int((~self.holds).sum())

    @property
    def rank(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The best states first: the fewest cells that do not hold, and then the likeliest faults."""
        return self.wrong, tuple(fault.rank for fault in self.faults)

    def has(self, part: str) -> bool:
        """Whether such values were read."""
        return any(cell.part == part for cell in self.forced.cells)

    def off(self, part: str) -> bool:
        """Whether some of them do not hold."""
        return any(
            cell.part == part and not holds for cell, holds in zip(self.forced.cells, self.holds, strict=True)
        )

    @cached_property
    def broken(self) -> list[Residual]:
        """The equations that do not hold."""
        return residuals(self.forced, self.code)

    def suggested(self) -> Iterator[Fault]:
        """Faults read off the numbers."""
        plain = self.broken
        unsure = {residual.quantity for residual in plain} >= {"dz_i", "dz_f", "dz_g"}
        asked = [plain, *(residuals(self.forced, self.code, gate) for gate in "ifg" if unsure)]
        for found in asked:
            for residual in found:
                yield from read_off(self.forced, residual)


class Search:
    """A search among `known` faults for those of one implementation, in at most `runs` of the textbook."""

    def __init__(
        self,
        problem: Problem,
        kept: Kept,
        theirs: Arrays,
        known: Iterable[Fault],
        code: Code,
        runs: int = MOST_RUNS,
    ):
        self.problem, self.kept, self.reader, self.runs = problem, kept, Reader(problem, kept), runs
        self.edits = [fault for fault in known if fault.code and fault.phase == "backward"]
        self.conventions = [fault for fault in known if fault.undo]
        self.mending: list[Fault] = []  # what mended something by itself
        self.seen: list[State] = []
        self.like: dict[Fault, list[Fault]] = {}  # faults that came to the same as another
        self.roots = self.readings(theirs, code)

    def readings(self, theirs: Arrays, code: Code) -> list[State]:
        """The best ways to read an answer. Where the head's dlogits are not as they should be, that may be
        so or its kernel's gradient may be wrong: so one without them is among these.
        """
        ways = [self.state(theirs, (), code, way) for way in self.reader.ways(theirs)]
        states = sorted((each for each in ways if each), key=lambda state: -int(state.holds.sum()))
        full = [state for state in states if state.way.count("") <= states[0].way.count("")]
        unlike = list({state.print: state for state in reversed(full)}.values())[::-1][:ROOTS]
        if unlike and unlike[0].off("dlogits"):
            blind = [state for state in states if not state.has("dlogits")]
            unlike += blind[:1]
        return unlike

    def state(
        self, theirs: Arrays, faults: tuple[Fault, ...], code: Code, way: tuple[str, ...]
    ) -> State | None:
        """The state of these gradients, read in one way; None where the code cannot run."""
        forced = Forced(self.problem, self.kept, theirs, self.reader.read(theirs, way))
        run = forced.run(code)
        return None if run is None else State(faults, forced, code, way, run.holds, run.print)

    def after(self, state: State, fault: Fault) -> State | None:
        """The state with one more mistake mended; None where the two cannot both be."""
        faults = (*state.faults, fault)
        if fault.undo:
            return self.state(fault.undo(self.problem, state.forced.theirs), faults, state.code, state.way)
        if state.code.keys() & fault.code.keys():
            return None
        code = {**state.code, **fault.code}
        run = state.forced.run(code)
        return None if run is None else State(faults, state.forced, code, state.way, run.holds, run.print)

    def better(self, state: State, candidates: Iterable[Fault]) -> Iterator[State]:
        """Of every candidate tried, the states in which more holds."""
        for fault in candidates:
            self.runs -= 1
            after = self.after(state, fault) if self.runs > 0 else None
            if after and after.wrong < state.wrong:
                yield after

    def complete(self, depth: int, advance: Callable[[float], None]) -> Iterator[list[State]]:
        """States in which everything holds, up to `depth` faults, in lots as they are found, of each the
        likeliest first. `advance` is told the share of the work that is done.
        """
        beam = self.roots
        for level in range(1, depth + 1):
            found: list[State] = []
            trials = self.trials(beam, level, depth)
            for number, (states, candidates) in enumerate(trials):
                better = [each for state in states for each in self.better(state, candidates(state))]
                better.sort(key=lambda state: state.rank)
                found += better
                advance((level - 1 + (number + 1) / len(trials)) / depth)
                if done := [state for state in better if not state.wrong]:
                    yield done
            found.sort(key=lambda state: state.rank)
            if level == 1:
                self.mending = [state.faults[-1] for state in found[:MENDING]]
            beam = self.unlike(found)
            self.seen += beam

    def trials(
        self, beam: Sequence[State], level: int, depth: int
    ) -> list[tuple[Sequence[State], Callable[[State], Iterable[Fault]]]]:
        """What is tried in turn: on which states, and what on each of them."""
        found: list[tuple[Sequence[State], Callable[[State], Iterable[Fault]]]]
        found = [(beam[:NARROW], State.suggested)]
        if level > 1:
            found.append((beam, lambda state: self.mending))
        if depth > 1:
            found.append((beam[:NARROW], self.relevant))
        return found

    def relevant(self, state: State) -> list[Fault]:
        """The known faults that can break what is still broken."""
        broken = state.broken
        causes = {cause for residual in broken for cause in causes_of(residual.quantity)}
        layers = {residual.layer for residual in broken} | {""}
        return [
            fault
            for fault in [*self.edits, *self.conventions]
            if fault.quantity in causes and {key.layer for key in fault.code} <= layers
        ]

    def unlike(self, states: Sequence[State]) -> list[State]:
        """The best of the `states` that are still wrong and do not all come to the same; what comes to the
        same is kept in mind.
        """
        kept: dict[str, State] = {}
        for state in states:
            first = kept.setdefault(state.print, state)
            if state.faults[:-1] == first.faults[:-1] and state is not first:
                self.like.setdefault(first.faults[-1], []).append(state.faults[-1])
        return [state for state in kept.values() if state.wrong][:BEAM]

    def equals(self, state: State) -> list[list[Fault]]:
        """For each fault of a state all that come to the same there, as far as this one problem can tell."""
        found = []
        for mine in state.faults:
            others = self.other_edits(state, mine) if mine.code else self.other_conventions(state, mine)
            every = (mine, *self.like.get(mine, ()), *others)
            found.append(list({fault.wrong: fault for fault in every}.values()))
        return found

    def other_edits(self, state: State, mine: Fault) -> Iterator[Fault]:
        """The known mistakes in equations that could stand in for one that is mended."""
        causes = {mine.quantity, *causes_of(mine.quantity)}
        rest = {key: line for key, line in state.code.items() if key not in mine.code}
        for fault in self.edits:
            if fault.quantity in causes and not rest.keys() & fault.code.keys():
                run = state.forced.run({**rest, **fault.code})
                if run and run.print == state.print:
                    yield fault

    def other_conventions(self, state: State, mine: Fault) -> Iterator[Fault]:
        """The conventions that do the same to the gradients there are."""
        mended = state.forced.theirs
        due = applied(mine, self.problem, mended)
        for fault in self.conventions:
            try:
                found = applied(fault, self.problem, mended)
            except BROKEN:  # it acts on a gradient that is not there
                continue
            if all(np.shape(found[name]) == due[name].shape and near(found[name], due[name]) for name in due):
                yield fault

    def partial(self) -> State:
        """The state to say something of where none is complete: the best in which every fault has mended an
        equation and broken none.
        """
        before = {(residual.layer, residual.quantity) for residual in self.roots[0].broken}
        for state in sorted(self.seen, key=lambda state: state.rank):
            after = {(residual.layer, residual.quantity) for residual in state.broken}
            if len(before - after) >= len(state.faults) and after < before:
                return state
        return self.roots[0]


def causes_of(quantity: str) -> tuple[str, ...]:
    """The quantities whose mistakes break the equation of this one."""
    return CAUSES.get(quantity, (quantity,))


def applied(convention: Fault, problem: Problem, gradients: Arrays) -> Arrays:
    """What a convention makes of gradients."""
    assert convention.after
    return convention.after(problem, gradients)
