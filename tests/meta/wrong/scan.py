"""A step function and its reverse, driven by a generic scan; [x, h, 1] in one product, gates o, i, f, g.

Held out, and written after the matcher was finished: run once.
"""

import numpy as np

BUGS = {
    "d tanh of z": ({"dz_g"}, "wrong activation derivative"),
    "sqrt slope": ({"dz_o"}, "wrong activation derivative"),
    "dc from h": ({"dc"}, "quantity swapped"),
    "h and c carries crossed": ({"dh_next", "dc_next"}, "quantity swapped"),
    "carry stops at the batch mean": ({"dh_next"}, "normalisation"),
    "dh replaces, not adds": ({"dh", "dh_next"}, "recurrence not carried"),
    "f of this step before the gate": ({"df"}, "quantity swapped"),
    "dW from the outputs": ({"dW_h"}, "off by one in the state"),
    "bias row dropped twice": ({"db"}, "path counted twice"),
    "no initial state in dW": ({"dW_h"}, "initial state ignored"),
    "i and g exchanged": ({"di", "dg"}, "copy and paste between gates"),
    "o's slope for all": ({"dz_i", "dz_f"}, "copy and paste between gates"),
    "head averaged over time": ({"dW_y", "db_y"}, "normalisation"),
    "targets minus outputs": ({"sign", "dy"}, "sign"),
    "summed over outputs": ({"scale", "dy"}, "normalisation"),
    "gradients halved by symmetry": ({"dW_h"}, "normalisation"),
    "kernel gradient transposed per gate": ({"layout"}, "layout"),
    "dx by time reversed": ({"layout", "dx"}, "layout"),
    "norm clip of the carry": ({"clipping", "dh_next"}, "clipping inside backward"),
    "forgetting by one minus f": ({"dc_next"}, "wrong factor"),
    "hard sigmoid": ({"i", "f", "o", "z"}, "a different forward"),
    "peephole": ({"o", "z"}, "a different forward"),
    "cell through sigmoid": ({"h"}, "a different forward"),
}
ORDER = "oifg"


def step(M, x, h, c, bugs):
    """One step: the new h and c, and what the way back needs."""
    row = np.concatenate([x, h, np.ones((len(x), 1))], axis=1)
    z = dict(zip(ORDER, np.split(row @ M, 4, axis=1), strict=True))
    squash = (
        (lambda v: np.clip(0.2 * v + 0.5, 0, 1))
        if "hard sigmoid" in bugs
        else (lambda v: 1 / (1 + np.exp(-v)))
    )
    i, f, g = squash(z["i"]), squash(z["f"]), np.tanh(z["g"])
    new = f * c + i * g
    o = squash(z["o"] + new) if "peephole" in bugs else squash(z["o"])
    out = squash(new) if "cell through sigmoid" in bugs else np.tanh(new)
    return o * out, new, dict(row=row, z=z, i=i, f=f, g=g, o=o, c=new, c_in=c, h=o * out, h_in=h, tc=out)


def unstep(M, kept, dh, dc, D, bugs):
    """The step backwards: dM, dx, dh and dc of the step before."""
    i, f, g, o, tc = (kept[name] for name in ("i", "f", "g", "o", "tc"))
    sloped = (kept["h"] if "dc from h" in bugs else tc) ** 2
    dc = dc + dh * o * (1 - sloped)
    da = {
        "o": dh * tc * (np.sqrt(o * (1 - o)) if "sqrt slope" in bugs else o * (1 - o)),
        "i": dc * (i if "i and g exchanged" in bugs else g) * i * (1 - i),
        "f": dc * kept["c_in"] * f * (1 - f),
        "g": dc * (g if "i and g exchanged" in bugs else i) * (1 - g**2),
    }
    if "d tanh of z" in bugs:
        da["g"] = dc * i * (1 - kept["z"]["g"] ** 2)
    if "f of this step before the gate" in bugs:
        da["f"] = dc * g * f * (1 - f)
    if "o's slope for all" in bugs:
        da["i"], da["f"] = dc * g * o * (1 - o), dc * kept["c_in"] * o * (1 - o)
    d = np.concatenate([da[k] for k in ORDER], axis=1)
    row = kept["row"].copy()
    H = dh.shape[1]
    if "dW from the outputs" in bugs:
        row[:, D : D + H] = kept["h"]
    if "no initial state in dW" in bugs and kept["first"]:
        row[:, D : D + H] = 0
    dM = row.T @ d
    if "bias row dropped twice" in bugs:
        dM[-1] *= 2
    back = d @ M.T
    dx, dh = back[:, :D], back[:, D : D + H]
    if "carry stops at the batch mean" in bugs:
        dh = np.broadcast_to(dh.mean(axis=0), dh.shape)
    if "norm clip of the carry" in bugs:
        dh = dh * np.minimum(1, 0.05 / np.sqrt((dh**2).sum()))
    dc = dc * (1 - f if "forgetting by one minus f" in bugs else f)
    return (dM, dx, dc, dh) if "h and c carries crossed" in bugs else (dM, dx, dh, dc)


def run(problem, bugs=()):
    """Output and gradients, with the bugs planted."""
    lstm = problem.model.layers[0]
    w, H = problem.weights, lstm.units
    (N, T, D), K = problem.x.shape, problem.y.shape[-1]
    keras = np.vstack([w["lstm/kernel"], w["lstm/recurrent_kernel"], w["lstm/bias"]])
    blocks = dict(zip("ifgo", np.split(keras, 4, axis=1), strict=True))
    M = np.concatenate([blocks[k] for k in ORDER], axis=1)
    h, c = problem.initial_state["lstm/initial_h"], problem.initial_state["lstm/initial_c"]
    tape = []
    for t in range(T):
        h, c, kept = step(M, problem.x[:, t], h, c, bugs)
        tape.append(kept | {"first": t == 0})
    top = np.stack([kept["h"] for kept in tape], axis=1) if lstm.return_sequences else h
    y = top @ w["dense/kernel"] + w["dense/bias"]
    dy = problem.y if problem.loss is None else 2 * (y - problem.y) / y.size
    if "targets minus outputs" in bugs:
        dy = -dy
    if "summed over outputs" in bugs:
        dy = dy * K
    rows = dy.reshape(-1, K)
    dV, dv = top.reshape(-1, H).T @ rows, rows.sum(axis=0)
    if "head averaged over time" in bugs:
        dV, dv = dV / T, dv / T
    above = dy @ w["dense/kernel"].T
    dM, dX = np.zeros_like(M), np.zeros_like(problem.x)
    dh, dc = np.zeros((N, H)), np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        if lstm.return_sequences:
            dh = above[:, t] if "dh replaces, not adds" in bugs else dh + above[:, t]
        elif t == T - 1:
            dh = above
        more, dX[:, t], dh, dc = unstep(M, tape[t], dh, dc, D, bugs)
        dM += more
    apart = dict(zip(ORDER, np.split(dM, 4, axis=1), strict=True))
    if "kernel gradient transposed per gate" in bugs:
        for block in apart.values():
            block[D : D + H] = block[D : D + H].T.copy()
    back = np.concatenate([apart[k] for k in "ifgo"], axis=1)
    if "gradients halved by symmetry" in bugs:
        back[D : D + H] /= 2
    return y, {
        "lstm/kernel": back[:D],
        "lstm/recurrent_kernel": back[D : D + H],
        "lstm/bias": back[-1],
        "dense/kernel": dV,
        "dense/bias": dv,
        "x": dX[:, ::-1] if "dx by time reversed" in bugs else dX,
    }
