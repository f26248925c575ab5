"""Faults of the equations that are no single edit: what people write in place of several lines."""

from collections.abc import Iterator

from reference_impl.lstm import GATES

# The line with which the backward pass takes up what a step has left.
UNPACKED = "x_t, h_prev, c_prev, z_i, z_f, z_g, z_o, i, f, g, o, c, phi_c, h"


def specials() -> Iterator[tuple[str, str, str, str, str, dict[str, str]]]:
    """Quantity, kind, right and wrong equation, a note, and the lines that make it, by the target that
    they stand in for; "lstm dh_above" is the LSTM's, where Dense has one too.
    """
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
        for when, said in ((f"t > T - {k}", f"after {k} steps"), (f"(T - t) % {k}", f"every {k} steps")):
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
        for targets in (("dW_y",), ("db_y",), ("dW_y", "db_y")):
            lines = {"dW_y": f"{x_rows}.T @ {d_rows}", "db_y": f"{d_rows}.sum(axis=0)"}
            yield (
                *(
                    targets[0],
                    "overwrite instead of accumulate",
                    "the sum over all steps",
                    f"the {which} step's",
                ),
                "one Dense kernel serves every step: its gradient is the sum over steps",
                {target: f"{target} = {lines[target]}" for target in targets},
            )
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
