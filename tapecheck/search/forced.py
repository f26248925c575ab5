"""The textbook run on an implementation's own values: what differs then is a mistake made right there.

The textbook's backward pass is run with the dz and dlogits that were read off the answer in place of its
own. Whatever it computes at a step then follows from the implementation's own values, so a mistake shows
where it was made and nowhere else, and two mistakes do not hide each other.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from reference_impl.spec import Array, Arrays
from tapecheck.faults import BROKEN, program
from tapecheck.faults.program import Code, Hooks, Kept
from tapecheck.problem import Problem
from tapecheck.search.reading import Values

# Values hold where both sides agree to this share of their own scale, or to a smaller one of the scale of
# all steps: readings lose some digits, and the gradients of early steps vanish.
HOLDS, VANISHES = 1e-7, 1e-11

GATE_GRADIENTS = ("dz_i", "dz_f", "dz_g", "dz_o")


class Cell(NamedTuple):
    """Something that holds or does not: a part of a gradient, or with a `step` one step's dz or dlogits."""

    name: str  # the tensor, or the layer
    part: str  # "", a gate, a step, or a quantity
    step: int | None = None


class Run(NamedTuple):
    """One run of code on forced values."""

    holds: Array  # by cell
    print: str  # the same for two runs that compute the same


Look = Callable[[str, dict[str, Any], Array], None]


class Forced:
    """One problem, what was answered to it, and one reading of the answer."""

    def __init__(self, problem: Problem, kept: Kept, theirs: Arrays, values: Values):
        self.problem, self.kept, self.theirs, self.values = problem, kept, theirs, values
        self.cells: list[Cell] = []
        for name, array in values.items():
            if name.startswith("lstm"):
                steps = range(array.shape[1])
                self.cells += [Cell(name, f"dz_{gate}", t) for t in steps for gate in "ifgo"]
            else:
                self.cells.append(Cell(name, "dlogits", 0))
        self.cells += [Cell(name, part) for name, array in theirs.items() for part in parts(name, array)]

    def head_input(self, name: str) -> Array:
        """What went into a Dense."""
        names = [each for each, _ in self.problem.model.named_layers()]
        found: Array = self.kept[2][names.index(name)].values["x"]
        return found

    def layer_input(self, name: str, value: str) -> Array:
        """A value of every step of an LSTM, (T, B, H)."""
        names = [each for each, _ in self.problem.model.named_layers()]
        return np.stack([step[value] for step in self.kept[2][names.index(name)].values])

    def run(self, code: Code, look: Look | None = None) -> Run | None:
        """The textbook, its lines exchanged as `code` says, on these values; None where that cannot run.
        `look` is called with a layer's name, the variables of a step and its forced dz.
        """
        computed: dict[str, list[Array]] = {name: [] for name in self.values}
        hooks = {name: self.forcing(name, computed[name], look) for name in self.values}
        try:
            found = program.backpropagate(self.problem, code, self.kept, hooks).gradients
        except BROKEN:
            return None
        holding: list[Any] = []
        for name, array in self.values.items():
            if name.startswith("lstm"):
                B, T, _ = array.shape
                mine = np.stack(computed[name][::-1], axis=1).reshape(B, T, 4, -1)
                top = float(np.nanmax(np.abs(array)))
                array = np.where(np.isnan(array), mine.reshape(array.shape), array)
                holding += list(near(mine, array.reshape(mine.shape), top, (0, 3)).ravel())
            else:
                holding.append(near(computed[name][0], array))
        for name, array in self.theirs.items():
            same = found[name].shape == array.shape
            holding += (
                list(near_in_parts(name, found[name], array)) if same else [False] * len(parts(name, array))
            )
        sums = [float(np.sum(array)) for array in chain(found.values(), *computed.values())]
        return Run(np.array(holding, bool), f"{sum(value * (k + 1) for k, value in enumerate(sums)):.7e}")

    def forcing(self, name: str, computed: list[Array], look: Look | None) -> Hooks:
        """What takes note of a layer's own dz, or dlogits, and puts the implementation's in its place."""
        values = self.values[name]

        def dz(space: dict[str, Any]) -> None:
            theirs = values[:, space["t"]]
            computed.append(space["dz"])
            if np.isnan(theirs).any():  # not known at this step
                return
            if look:
                look(name, space, theirs)
            space["dz"] = theirs
            space.update(zip(GATE_GRADIENTS, np.split(theirs, 4, axis=1), strict=True))

        def dlogits(space: dict[str, Any]) -> None:
            computed.append(space["dlogits"])
            space["dlogits"] = values

        return {DZ: dz} if name.startswith("lstm") else {DLOGITS: dlogits}


def near(left: Array, right: Array, top: float = 0.0, axes: tuple[int, ...] | None = None) -> Any:
    """Whether two arrays agree, over `axes` each by itself; `top` is the scale of what they are read from."""
    apart = np.abs(left - right).max(axis=axes)
    size = np.maximum(np.abs(left), np.abs(right)).max(axis=axes)
    return apart <= HOLDS * size + VANISHES * top


def parts(name: str, array: Array) -> tuple[str, ...]:
    """What a gradient holds, or does not, in by itself: the gates of an LSTM's weights, the steps of dx."""
    if name == "x" and array.ndim == 3:
        return tuple(f"step {t}" for t in range(array.shape[1]))
    return tuple("ifgo") if name.startswith("lstm") and "initial" not in name else ("",)


def near_in_parts(name: str, mine: Array, theirs: Array) -> Array:
    """Whether two gradients agree, part by part."""
    top = float(np.abs(theirs).max())
    if name == "x" and theirs.ndim == 3:
        return np.atleast_1d(near(mine, theirs, top, (0, 2)))
    if len(parts(name, theirs)) == 1:
        return np.atleast_1d(near(mine, theirs))
    gates = [array.reshape(-1, 4, array.shape[-1] // 4) for array in (mine, theirs)]
    return np.atleast_1d(near(gates[0], gates[1], top, (0, 2)))


DZ = program.LSTM_BACKWARD.lines["dz"].key
DLOGITS = program.DENSE_BACKWARD.lines["dlogits"].key
