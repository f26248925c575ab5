"""What was computed instead, read off the numbers: for a broken equation that no list of mistakes explains.

What the implementation has, divided by what goes into the equation, is a number for every sample, step and
unit. Where a product of a few known values (gates, states, their derivatives) gives all of these numbers,
that product is the factor that the implementation multiplies by; and where what is too much is such a
product times another gradient, that is the term that it adds. A few dozen numbers, each to seven digits,
leave no room for chance. The equation is then tried like any other mistake.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from reference_impl import LSTM
from reference_impl.activations import activation
from reference_impl.spec import Array
from tapecheck.faults import Fault, equation_of, program
from tapecheck.faults.edits import exchange_names, expression
from tapecheck.faults.names import resolved
from tapecheck.problem import Problem
from tapecheck.search.forced import Forced, near
from tapecheck.search.products import AGREES, Factors
from tapecheck.search.residuals import Residual, divided

# The right equation as what goes in, times a factor, plus the rest.
PARTS = {
    **{f"d{k}": ("dc", "") for k in "ifg"},
    "do": ("dh", ""),
    **{f"dz_{k}": (f"d{k}", "") for k in "ifgo"},
    "dc": ("dh * o", "dc_next"),
    "dc_next": ("dc", ""),
    "dh_next": ("dz @ W_h.T", ""),
    "dh_above": ("dy[:, t]", ""),
}
# Gradients of the same step that may have been added, or taken instead, as they are written.
GRADIENTS = {name: name for name in ("dh", "dh_above", "dh_next", "dc", "dc_next")}
GRADIENTS |= {f"{d}{k}": f"{d}{k}" for k in "ifgo" for d in ("d", "dz_")}
GRADIENTS |= {"back_to_h": "dz @ W_h.T"}
# What the textbook computes later, as it is computed.
DC = "(d_phi(dh * o, c, phi_c) + dc_next)"
BEFORE_ITS_LINE = {("dc", "dz_o"): "d_sigma(do, z_o, o)", ("do", "dc"): DC, ("dz_o", "dc"): "dc"}
# Numbers below this share of the largest count as zero.
ZERO = 1e-3


def read_off(forced: Forced, residual: Residual) -> Iterator[Fault]:
    """The equations that give the implementation's numbers; none where none of a known form does."""
    yield from clipped(residual)
    yield from updated(forced, residual)
    yield from multiplied(forced.problem, residual)


def multiplied(problem: Problem, residual: Residual) -> Iterator[Fault]:
    """The equation with another factor, or with another term; none where no product of few values is that."""
    if residual.quantity not in PARTS or not residual.samples:
        return
    known = values_of(problem, residual)
    if not np.any(np.abs(known["own"]) > ZERO * np.abs(known["due"]).max()):
        return  # it is zero, which is no product of anything
    factors, targets = Factors(known), [residual.quantity]
    if residual.quantity.startswith("dz"):  # dk, if what comes after it is right
        targets.insert(0, residual.quantity.replace("z_", ""))
    for target in targets:
        sides = known
        if target != residual.quantity:
            due = known[target]
            sides = known | {"own": divided(known["own"], divided(known["due"], due)), "due": due}
        for wrong, kind in equations_for(target, sides, factors):
            tree = exchange_names(resolved(expression(wrong), False), {"B": expression("len(dh)")})
            code = {program.LSTM_BACKWARD.lines[target].key: program.compiled_assignment(target, tree)}
            right, location = equation_of(target)
            said = spelt(f"{target} = {wrong}".replace(DC, "dc"), problem, residual)
            yield Fault(target, kind, right, said, location, code=code)


def equations_for(target: str, known: dict[str, Any], factors: Factors) -> Iterator[tuple[str, str]]:
    """Right-hand sides that give what the implementation has, each with the class of the mistake."""
    goes_in, rest = PARTS[target]
    base = known["due"] if target in ("dh_next", "dh_above") else eval(goes_in, {}, dict(known))
    plus = known[rest] if rest else 0
    for factor in factors.products(known["own"] - plus, base, most=2):
        yield f"{goes_in}{factor}" + (f" + {rest}" if rest else ""), kind_of(target, factor)
    right = equation_of(target)[0].partition(" = ")[2]
    for other, text in GRADIENTS.items():
        if other not in known or target == "dh_above":  # of which the head's equation is the right one
            continue
        text = BEFORE_ITS_LINE.get((target, other), text)
        if text != goes_in:
            for factor in factors.products(known["own"], known[other], most=1):
                swapped = not factor or f"{goes_in}{factor}" == right
                yield f"{text}{factor}", "quantity swapped" if swapped else "wrong factor"
        for factor in factors.products(known["own"] - known["due"], known[other], most=1):
            yield f"{right} + {text}{factor}", "path counted twice" if text == goes_in else "term added"


