"""Faults of the equations that are no single edit: what people write in place of several lines."""

import itertools
from collections.abc import Iterator

from reference_impl.lstm import GATES

# A mistake as `Writer.written` takes it: quantity, kind, right and wrong equation, a note, and the lines that
# make it, by the target that they stand in for; "lstm dh_above" is the LSTM's, where Dense has one too.
Written = tuple[str, str, str, str, str, dict[str, str]]
# The line with which the backward pass takes up what a step has left.
UNPACKED = "x_t, h_prev, c_prev, z_i, z_f, z_g, z_o, i, f, g, o, c, phi_c, h"


def specials() -> Iterator[Written]:
    """Several lines at once, and lines that no single edit of the right one gives."""
    dc = "dc = dh * o * (1 - tanh(c)**2) + dc_next"
    yield (
        *("dc", "wrong activation derivative", dc, "dc = (dh * o + dc_next) * (1 - tanh(c)**2)"),
        "dc_next reaches c directly, not through tanh(c)",
        {"dc": "dc = d_phi(dh * o + dc_next, c, phi_c)"},
    )
    carries = {"dh_next": "dz @ W_h.T", "dc_next": "dc * f"}
    carried = "dh_next = dz @ W_h.T; dc_next = dc * f"
    yield (
        *("dh_next", "recurrence not carried", carried, "dh_next = 0; dc_next = 0", "neither is carried"),
        {target: f"{target} = 0 * ({value})" for target, value in carries.items()},
    )
    for target, value in {**carries, "dh": "dh_above + dh_next"}.items():
        yield (
            *(target, "path counted twice", f"{target} = {value}", f"{target} += {value}"),
            "it is replaced at every step, not summed up",
            {target: f"{target} = {value} + (steps[-1]['h'] * 0 if t == T - 1 else {target})"},
        )
    for k in range(1, 7):
        for when, said in (
            (f"t > T - {k}", f"after {k} steps"),
            (f"(T - t) % {k}", f"every {k} steps"),
        ):
            if k > 1 or "after" in said:
                yield (
                    *("truncation", "truncation", carried, f"dh_next = dc_next = 0 {said} from the end", ""),
                    {target: f"{target} = {value} * bool({when})" for target, value in carries.items()},
                )
    for limit in (0.1, 0.5, 1, 5, 10):
        for target, value in {
            "dz": "np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)",
            "dh": "dh_above + dh_next",
            **carries,
        }.items():
            yield (
                *("clipping", "clipping inside backward", f"{target} is not clipped"),
                *(f"{target} = clip({target}, -{limit:g}, {limit:g})", ""),
                {target: f"{target} = np.clip({value}, -{limit}, {limit})"},
            )
    for stale in (
        "i f g o",
        "i f g o c phi_c h",
        "i f g o c_prev c phi_c",
        "x_t h_prev",
        "c phi_c",
        "c_prev h_prev",
    ):
        yield (
            *("cache", "stale cache", f"{stale.replace(' ', ', ')} of step t"),
            *(f"{stale.replace(' ', ', ')} of the last step", ""),
            {
                UNPACKED: f"{UNPACKED} = steps[t].values()\n"
                + "\n".join(
                    f"{name} = steps[-1]['{name}']"
                    for value in stale.split()
                    for name in ((value, f"z_{value}") if value in GATES else (value,))
                )
            },
        )
    for which, step in (("last", -1), ("first", 0)):
        x_rows, d_rows = (f"{n}.reshape(len(x), -1, {n}.shape[-1])[:, {step}]" for n in ("x", "dlogits"))
        lines = {"dW_y": f"{x_rows}.T @ {d_rows}", "db_y": f"{d_rows}.sum(axis=0)"}
        for targets, one, all_steps in (
            (("dW_y",), "h.T @ dlogits", "sum of h.T @ dlogits"),
            (("db_y",), "dlogits", "sum of dlogits"),
            (("dW_y", "db_y"), "those", "sums"),
        ):
            left = ", ".join(targets)
            yield (
                *(targets[0], "overwrite instead of accumulate"),
                *(f"{left} = {all_steps} over all steps", f"{left} = {one} of the {which} step alone"),
                "one Dense kernel serves every step: its gradient is the sum over steps",
                {target: f"{target} = {lines[target]}" for target in targets},
            )
    for order in itertools.permutations("ifgo"):
        mixed = ", ".join(f"dz_{k}" for k in order)
        if mixed != "dz_i, dz_f, dz_g, dz_o":
            yield (
                *("dz", "layout", "dz = [dz_i, dz_f, dz_g, dz_o]", f"dz = [{mixed}]"),
                "the gates have the kernel's order",
                {"dz": f"dz = np.concatenate([{mixed}], axis=1)"},
            )
    yield from of_the_head()
    above = "dh_above = dlogits @ W_y.T"
    yield (
        *("dh_above", "factor dropped", above, "dh_above = sum of dlogits", "every unit has its own weight"),
        {"dh_above": "dh_above = dlogits.sum(axis=-1, keepdims=True) + 0 * x"},
    )
    yield (
        *("dh_above", "last-step loss at every step", "dh_above = 0 before the last step"),
        *("dh_above = dlogits @ W_y.T at every step", ""),
        {"dy": "dy = np.stack([dy] * T, axis=1)"},
    )
    yield (
        *("dh_above", "last-step loss at every step", "dy at t = T - 1 alone", "dy at t = 0 alone", ""),
        {"dy": "dy = np.stack([dy] + [0 * dy] * (T - 1), axis=1)"},
    )
    for wrong, said in (
        ("dy[:, t] * (t == T - 1)", "0 before the last step"),
        ("dy.sum(axis=1)", "sum over steps"),
    ):
        yield (
            *("dh_above", "term dropped", "dh_above = dlogits[:, t] @ W_y.T", f"dh_above = {said}"),
            "with return_sequences=True the loss sees each step's own h",
            {"lstm dh_above": f"dh_above = {wrong}"},
        )


