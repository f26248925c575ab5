"""What people get wrong around the equations: how the loop over steps runs, what it carries and from where,
and how concatenated weights are taken apart.
"""

import itertools
from collections.abc import Iterator

from tapecheck.faults.specials import UNPACKED, Written

UNPACK = f"{UNPACKED} = steps[t].values()"
CARRIED = "dh_next = dz @ W_h.T; dc_next = dc * f"
DZ = "np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)"
DLOGITS = "(dy if from_logits else activation(layer.activation).backward(dy, logits, y))"
FROM_EITHER_END = {"t % {} or t == 0": "start", "(T - t) % {}": "end"}
CARRIES = {"dh_next": "dz @ W_h.T", "dc_next": "dc * f"}
WEIGHTS = {"dh_next": "W_h", "dx_t": "W_x"}


def steps() -> Iterator[Written]:
    """Steps that the loop leaves out, or takes in another order."""
    first, last = "the loop ends at t = 1", "the loop starts at t = T - 2"
    ends = {
        "dz": f"dz = {DZ} * (t > 0)",
        "dh_next": "dh_next = dz @ W_h.T if t else dh_next",
        "dc_next": "dc_next = dc * f if t else dc_next",
    }
    starts = {"dh": "dh = (dh_above + dh_next) * (t < T - 1)"}
    of_head = f"dlogits = {DLOGITS} * (np.ones(1) if x.ndim < 3 else np.arange(x.shape[1]) {{}})[:, None]"
    for wrong, lines, kept, note in (
        (first, ends, "> 0", "range(T - 1, 0, -1) stops one step early"),
        (last, starts, "< x.shape[1] - 1", "range(T - 2, -1, -1) starts one step late"),
    ):
        right = "the loop ends at t = 0" if lines is ends else "the loop starts at t = T - 1"
        yield "truncation", "steps left out", right, wrong, note, lines
        head = {"dlogits": of_head.format(kept)}
        yield "truncation", "steps left out", right, f"{wrong}, of the head too", note, head | lines
    yield (
        *("dh_next", "steps in the wrong order", "for t in reversed(range(T))", "for t in range(T)"),
        "",
        {
            UNPACKED: f"t = T - 1 - t; {UNPACK}",
            "dx": "dx = np.stack([d_steps[T - 1 - t]['dx_t'] for t in layer.time(T)], axis=1)",
        },
    )


def carries() -> Iterator[Written]:
    """What the loop carries: from another sample, from another step, averaged, or handed on too early."""
    start = {"dh_next": "initial_h", "dc_next": "initial_c"}
    for names in (("dh_next",), ("dc_next",), ("dh_next", "dc_next")):
        said = " and ".join(names)
        yield (
            *(names[0], "wrong initial value", f"{said} = 0 before the loop"),
            f"{said} as the sample before left it",
            "each sample starts anew",
            {"start dc_next": LEAK.format(names=names, start=start)},
        )
        yield (
            *(names[0], "stale cache", CARRIED, f"{said} of the last step at every step", ""),
            {name: f"{name} = {CARRIES[name]} if t == T - 1 else {name}" for name in names},
        )
    for target, value in {**CARRIES, "dh": "dh_above + dh_next"}.items():
        yield (
            *(target, "normalisation", f"{target} = {value}", f"{target} = mean of {value} over the batch"),
            "each sample has its own gradient",
            {target: f"{target} = ({value}).mean(axis=0) + 0 * h"},
        )
    into_c = "d_phi(dh * o, c, phi_c)"
    dc = "dc = dh * o * (1 - tanh(c)**2) + dc_next"
    yield (
        *("dh", "recurrence not carried", f"dh = dh_above + dh_next; {dc}"),
        "dh = dh_above; dc = dh * o * (1 - tanh(c)**2)",
        "neither dh_next nor dc_next is read",
        {"dh": "dh = dh_above", "dc": f"dc = {into_c}"},
    )
    for kind, source, said, note in (
        ("quantity swapped", f"2 * {into_c}", "dc + dc", "it is added to itself in place of dc_next"),
        ("factor counted twice", f"{into_c} + dc_next * f", "... + dc_next * f", "dc_next has its f already"),
        (
            "factor counted twice",
            f"{into_c} + dc_next * steps[min(t + 1, T - 1)]['f']",
            "... + dc_next * f_next",
            "f_next is f of the next step, which dc_next has already",
        ),
    ):
        yield "dc", kind, dc, f"dc = {said}", note, {"dc": f"dc = {source}"}
    yield (
        *("dc", "factor counted twice", dc, "dc = dc * f before di, df and dg are made of it"),
        "dc is what comes to this step; dc * f is what leaves it",
        {
            name: f"{name} = dc * f * {factor}"
            for name, factor in (("di", "g"), ("df", "c_prev"), ("dg", "i"))
        },
    )
    for names in (("dh_next",), ("dc_next",), ("dh_next", "dc_next")):
        for k, (when, said) in itertools.product(range(2, 6), FROM_EITHER_END.items()):
            if len(names) == 1 or said == "start":
                yield (
                    *("truncation", "truncation", CARRIED),
                    f"{' = '.join(names)} = 0 every {k} steps from the {said}",
                    "",
                    {name: f"{name} = {CARRIES[name]} * bool({when.format(k)})" for name in names},
                )
    for target, early, note in (
        ("dh_next", "dz @ W_h.T + dh_above", "dh_above of the first step is added to the gradient of h_0"),
        ("dh_next", "dh", "the gradient of h_0 is dh of the first step, which is h_1's"),
        ("dc_next", "dc", "the gradient of c_0 is dc of the first step, which is c_1's"),
    ):
        right = CARRIES[target]
        yield (
            *(
                target,
                "initial state's gradient",
                f"{target} = {right}",
                f"{target} = {early} at t = 0",
                note,
            ),
            {target: f"{target} = {early} if t == 0 else {right}"},
        )