def values_of(problem: Problem, residual: Residual) -> dict[str, Any]:
    """The values of all steps, rows below each other (N, H), and the activations that FACTORS call."""
    samples = residual.samples
    names = set.intersection(*(set(sample.values) for sample in samples))
    known: dict[str, Any] = {name: np.concatenate([s.values[name] for s in samples]) for name in names}
    known |= {side: np.concatenate([getattr(s, side) for s in samples]) for side in ("own", "due")}
    layer = dict(problem.model.named_layers())[residual.layer]
    assert isinstance(layer, LSTM)
    known["sigma"] = activation(layer.recurrent_activation).value
    known["phi"] = activation(layer.activation).value
    known["B"], known["T"] = problem.x.shape[:2]
    return known


def spelt(equation: str, problem: Problem, residual: Residual) -> str:
    """The equation with the layer's own activations by their names."""
    layer = dict(problem.model.named_layers())[residual.layer]
    assert isinstance(layer, LSTM)
    for short, name in (("sigma", layer.recurrent_activation), ("phi", layer.activation)):
        equation = re.sub(rf"\b{short}\(", f"{name or 'linear'}(", equation)
    return equation


def kind_of(target: str, factor: str) -> str:
    """The class of a mistake that multiplies by another factor."""
    if not re.search("[a-z]", factor):
        return "sign" if factor == " * -1" else "normalisation"
    if not target.startswith("dz_"):
        return "path counted twice" if factor.startswith(" * (1 + ") else "wrong factor"
    gate = target[-1]
    if set(re.findall(r"\b[ifgo]\b", factor)) - {gate}:
        return "copy and paste between gates"
    left = (f" * {gate}", f" * (1 - {gate})")  # of sigma's derivative
    return "gate derivative left out" if factor in left else "wrong activation derivative"


# ---- forms that are no products


def clipped(residual: Residual) -> Iterator[Fault]:
    """Clipping of what is computed, or of what that goes into, by value or by its norm at each step."""
    for samples, target in ((residual.samples, residual.quantity), (residual.into, residual.goes_into)):
        if not samples or target not in LINES:
            continue
        own, due = (np.stack([getattr(sample, side) for sample in samples]) for side in ("own", "due"))
        for said, source in (*by_value(own, due), *by_norm(own, due)):
            text = source.format(LINES[target])
            code = {program.LSTM_BACKWARD.lines[target].key: program.compiled_lines(f"{target} = {text}")}
            yield Fault(
                *("clipping", "clipping inside backward", f"{target} is not clipped"),
                said.format(target),
                equation_of(target)[1],
                code=code,
            )


# What can be clipped, as the textbook computes it.
LINES = {
    "dc": DC,
    "dh": "dh_above + dh_next",
    "dh_next": "dz @ W_h.T",
    "dc_next": "dc * f",
    "dz": "np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)",
}


def by_value(own: Array, due: Array) -> Iterator[tuple[str, str]]:
    """The largest entry as a limit, if all others are as they should be."""
    limit = float(np.abs(own).max())
    if near(np.clip(due, -limit, limit), own):
        yield f"{{0}} = clip({{0}}, -{limit:.6g}, {limit:.6g})", f"np.clip({{}}, -{limit:.6g}, {limit:.6g})"


def by_norm(own: Array, due: Array) -> Iterator[tuple[str, str]]:
    """The norm that no step is above, if each is as it should be but for its length."""
    lengths, wanted = (np.sqrt((array**2).sum(axis=(1, 2))) for array in (own, due))
    limit = float(lengths.max())
    shorter = lengths < wanted * (1 - AGREES)
    at_limit = np.abs(lengths - limit) <= AGREES * limit
    scaled = due * np.minimum(1, divided(np.array(limit), wanted))[:, None, None]
    if shorter.any() and at_limit[shorter].all() and near(scaled, own):
        source = f"(lambda v: v * np.minimum(1, {limit:.6g} / np.sqrt((v**2).sum())))({{}})"
        yield f"{{0}} = {{0}} scaled down to a norm of {limit:.6g}", source


