"""Every equation asked by itself, on the implementation's own values: which of them does it break?

From an implementation's dz at t + 1 follow the dh and dc that it should have at t, and from those its dz at
t: an equation that does not hold on its own values is wrong, whatever was wrong before it. This knows no
list of mistakes, so it also finds those that nobody thought of.
"""

import itertools
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reference_impl import Dense
from reference_impl.spec import Array, Arrays
from tapecheck.faults.program import Code
from tapecheck.search.forced import Forced, near

# What each gradient is made by, besides dz: the equations that only read it.
SUMS = {"kernel": "dW_x", "recurrent_kernel": "dW_h", "bias": "db", "x": "dx"}
CARRIES = {"initial_h": "dh_next", "initial_c": "dc_next"}
HEAD = {"kernel": "dW_y", "bias": "db_y"}
# What the quantities of a step go into.
GOES_INTO = {"dh_above": "dh", "dh_next": "dh", "dc_next": "dc", **{f"dz_{k}": "dz" for k in "ifgo"}}


@dataclass
class Sample:
    """An equation at one step: what the implementation has, what it should have, and the values that the
    equation may have read, those of the implementation's backward pass among them.
    """

    step: int
    own: Array
    due: Array
    values: Arrays


@dataclass
class Residual:
    """An equation that the implementation's own values break: its left-hand side, the layer, the first step
    at which it does not hold (from the last backwards; None for a sum over all steps), and every step.
    """

    quantity: str
    layer: str
    step: int | None = None
    samples: list[Sample] = field(default_factory=list)
    into: list[Sample] = field(default_factory=list)  # those of what it goes into: dh, dc or dz

    @property
    def goes_into(self) -> str:
        """The name of what it goes into."""
        return GOES_INTO.get(self.quantity, "")

    def __str__(self) -> str:
        at = "" if self.step is None else f" at step {self.step}"
        return f"{self.quantity} does not follow from the values before it{at}"


def residuals(forced: Forced, code: Code, believed: str = "") -> list[Residual]:
    """The equations that do not hold on the implementation's own values, in the order of computation, where
    the textbook's are exchanged as `code` says. `believed` is the gate among "ifg" whose dz is taken to tell
    dc where no two of them agree.
    """
    asked = {
        name: Asked(float(np.nanmax(np.abs(values))), believed) for name, values in forced.values.items()
    }
    run = forced.run(code, lambda name, space, theirs: asked[name].at_step(space, theirs))
    if run is None:
        return []
    plain = {name: list[Sample]() for name in forced.values}
    forced.run(code, lambda name, space, dz: plain[name].append(Sample(space["t"], dz, space["dz"], {})))
    failing = [cell for cell, holds in zip(forced.cells, run.holds, strict=True) if not holds]
    wrong = {cell.name for cell in failing if cell.step is None}  # gradients
    off = {cell.name for cell in failing if cell.step is not None}  # layers
    found: list[Residual] = []
    first, *_ = forced.problem.model.named_layers()
    for name, layer in reversed(list(forced.problem.model.named_layers())):
        tensors = {full.removeprefix(f"{name}/") for full in wrong if full.startswith(f"{name}/")}
        if isinstance(layer, Dense):
            made = "dy" if layer.activation in (None, "linear") else "dlogits"
            found += [Residual(made, name)] * (name in off) + sums(name, tensors, HEAD)
            continue
        if (name, layer) == first and "x" in wrong:
            tensors.add("x")
        broken = asked[name].residuals(name, plain[name]) if name in asked else []
        found += broken + sums(name, tensors, SUMS)
        if name in asked:
            here = {residual.quantity for residual in broken}
            found += [each for each in sums(name, tensors, CARRIES) if each.quantity not in here]
    return found


def sums(layer: str, tensors: Set[str], quantities: Mapping[str, str]) -> list[Residual]:
    """The wrong gradients of a layer as broken equations."""
    return [Residual(quantity, layer) for tensor, quantity in quantities.items() if tensor in tensors]