# One sample after the other, each from what the one before has left: what is left of the first is right, of
# the second after a second pass, and so on.
LEAK = """\
dc_next = 0 * steps[-1]["c"]
dy_of = dy if layer.return_sequences else dy[:, -1]
for _ in range(len(dc_next)):
    left = backward(layer, weights, steps, dy_of, given, {{"final_h": dh_next, "final_c": dc_next}})[0]
    for name in {names}:
        before = np.concatenate([0 * dc_next[:1], left[{start}[name]][:-1]])
        dh_next, dc_next = (before, dc_next) if name == "dh_next" else (dh_next, before)
"""


def caches() -> Iterator[Written]:
    """States that are updated in place: what every step has kept is the last step's."""
    for names in ("c_prev", "h_prev", "h_prev c_prev", "c c_prev", "c phi_c c_prev", "h_prev c phi_c c_prev"):
        kept = names.split()
        lines = [f"{name} = steps[-1]['{name.removesuffix('_prev')}']" for name in kept]
        said = ", ".join(kept)
        yield (
            *("cache", "stale cache", f"{said} of step t", f"{said} after the last step, at every step"),
            "an array that is updated in place is one array: keep a copy at each step",
            {UNPACKED: "\n".join([UNPACK, *lines])},
        )


def other_steps() -> Iterator[Written]:
    """Sums of products of rows that are a step apart; what is handed on made of dk in place of dz_k."""
    for target, of, source, said in (
        ("dW_x", "x_t", "steps[max(t - 1, 0)]['x_t'] * (t > 0)", "x of the step before (at t = 0: none)"),
        (
            "dW_h",
            "h_prev",
            "steps[min(t + 1, T - 1)]['h'] * (t < T - 1)",
            "h of the next step (none at the end)",
        ),
        ("dW_h", "h_prev", "steps[min(t + 1, T - 1)]['h']", "h of the next step"),
    ):
        yield (
            *(target, "off by one in the state", f"{target} = {target} + {of}.T @ dz"),
            f"{target} = {target} + ({said}).T @ dz",
            "",
            {target: f"{target} = {target} + ({source}).T @ dz"},
        )
    terms = {"dW_x": "x_t.T @ dz", "dW_h": "h_prev.T @ dz", "db": "dz.sum(axis=0)"}
    for k in (2, 3, 4):
        for when, said in ((f"t < {k}", "first"), (f"t >= T - {k}", "last")):
            yield (
                *("dW_x", "samples left out", "dW_x, dW_h and db sum over all steps"),
                f"dW_x, dW_h and db sum over the {said} {k} steps",
                "",
                {target: f"{target} = {target} + ({term}) * ({when})" for target, term in terms.items()},
            )
    for gate in "ifgo":
        blocks = [f"d{k}" if k == gate else f"dz_{k}" for k in "ifgo"]
        wrong = f"np.concatenate([{', '.join(blocks)}], axis=1)"
        for names in (("dh_next",), ("dx_t",), ("dh_next", "dx_t")):
            yield (
                *(names[0].replace("dx_t", "dx"), "gate derivative left out"),
                "; ".join(f"{name} = dz @ {WEIGHTS[name]}.T" for name in names),
                "; ".join(f"{name} = [{' '.join(blocks)}] @ {WEIGHTS[name]}.T" for name in names),
                f"it reads d{gate}, before the gate's derivative",
                {name: f"{name} = {wrong} @ {WEIGHTS[name]}.T" for name in names},
            )


