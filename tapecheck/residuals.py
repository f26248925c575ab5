"""Every equation asked by itself, on the implementation's own values: which of them does it break?

On a transparent problem (tapecheck/transparent.py) an implementation's gradients give away its own dz of
every step. From its dz at t + 1 follow the dh and dc that it should have at t, and from those its dz at
t: an equation that does not hold on its own values is wrong, whatever was wrong before it. This knows no
list of mistakes, so it also finds those that nobody thought of.
"""

import itertools
from typing import NamedTuple

import numpy as np

from reference_impl import LSTM
from reference_impl.activations import activation
from reference_impl.spec import Array, Arrays
from tapecheck.answer import ask
from tapecheck.case import Implementation, Problem
from tapecheck.exact import run_textbook
from tapecheck.faults import program
from tapecheck.transparent import gatewise, read, transparent

# An equation holds where both sides agree to this share of their scale: readings lose some digits.
HOLDS = 1e-7


class Residual(NamedTuple):
    """An equation that the implementation's own values break: its left-hand side, the first step at
    which (from the last backwards; None for a sum over all steps), and what it is times too large.
    """

    quantity: str
    step: int | None
    ratio: str = ""

    def __str__(self) -> str:
        at = "" if self.step is None else f" at step {self.step}"
        return f"{self.quantity} does not follow from the values before it{at}" + (
            f": it is {self.ratio} times what it should be" if self.ratio else ""
        )


def residuals(implementation: Implementation, problem: Problem) -> list[Residual]:
    """The broken equations in the order of computation, each quantity once; [] where nothing can be
    said, as for a model that is not one LSTM under a head, or where no dz can be read.
    """
    clear = transparent(problem)
    if clear is None or sum(isinstance(layer, LSTM) for layer in clear.model.layers) > 1:
        return []
    answer = ask(implementation, clear)
    if answer.failure:
        return []
    theirs = {name: np.asarray(array) for name, array in answer.result.gradients.items()}
    output = answer.result.output
    truth = run_textbook(clear, np.asarray)
    if output is not None and not holds(np.asarray(output), truth.output):
        return []  # the values of the forward pass are not the known ones
    by_kernel, by_x = read(clear, theirs)
    readings = [reading for reading in (by_x, by_kernel) if reading is not None]
    if not readings:
        return []
    head = [
        Residual(quantity, None)
        for name, quantity in (("dense/kernel", "dW_y"), ("dense/bias", "db_y"))
        if name in theirs and not holds(theirs[name], truth.gradients[name])
    ]
    # Where dx and dW_x tell of another dz, that is believed of which the recurrence holds better.
    found = [(step_residuals(clear, dz, bool(head)), sum_residuals(clear, dz, theirs)) for dz in readings]
    steps, sums = min(found, key=lambda each: (len(each[0]), len(each[1])))
    return [*head, *steps, *sums]


def holds(left: Array, right: Array) -> bool:
    """Whether two sides of an equation are equal."""
    if left.shape != right.shape or not np.isfinite(left).all():
        return False
    top = max(np.abs(left).max(), np.abs(right).max())
    return bool(np.abs(left - right).max() <= HOLDS * top)


def sum_residuals(clear: Problem, dz: Array, theirs: Arrays) -> list[Residual]:
    """The equations that only read dz (B, T, 4H): the weights' gradients and dx."""
    _, _, values = program.forward(clear, {})
    h_prev = np.stack([step["h_prev"] for step in values[0].values], axis=1)  # (B, T, H)
    rows = dz.reshape(-1, dz.shape[-1])
    due = {
        "dW_x": ("lstm/kernel", clear.x.reshape(len(rows), -1).T @ rows),
        "dW_h": ("lstm/recurrent_kernel", h_prev.reshape(len(rows), -1).T @ rows),
        "db": ("lstm/bias", rows.sum(axis=0)),
        "dx": ("x", dz @ clear.weights["lstm/kernel"].T),
    }
    return [
        Residual(quantity, None)
        for quantity, (name, right) in due.items()
        if name in theirs and not holds(theirs[name], right)
    ]