class Asked:
    """What the steps of one LSTM have said so far, from the last backwards."""

    def __init__(self, top: float, believed: str) -> None:
        self.top, self.believed = top, believed  # the scale of all dz
        self.broken: dict[str, int] = {}  # quantity to the first step
        self.samples: dict[str, list[Sample]] = {}
        self.after: Arrays = {}  # the values of the step after
        self.upstream = 1.0  # what dh_above is times too large, where it is one number

    def residuals(self, layer: str, dz: list[Sample]) -> list[Residual]:
        """The broken equations with all their samples; `dz` are those of all gates together."""
        into = self.samples | {"dz": dz}
        return [
            Residual(q, layer, step, self.samples.get(q, []), into.get(GOES_INTO.get(q, ""), []))
            for q, step in self.broken.items()
        ]

    def at_step(self, space: dict[str, Any], theirs: Array) -> None:
        """Ask the equations of one step. `space` holds what the textbook computed there, `theirs` is the
        implementation's dz (B, 4H). Goes on with the implementation's dc where its dz tell that.
        """
        step = Step(space, theirs)
        t, last = step.t, not self.after
        above = self.upstream * space["dh_above"]
        due = above + space["dh_next"]
        told = self.dc_told(step, last)
        self.sample("dh", t, step.dh_told, due, {})
        dh = due if self.near(step.dh_told, due) else self.dh_of(step, due, told, last)

        due_c = step.into_c * dh + step.dc_next
        if told is not None and not self.near(told, due_c):
            self.breaks("dc" if last or "dc" in self.broken else "dc_next", t)
        dc = due_c if told is None else told
        for k in "ifg":
            if not self.near(step.own[k], step.factors[k] * dc):
                self.breaks(f"dz_{k}", t)
        self.take_samples(step, dh, dc, above, last)
        space["dc"] = dc

    def dc_told(self, step: "Step", last: bool) -> Array | None:
        """The dc that dz tells: what two gates agree on or, past the last step, what a gate says whose
        equations held so far.
        """
        tells = {k: divided(step.own[k], factor) for k, factor in step.factors.items()}
        for j, k in itertools.combinations("ifg", 2):
            if self.near(tells[j], tells[k]):
                return tells[j]
        trusted = [k for k in self.believed or "igf" if f"dz_{k}" not in self.broken]
        return tells[trusted[0]] if trusted and (self.believed or not last) else None

    def dh_of(self, step: "Step", due: Array, told: Array | None, last: bool) -> Array:
        """Which dh: the one that is `due`, and dz_o is wrong, or the one that dz_o tells, and dh is? That by
        which the dc that dz has `told` follows.
        """
        explains = told is not None and self.near(step.into_c * step.dh_told + step.dc_next, told)
        right = told is not None and self.near(step.into_c * due + step.dc_next, told)
        constant = self.constant(step.dh_told, due)
        is_gate = "dz_o" in self.broken or (last and (right or not explains) and not constant)
        if right or (is_gate and not explains):
            self.breaks("dz_o", step.t)
            return due
        above = last or ("dh_above" in self.broken and self.upstream == 1)
        self.breaks("dh_above" if above else "dh_next", step.t)
        if last and constant:
            self.upstream = constant
        return step.dh_told

    def take_samples(self, step: "Step", dh: Array, dc: Array, above: Array, last: bool) -> None:
        """Keep both sides of every equation, and the values that it may have read."""
        space, t = step.space, step.t
        values = {name: space[name] for name in KNOWN if name in space}
        values |= {"dh": dh, "dc": dc} | {f"dz_{k}": step.own[k] for k in "ifgo"}
        values |= {f"d{k}": divided(space[f"d{k}"], space["dc"]) * dc for k in "ifg"}
        values["do"] = divided(space["do"], space["dh"]) * dh
        for k in "ifg":
            self.sample(f"dz_{k}", t, step.own[k], step.factors[k] * dc, values)
        self.sample("dz_o", t, step.own["o"], step.through_o * dh, values)
        self.sample("dc", t, dc, step.into_c * dh + step.dc_next, values)
        self.sample("dh_above", t, step.dh_told - space["dh_next"], space["dh_above"], values)
        if not last:
            self.sample("dh_next", t, step.dh_told - above, space["dh_next"], self.after)
            self.sample("dc_next", t, dc - step.into_c * dh, step.dc_next, self.after)
        self.after = values | {"back_to_h": step.theirs @ space["W_h"].T}

    def near(self, left: Array, right: Array) -> bool:
        return bool(near(left, right, self.top))

    def constant(self, value: Array, due: Array) -> float | None:
        """The one number that `value` is of `due` everywhere; None where there is none."""
        factor = float(np.sum(value * due) / np.sum(due * due))
        return factor if self.near(value, factor * due) else None

    def breaks(self, quantity: str, step: int) -> None:
        self.broken.setdefault(quantity, step)

    def sample(self, quantity: str, step: int, own: Array, due: Array, values: Arrays) -> None:
        self.samples.setdefault(quantity, []).append(Sample(step, own, due, values))


class Step:
    """One step: the textbook's variables in `space`, and the implementation's dz (B, 4H)."""

    def __init__(self, space: dict[str, Any], theirs: Array) -> None:
        self.space, self.theirs = space, theirs
        self.t: int = space["t"]
        self.own: Arrays = dict(zip("ifgo", np.split(theirs, 4, axis=1), strict=True))
        self.dc_next: Array = space["dc_next"]
        self.through_o = divided(space["dz_o"], space["dh"])  # dz_o is that times dh
        self.into_c = divided(space["dc"] - self.dc_next, space["dh"])  # dc is that times dh, plus dc_next
        self.factors = {k: divided(space[f"dz_{k}"], space["dc"]) for k in "ifg"}  # dz_k is that times dc
        self.dh_told = divided(self.own["o"], self.through_o)  # by dz_o


# What an equation of the backward pass may read of its step.
KNOWN = (
    *("i", "f", "g", "o", "c", "phi_c", "h", "h_prev", "c_prev", "z_i", "z_f", "z_g", "z_o"),
    *("dh_above", "dh_next", "dc_next"),
)


def divided(value: Array, factor: Array) -> Array:
    """value / factor, and 0 where the factor is."""
    return np.where(factor == 0, 0, value / np.where(factor == 0, 1, factor))