def exchanged() -> Iterator[Written]:
    """Two equations, each with the other's right-hand side; one gate's derivative for all gates of sigma."""
    values = {"di": "dc * g", "df": "dc * c_prev", "dg": "dc * i", **CARRIES}
    pairs = [*itertools.combinations(("di", "df", "dg"), 2), ("dh_next", "dc_next")]
    for one, other in pairs:
        gates = one in ("di", "df", "dg")
        yield (
            *(one, "copy and paste between gates" if gates else "quantity swapped"),
            f"{one} = {values[one]}; {other} = {values[other]}",
            f"{one} = {values[other]}; {other} = {values[one]}",
            "",
            {one: f"{one} = {values[other]}", other: f"{other} = {values[one]}"},
        )
    swapped = {
        "do": "dh * o",
        "dc": "d_phi(dh * phi_c, c, phi_c) + dc_next",
        "di": "dc * i",
        "df": "dc * f",
        "dg": "dc * g",
        "dc_next": "dc * c_prev",
    }
    yield (
        *("do", "quantity swapped", "of a product x * y: dx = d * y; dy = d * x"),
        *("of every product x * y: dx = d * x; dy = d * y", "each factor's gradient has the other factor"),
        {target: f"{target} = {value}" for target, value in swapped.items()},
    )
    for gate in "ifo":
        others = [k for k in "ifo" if k != gate]
        yield (
            *(f"dz_{others[0]}", "copy and paste between gates"),
            "; ".join(f"dz_{k} = d{k} * {k} * (1 - {k})" for k in others),
            "; ".join(f"dz_{k} = d{k} * {gate} * (1 - {gate})" for k in others),
            "",
            {f"dz_{k}": f"dz_{k} = d_sigma(d{k}, z_{gate}, {gate})" for k in others},
        )


def concatenated() -> Iterator[Written]:
    """The kernels in one matrix, [x, h] or [h, x], and its gradient cut at the wrong place; and rows that are
    in two orders, of samples and of steps.
    """
    for order, stack, cut_h, cut_x in (
        ("[x, h]", "W_x, W_h", "[:, :H]", "[:, H:]"),
        ("[h, x]", "W_h, W_x", "[:, D:]", "[:, :D]"),
        ("[1, x, h]", "weights['bias'][None], W_x, W_h", "[:, D:D + H]", "[:, :D]"),
    ):
        cut = {"dh_next": cut_h, "dx_t": cut_x}
        sizes = {n: where.replace("H", "len(W_h)").replace("D", "len(W_x)") for n, where in cut.items()}
        for names in (("dh_next",), ("dx_t",), ("dh_next", "dx_t")):
            yield (
                *(names[0].replace("dx_t", "dx"), "layout", f"x and h of d{order} at their own places"),
                "; ".join(f"{name} = d{order}{cut[name]}" for name in names),
                f"d{order} = dz @ W.T holds the gradients in the order of {order}",
                {name: f"{name} = (dz @ np.concatenate([{stack}]).T){sizes[name]}" for name in names},
            )
    dzs = "np.stack([np.concatenate([s[f'dz_{k}'] for k in 'ifgo'], axis=1) for s in d_steps])"
    for target, of in (("dW_x", "x_t"), ("dW_h", "h_prev")):
        rows = f"np.stack([s['{of}'] for s in steps], axis=1)"
        mixed = f"{rows}.reshape(-1, {rows}.shape[-1]).T @ {dzs}.reshape(len(steps) * len(h), -1)"
        yield (
            *(target, "layout", f"{target} = {of} rows.T @ dz rows, both in one order"),
            f"{target} = {of} rows, samples first, .T @ dz rows, steps first",
            "reshape joins axes in the order in which they lie: (B, T, D) and (T, B, 4H) give rows of others",
            {"dx": f"dx = np.stack([d_steps[t]['dx_t'] for t in layer.time(T)], axis=1); {target} = {mixed}"},
        )