def updated(forced: Forced, residual: Residual) -> Iterator[Fault]:
    """A kernel updated before the gradient passes it."""
    if residual.quantity == "dh_above":
        yield from updated_head(forced, residual)
    if residual.quantity == "dh_next" and residual.samples:
        yield from updated_inside(forced, residual)


def updated_inside(forced: Forced, residual: Residual) -> Iterator[Fault]:
    """The recurrent kernel updated in the loop: dh_next by W_h - rate * dW_h, summed up so far."""
    dz = forced.values[residual.layer].swapaxes(0, 1)  # (T, B, 4H)
    h_prev = forced.layer_input(residual.layer, "h_prev")  # (T, B, H)
    dW_h = np.cumsum((h_prev.swapaxes(1, 2) @ dz)[::-1], axis=0)[::-1]  # (T, H, 4H)
    less = dz @ dW_h.swapaxes(1, 2)  # (T, B, H), what each step hands back too little
    moved = np.stack([less[sample.step + 1] for sample in residual.samples])
    own, due = (np.stack([getattr(sample, side) for sample in residual.samples]) for side in ("own", "due"))
    rate = float(np.sum((due - own) * moved) / np.sum(moved**2))
    if near(due - own, rate * moved):
        key = program.LSTM_BACKWARD.lines["dh_next"].key
        yield Fault(
            *("dh_next", "updated too early", *equation_of("dh_next")[:1]),
            f"dh_next = dz @ (W_h - {rate:.6g} * dW_h).T",
            equation_of("dh_next")[1],
            note="dW_h is what the loop has summed up so far",
            code={key: program.compiled_lines(f"dh_next = dz @ (W_h - {rate:.15g} * dW_h).T")},
        )


def updated_head(forced: Forced, residual: Residual) -> Iterator[Fault]:
    """The head's kernel updated: dh_above by W_y - rate * dW_y."""
    above = {below: name for (below, _), (name, _) in pairwise(forced.problem.model.named_layers())}
    head = above.get(residual.layer, "")
    if head not in forced.values or not head.startswith("dense"):
        return
    x, dlogits = forced.head_input(head), forced.values[head]
    rows, d_rows = (array.reshape(-1, array.shape[-1]) for array in (x, dlogits))
    forms = {"x_rows.T @ d_rows": dlogits @ (rows.T @ d_rows).T}
    if dlogits.ndim == 3:
        steps = zip(dlogits.swapaxes(0, 1), x.swapaxes(0, 1), strict=True)
        forms["each step's own"] = np.stack([d @ d.T @ h for d, h in steps], axis=1)
    samples = [sample for sample in residual.samples if dlogits.ndim == 3 or sample.due.any()]
    own, due = (np.stack([getattr(sample, side) for sample in samples]) for side in ("own", "due"))
    for said, less in forms.items():
        moved = np.stack([less[:, sample.step] if less.ndim == 3 else less for sample in samples])
        rate = float(np.sum((due - own) * moved) / np.sum(moved**2))
        if near(due - own, rate * moved):
            text = f"dlogits @ (W_y - {rate:.6g} * (x_rows.T @ d_rows)).T"
            if said not in text:
                steps_of = "zip(np.moveaxis(dlogits, 1, 0), np.moveaxis(x, 1, 0))"
                text = (
                    f"dlogits @ W_y.T - {rate:.6g} * np.stack([d @ d.T @ h for d, h in {steps_of}], axis=1)"
                )
            key = program.DENSE_BACKWARD.lines["dh_above"].key
            yield Fault(
                *("dh_above", "updated too early", "dh_above = dlogits @ W_y.T"),
                f"dh_above = dlogits @ (W_y - {rate:.6g} * dW_y).T",
                equation_of("dh_above")[1],
                note="" if said in text else said.replace("own", "own dW_y"),
                code={key: program.compiled_lines(f"dh_above = {text}")},
            )