def step_residuals(clear: Problem, dz: Array, wrong_head: bool) -> list[Residual]:
    """The equations of the recurrence, from the last step backwards, for dz (B, T, 4H)."""
    layer = clear.model.layers[0]
    assert isinstance(layer, LSTM)
    d_sigma = activation(layer.recurrent_activation).backward
    d_phi = activation(layer.activation).backward
    W_h = clear.weights["lstm/recurrent_kernel"]
    truth = run_textbook(clear, np.asarray).trace
    _, _, values = program.forward(clear, {})
    steps, T = values[0].values, dz.shape[1]
    theirs = {name.removeprefix("lstm/dz_"): array for name, array in gatewise(dz).items()}
    right_dz = np.concatenate([truth[f"lstm/dz_{gate}"] for gate in "ifgo"], axis=2)

    found: dict[str, Residual] = {}

    def broken(quantity: str, t: int, value: Array, due: Array) -> None:
        made_at = t + quantity.endswith("_next")  # the step that handed it on
        found.setdefault(quantity, Residual(quantity, t, ratio_of(value, due, steps[made_at])))

    dc, scale = 0 * truth["lstm/dc"][:, 0], 1.0
    for t in reversed(range(T)):
        step = steps[t]
        z_i, z_f, z_g, z_o = (step[f"z_{name}"] for name in "ifgo")
        i, f, g, o, c, phi_c = (step[name] for name in ("i", "f", "g", "o", "c", "phi_c"))
        one = np.ones_like(o)
        from_next = dz[:, t + 1] @ W_h.T if t < T - 1 else 0
        right_next = right_dz[:, t + 1] @ W_h.T if t < T - 1 else 0
        above = truth["lstm/dh"][:, t] - right_next
        dc_next = dc * steps[t + 1]["f"] if t < T - 1 else 0 * dc
        factors = {
            "i": g * d_sigma(one, z_i, i),
            "f": step["c_prev"] * d_sigma(one, z_f, f),
            "g": i * d_phi(one, z_g, g),
        }

        # dz_o tells dh, and dz_i, dz_f and dz_g each tell dc: believed where two of them agree
        dh = scale * above + from_next
        dz_t = {k: theirs[k][:, t] for k in "ifgo"}
        dh_told = divided(dz_t["o"], phi_c * d_sigma(one, z_o, o))
        dc_of = {k: divided(dz_t[k], factor) for k, factor in factors.items()}
        agreed = [dc_of[j] for j, k in itertools.combinations("ifg", 2) if holds(dc_of[j], dc_of[k])]
        dc_due = d_phi(dh * o, c, phi_c) + dc_next
        dc_told = agreed[0] if agreed else dc_due
        if not holds(dh_told, dh):
            if holds(dc_told, d_phi(dh_told * o, c, phi_c) + dc_next) or (wrong_head and t == T - 1):
                upstream = t == T - 1 or "dh_above" in found or holds(dh_told - dh, above)
                broken("dh_above" if upstream else "dh_next", t, dh_told, dh)
                if upstream and t == T - 1 and (factor := constant(dh_told, dh)):
                    scale = factor  # the same upstream, times a number: so at every step
                dh = dh_told
            elif "dc" in found or (t < T - 1 and "dz_o" not in found and not holds(dc_told, dc_due)):
                broken("dh_next", t, dh_told, dh)
                dh = dh_told
            else:
                broken("dz_o", t, dh_told, dh)
        dc_due = d_phi(dh * o, c, phi_c) + dc_next
        if agreed and not holds(dc_told, dc_due):
            if t == T - 1 or "dc" in found:
                broken("dc", t, dc_told, dc_due)
            else:
                broken("dc_next", t, dc_told - d_phi(dh * o, c, phi_c), dc_next)
            dc_due = dc_told
        for k in "ifg":
            if not holds(dc_of[k], dc_due):
                broken(f"dz_{k}", t, dc_of[k], dc_due)
        dc = dc_due
    return list(found.values())


def divided(value: Array, factor: Array) -> Array:
    """value / factor, and 0 where the factor is."""
    return np.where(factor == 0, 0, value / np.where(factor == 0, 1, factor))


def constant(value: Array, due: Array) -> float | None:
    """The one number that `value` is of `due` everywhere; None where there is none."""
    factor = float(np.sum(value * due) / np.sum(due * due))
    return factor if holds(value, factor * due) else None


def ratio_of(value: Array, due: Array, step: Arrays) -> str:
    """What one is of the other, elementwise, in the known values of the step; "" where that is none."""
    with np.errstate(all="ignore"):
        ratio = value / due
        known = {"0": 0 * ratio, "-1": -1 + 0 * ratio, "2": 2 + 0 * ratio, "1/2": 0.5 + 0 * ratio}
        for name in ("i", "f", "g", "o", "c", "c_prev", "phi_c", "h", "h_prev"):
            known |= {name: step[name], f"1/{name}": 1 / step[name]}
            known |= {f"1/({name} * (1 - {name}))": 1 / (step[name] * (1 - step[name]))}
            known |= {f"1/(1 - {name}**2)": 1 / (1 - step[name] ** 2), f"(1 + 1/{name})": 1 + 1 / step[name]}
        for one in ("i", "f", "g", "o", "c", "c_prev", "phi_c"):
            for other in ("i", "f", "g", "o", "c", "c_prev", "phi_c"):
                if one != other:
                    known[f"{one}/{other}"] = step[one] / step[other]
    if not np.isfinite(ratio).all():
        return ""
    return next((name for name, array in known.items() if holds(ratio, array)), "")