def of_the_head() -> Iterator[Written]:
    """A Dense kernel's gradient from other rows than its input's; `below` are the LSTM's steps under it."""
    right = "dW_y = h_rows.T @ d_rows"
    for name, kind in (
        ("h_prev", "off by one in the state"),
        *((name, "quantity swapped") for name in ("c", "phi_c", "c_prev", "o")),
    ):
        rows = f"np.stack([s['{name}'] for s in below], axis=1) if x.ndim == 3 else below[-1]['{name}']"
        line = f"dW_y = ({rows}).reshape(x_rows.shape).T @ d_rows"
        yield "dW_y", kind, right, f"dW_y = {name}_rows.T @ d_rows", "", {"dW_y": line}
    for step, said in (("-1:", "last"), (":1", "first")):
        line = f"dW_y = (0 * x + x[:, {step}] if x.ndim == 3 else x).reshape(x_rows.shape).T @ d_rows"
        wrong = f"dW_y = h of the {said} step for all rows.T @ d_rows"
        yield "dW_y", "stale cache", right, wrong, "", {"dW_y": line}


def of_masks() -> Iterator[Written]:
    """What goes wrong on the way back through masked steps."""
    yield (
        *("mask", "mask ignored", "a masked step hands dh_next and dc_next on", "every step counts"),
        "",
        {"lstm mask": "mask = None"},
    )


def of_stacks() -> Iterator[Written]:
    """What goes wrong between the layers of a stack of LSTMs."""
    right = "dh_above of the layer below = dx of this one"
    for wrong, said in (
        ("0 * dy", "0"),
        ("handed", "dh_above of this one"),
    ):
        upper = "isinstance(layer, LSTM) and name != next(model.named_layers())[0]"
        line = f"handed = dy; dy = found.pop('x'); dy = {wrong} if {upper} else dy"
        yield (
            *("dx", "term dropped", right, f"dh_above of the layer below = {said}"),
            "an upper layer hands its dx down, as the gradient of the lower one's outputs",
            {"stack dy": line},
        )
    rows = "below[t]['h_prev'].T @ dz if isinstance(below, list) else x_t.T @ dz"
    yield (
        *("dW_x", "off by one in the state", "dW_x = dW_x + x_t.T @ dz"),
        *("dW_x = dW_x + h_prev_below.T @ dz", "x_t of an upper layer is the lower one's h, not its h_prev"),
        {"dW_x": f"dW_x = dW_x + ({rows})"},
    )
