"""One long function, a matrix a gate, lists of what each step left. Batch first, row vectors."""

import numpy as np

# bug: (the quantities that name it, its class)
BUGS = {
    "no dh carry": ({"dh_next", "dh"}, "recurrence not carried"),
    "no dc carry": ({"dc_next", "dc"}, "cell carry missing"),
    "dc carry without f": ({"dc_next"}, "factor dropped"),
    "U not transposed": ({"dh_next"}, "recurrent kernel not transposed"),
    "df of c": ({"df"}, "off by one in the state"),
    "dU of h": ({"dW_h"}, "off by one in the state"),
    "tanh' of tanh": ({"dz_g"}, "derivative of an activated value"),
    "tanh' of c": ({"dc"}, "derivative of an activated value"),
    "f' left out": ({"dz_f"}, "gate derivative left out"),
    "bo from f": ({"db"}, "copy and paste between gates"),
    "dW overwritten": ({"dW_x"}, "overwrite instead of accumulate"),
    "sum over the batch": ({"scale", "dy"}, "normalisation"),
    "minus": ({"sign", "dy"}, "sign"),
    "x of the last step": ({"dW_x"}, "x of the last step for all steps"),
    "last step everywhere": ({"dh_above"}, "last-step loss at every step"),
    "no tanh on the cell": ({"h", "phi_c"}, "a different forward"),
    "float32 buffers": ({"precision"}, "float32 buffers"),
    "dc without o": ({"dc"}, "factor dropped"),
    "o for f in the carry": ({"dc_next"}, "copy and paste between gates"),
}


def s(a):
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-a))


def run(problem, bug=()):
    """Output and gradients, with the bugs planted."""
    lstm = problem.model.layers[0]
    H = lstm.units
    names = "ifgo"
    kernels = {n: problem.weights["lstm/kernel"][:, k * H : (k + 1) * H] for k, n in enumerate(names)}
    loops = {n: problem.weights["lstm/recurrent_kernel"][:, k * H : (k + 1) * H] for k, n in enumerate(names)}
    shifts = {n: problem.weights["lstm/bias"][k * H : (k + 1) * H] for k, n in enumerate(names)}
    V, v = problem.weights["dense/kernel"], problem.weights["dense/bias"]
    X = problem.x
    n, steps, _ = X.shape

    h = problem.initial_state["lstm/initial_h"]
    c = problem.initial_state["lstm/initial_c"]
    H_all, C_all, G_all = [h], [c], []
    for t in range(steps):
        a = {k: X[:, t].dot(kernels[k]) + h.dot(loops[k]) + shifts[k] for k in names}
        gate = {k: np.tanh(a[k]) if k == "g" else s(a[k]) for k in names}
        c = gate["f"] * c + gate["i"] * gate["g"]
        h = gate["o"] * (c if "no tanh on the cell" in bug else np.tanh(c))
        H_all.append(h)
        C_all.append(c)
        G_all.append(gate)

    seen = np.stack(H_all[1:], 1) if lstm.return_sequences else h
    out = seen @ V + v
    error = problem.y if problem.loss is None else 2 * (out - problem.y) / out.size
    if "sum over the batch" in bug:
        error = error * n
    if "minus" in bug:
        error = -error

    gradient_V = np.tensordot(seen, error, axes=(list(range(seen.ndim - 1)),) * 2)
    gradient_v = error.sum(axis=tuple(range(error.ndim - 1)))
    above = error @ V.T

    gW = {k: np.zeros_like(kernels[k]) for k in names}
    gU = {k: np.zeros_like(loops[k]) for k in names}
    gb = {k: np.zeros_like(shifts[k]) for k in names}
    gX = np.zeros_like(X)
    dh = np.zeros_like(h)
    dc = np.zeros_like(c)
    if "float32 buffers" in bug:
        gX, dh, dc = gX.astype("f4"), dh.astype("f4"), dc.astype("f4")
        gW = {k: w.astype("f4") for k, w in gW.items()}
    for t in range(steps - 1, -1, -1):
        gate, c, c_old, h_old = G_all[t], C_all[t + 1], C_all[t], H_all[t]
        if lstm.return_sequences:
            dh = dh + above[:, t]
        elif t == steps - 1 or "last step everywhere" in bug:
            dh = dh + above
        if "float32 buffers" in bug:
            dh = dh.astype("f4")
        tc = np.tanh(c)
        slope = 1 - np.tanh(tc) ** 2 if "tanh' of c" in bug else 1 - tc**2
        if "no tanh on the cell" in bug:
            tc, slope = c, 1.0
        dc = dc + dh * slope * (1 if "dc without o" in bug else gate["o"])
        f_slope = 1 if "f' left out" in bug else gate["f"] * (1 - gate["f"])
        da = {
            "i": dc * gate["g"] * gate["i"] * (1 - gate["i"]),
            "f": dc * (c if "df of c" in bug else c_old) * f_slope,
            "g": dc * gate["i"] * (1 - (np.tanh(gate["g"]) if "tanh' of tanh" in bug else gate["g"]) ** 2),
            "o": dh * tc * gate["o"] * (1 - gate["o"]),
        }
        for k in names:
            new = X[:, -1 if "x of the last step" in bug else t].T.dot(da[k])
            gW[k] = new if "dW overwritten" in bug else gW[k] + new
            gU[k] = gU[k] + (h_old if "dU of h" not in bug else H_all[t + 1]).T.dot(da[k])
            gb[k] = gb[k] + da["f" if k == "o" and "bo from f" in bug else k].sum(0)
        gX[:, t] = sum(da[k].dot(kernels[k].T) for k in names)
        dh = sum(da[k].dot(loops[k] if "U not transposed" in bug else loops[k].T) for k in names)
        dc = dc * (1 if "dc carry without f" in bug else gate["o" if "o for f in the carry" in bug else "f"])
        if "no dh carry" in bug:
            dh = dh * 0
        if "no dc carry" in bug:
            dc = dc * 0

    gradients = {
        "lstm/kernel": np.hstack([gW[k] for k in names]).astype(X.dtype),
        "lstm/recurrent_kernel": np.hstack([gU[k] for k in names]).astype(X.dtype),
        "lstm/bias": np.hstack([gb[k] for k in names]).astype(X.dtype),
        "dense/kernel": gradient_V,
        "dense/bias": gradient_v,
        "x": gX.astype(X.dtype),
    }
    return out, gradients