def of_the_head() -> Iterator[Written]:
    """What stands for the derivative of the head's activation, whichever that is; rows in two orders."""
    right = "dlogits = dy * y'"
    for source, kind in (
        ("dy * y", "wrong activation derivative"),
        ("dy * logits", "wrong activation derivative"),
        ("dy * y * (1 - y)", "wrong activation derivative"),
        ("np.where(dy > 0, dy, 0 * dy)", "wrong activation derivative"),
        ("activation(layer.activation).backward(dy, logits, y) * y", "factor counted twice"),
    ):
        said = source.replace("activation(layer.activation).backward(dy, logits, y)", "dy * y'")
        yield "dlogits", kind, right, f"dlogits = {said}", "", {"dlogits": f"dlogits = {source}"}
    for some, which in (
        ("first output", "(np.arange(dy.shape[-1]) == 0)"),
        ("last output", "(np.arange(dy.shape[-1]) == dy.shape[-1] - 1)"),
        ("first sample", "np.reshape(np.arange(len(dy)) == 0, (-1, *[1] * (dy.ndim - 1)))"),
        ("last sample", "np.reshape(np.arange(len(dy)) == len(dy) - 1, (-1, *[1] * (dy.ndim - 1)))"),
    ):
        yield (
            *("dlogits", "samples left out", right, f"dlogits = 0 but for the {some}"),
            "every output of every sample has its share in the loss",
            {"dlogits": f"dlogits = {DLOGITS} * {which}"},
        )
    d_rows = "dy.reshape(d_rows.shape)"
    lines = {"dW_y": f"x_rows.T @ {d_rows}", "db_y": f"{d_rows}.sum(axis=0)", "dh_above": "dy @ W_y.T"}
    for targets in (("dW_y",), ("db_y",), ("dW_y", "db_y"), ("dh_above",)):
        said = " and ".join(targets)
        yield (
            *(targets[0], "gate derivative left out", f"{said} of dlogits", f"{said} of dy"),
            "dlogits is what has passed the activation",
            {target: f"{target} = {lines[target]}" for target in targets},
        )
    for targets in (("dW_y",), ("db_y",), ("dW_y", "db_y")):
        rows = "{0}.reshape(len({0}), -1, {0}.shape[-1])[-1]"
        lines = {
            "dW_y": f"dW_y = {rows.format('x')}.T @ {rows.format('dlogits')}",
            "db_y": f"db_y = {rows.format('dlogits')}.sum(axis=0)",
        }
        yield (
            *(targets[0], "overwrite instead of accumulate", f"{' and '.join(targets)} of all samples"),
            f"{' and '.join(targets)} of the last sample",
            "",
            {target: lines[target] for target in targets},
        )
    mixed = "x.swapaxes(0, 1).reshape(x_rows.shape) if x.ndim == 3 else x_rows"
    yield (
        *("dW_y", "layout", "dW_y = h rows.T @ dlogits rows, both in one order"),
        "dW_y = h rows, steps first, .T @ dlogits rows, samples first",
        "reshape joins axes in the order in which they lie: (T, B, H) and (B, T, K) give rows of others",
        {"dW_y": f"dW_y = ({mixed}).T @ d_rows"},
    )


# Losses whose derivative may stand for that of another, of the same targets.
LOSSES = (
    *("mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "mean_squared_logarithmic_error"),
    *("poisson", "binary_crossentropy", "categorical_crossentropy"),
)


def of_the_loss(used: str) -> Iterator[Written]:
    """Another loss's derivative than that of the one `used`; the targets of another step."""
    right = "dy = w * the derivative of this loss"
    for name in (name for name in LOSSES if name != used):
        source = f"dy = w * look_up(LOSSES, {name!r}).backward(y, of)"
        yield "dy", "another loss", right, f"dy = w * that of {name}", "", {"loss dy": source}
    for source, said in (
        ("np.concatenate([y[:, :1], y[:, :-1]], axis=1)", "the step before"),
        ("np.concatenate([y[:, 1:], y[:, -1:]], axis=1)", "the next step"),
        ("np.roll(y, 1, axis=1)", "the step before, at t = 0 of the last"),
        ("np.roll(y, -1, axis=1)", "the next step, at the end of the first"),
        ("np.concatenate([0 * y[:, :1], y[:, :-1]], axis=1)", "the step before, at t = 0 zero"),
    ):
        yield (
            *("dy", "off by one in the state", "dy from the targets of its own step"),
            f"dy from the targets of {said}",
            "",
            {"loss dy": f"dy = w * d_loss({source} if y.ndim == 3 else y, of)"},
        )


def written(loss: str) -> Iterator[Written]:
    """All of them, for a model with this loss, by name."""
    for some in (steps, carries, caches, other_steps, exchanged, concatenated, of_the_head):
        yield from some()
    yield from of_the_loss(loss)
