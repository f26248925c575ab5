"""Column vectors and W @ x, one sample a column, time in a list; gates in a dict."""

import numpy as np

BUGS = {
    "dh carried without the head": ({"dh", "dh_next"}, "recurrence not carried"),
    "h carry from one gate": ({"dh_next"}, "term dropped"),
    "c before in o": ({"do"}, "off by one in the state"),
    "sequence read backwards": ({"x_t", "z"}, "a different forward"),
    "initial state forgotten": ({"df", "cache", "dW_h"}, "initial state ignored"),
    "cell gradient starts at one": ({"dc_next"}, "wrong initial value"),
    "dg with f": ({"dg"}, "copy and paste between gates"),
    "sigmoid' of the candidate in i": ({"dz_i"}, "copy and paste between gates"),
    "dx by the wrong kernel": ({"dx"}, "copy and paste between gates"),
    "head kernel of the last step only": ({"dW_y"}, "overwrite instead of accumulate"),
    "plus in the cell slope": ({"dc"}, "wrong activation derivative"),
    "dense twice": ({"dy", "scale"}, "normalisation"),
    "no bias in the forward": ({"z"}, "a different forward"),
    "missing input gate": ({"c"}, "a different forward"),
    "norm clip": ({"clipping"}, "clipping inside backward"),
}


def run(problem, bug=()):
    """Output and gradients, with the bugs planted."""
    layer = problem.model.layers[0]
    W = {k: part.T for k, part in zip("ifgo", np.split(problem.weights["lstm/kernel"], 4, 1), strict=True)}
    U = {
        k: part.T
        for k, part in zip("ifgo", np.split(problem.weights["lstm/recurrent_kernel"], 4, 1), strict=True)
    }
    b = {k: part[:, None] for k, part in zip("ifgo", np.split(problem.weights["lstm/bias"], 4), strict=True)}
    A, a = problem.weights["dense/kernel"].T, problem.weights["dense/bias"][:, None]
    xs = [problem.x[:, t].T for t in range(problem.x.shape[1])]  # (D, N) each
    if "sequence read backwards" in bug:
        xs = xs[::-1]
    T = len(xs)

    hs = {-1: problem.initial_state["lstm/initial_h"].T}
    cs = {-1: problem.initial_state["lstm/initial_c"].T}
    gates = {}
    for t in range(T):
        z = {k: W[k] @ xs[t] + U[k] @ hs[t - 1] for k in "ifgo"}
        if "no bias in the forward" not in bug:
            z = {k: z[k] + b[k] for k in "ifgo"}
        gates[t] = {k: 1 / (1 + np.exp(-z[k])) for k in "ifo"} | {"g": np.tanh(z["g"])}
        into = gates[t]["g"] if "missing input gate" in bug else gates[t]["g"] * gates[t]["i"]
        cs[t] = gates[t]["f"] * cs[t - 1] + into
        hs[t] = gates[t]["o"] * np.tanh(cs[t])

    seen = range(T) if layer.return_sequences else [T - 1]
    ys = {t: A @ hs[t] + a for t in seen}
    out = np.stack([ys[t].T for t in seen], axis=1)
    if not layer.return_sequences:
        out = out[:, 0]
    dout = problem.y if problem.loss is None else 2 * (out - problem.y) / out.size
    if "dense twice" in bug:
        dout = 2 * dout
    douts = {t: dout[:, t].T if layer.return_sequences else dout.T for t in seen}

    dA, da = np.zeros_like(A), np.zeros_like(a)
    dW, dU, db = ({k: np.zeros_like(m) for k, m in M.items()} for M in (W, U, b))
    dh = np.zeros_like(hs[0])
    dc = np.ones_like(cs[0]) if "cell gradient starts at one" in bug else np.zeros_like(cs[0])
    dx = [None] * T
    for t in range(T - 1, -1, -1):
        p = gates[t]
        if t in douts:
            new = douts[t] @ hs[t].T
            dA = new if "head kernel of the last step only" in bug and t == T - 1 else dA + new
            if "head kernel of the last step only" in bug and t < T - 1:
                dA = dA - new
            da = da + douts[t].sum(1, keepdims=True)
            from_head = A.T @ douts[t]
            # the mistake: what comes from the later steps is overwritten by what the head says
            dh = from_head if "dh carried without the head" in bug else dh + from_head
        c_out = cs[t - 1] if "c before in o" in bug else cs[t]
        do = dh * np.tanh(c_out)
        sign = 1 if "plus in the cell slope" in bug else -1
        dc = dc + dh * p["o"] * (1 + sign * np.tanh(cs[t]) ** 2)
        di, df = dc * p["g"], dc * cs[t - 1]
        if "initial state forgotten" in bug and t == 0:
            df = 0 * df
        dg = dc * (p["f"] if "dg with f" in bug else p["i"])
        if "missing input gate" in bug:
            di, dg = 0 * di, dc
        si = p["g"] * (1 - p["g"]) if "sigmoid' of the candidate in i" in bug else p["i"] * (1 - p["i"])
        dz = {
            "i": di * si,
            "f": df * p["f"] * (1 - p["f"]),
            "g": dg * (1 - p["g"] ** 2),
            "o": do * p["o"] * (1 - p["o"]),
        }
        for k in "ifgo":
            dW[k] += dz[k] @ xs[t].T
            dU[k] += dz[k] @ hs[t - 1].T
            db[k] += dz[k].sum(1, keepdims=True)
        dx[t] = sum((W["i"] if "dx by the wrong kernel" in bug else W[k]).T @ dz[k] for k in "ifgo")
        carry = "o" if "h carry from one gate" in bug else "ifgo"
        dh = sum(U[k].T @ dz[k] for k in carry)
        dc = dc * p["f"]

    gradients = {
        "lstm/kernel": np.vstack([dW[k] for k in "ifgo"]).T,
        "lstm/recurrent_kernel": np.vstack([dU[k] for k in "ifgo"]).T,
        "lstm/bias": np.vstack([db[k] for k in "ifgo"])[:, 0],
        "dense/kernel": dA.T,
        "dense/bias": da[:, 0],
        "x": np.stack([d.T for d in (dx[::-1] if "sequence read backwards" in bug else dx)], axis=1),
    }
    if "norm clip" in bug:
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        gradients = {name: g * min(1, 0.5 / norm) for name, g in gradients.items()}
    if "no bias in the forward" in bug:
        gradients["lstm/bias"] = 0 * gradients["lstm/bias"]
    return out, gradients
