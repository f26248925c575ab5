"""Buffers laid out ahead, time first, overwritten in place; weight gradients in one product after the loop.

Held out: the matcher was not tuned on these.
"""

import numpy as np

BUGS = {
    "states not shifted": ({"dW_h"}, "off by one in the state"),
    "states shifted twice": ({"dW_h"}, "off by one in the state"),
    "aliased dh": ({"dh", "dh_next", "dh_above"}, "path counted twice"),
    "forget before add": ({"dc", "dc_next"}, "path counted twice"),
    "c in place of tanh c": ({"dc"}, "quantity swapped"),
    "sigmoid' everywhere": ({"dz_g"}, "wrong activation derivative"),
    "no slopes at all": ({"dz_i", "dz_f", "dz_o"}, "gate derivative left out"),
    "gates permuted": ({"layout"}, "layout"),
    "mean of the bias": ({"db"}, "normalisation"),
    "recurrent kernel by reshape": ({"dh_next"}, "recurrent kernel not transposed"),
    "last dz for db": ({"db"}, "overwrite instead of accumulate"),
    "half": ({"scale", "dy"}, "normalisation"),
    "one over B T": ({"scale", "dy"}, "normalisation"),
    "loss sign": ({"sign", "dy"}, "sign"),
    "first step left out": ({"dW_x", "dW_h", "db"}, "samples left out"),
    "carry halves": ({"dc_next"}, "off by one in the state"),
    "forget gate in the output": ({"h"}, "a different forward"),
}


def run(problem, bug=()):
    """Output and gradients, with the bugs planted."""
    spec = problem.model.layers[0]
    Wx, Wh, b = (problem.weights[f"lstm/{n}"] for n in ("kernel", "recurrent_kernel", "bias"))
    V = problem.weights["dense/kernel"]
    X = problem.x.transpose(1, 0, 2)
    T, B, D = X.shape
    H = spec.units
    act = X @ Wx + b  # (T, B, 4H)
    h = np.empty((T + 1, B, H))
    c = np.empty((T + 1, B, H))
    h[0], c[0] = problem.initial_state["lstm/initial_h"], problem.initial_state["lstm/initial_c"]
    tc = np.empty((T, B, H))
    i, f, g, o = (act[:, :, k * H : (k + 1) * H] for k in range(4))  # views
    for t in range(T):
        act[t] += h[t] @ Wh
        np.tanh(g[t], out=g[t])
        for gate in (i, f, o):
            gate[t] = 1 / (1 + np.exp(-gate[t]))
        c[t + 1] = f[t] * c[t] + i[t] * g[t]
        np.tanh(c[t + 1], out=tc[t])
        h[t + 1] = (f if "forget gate in the output" in bug else o)[t] * tc[t]
    seen = h[1:].transpose(1, 0, 2) if spec.return_sequences else h[T]
    out = seen @ V + problem.weights["dense/bias"]
    delta = problem.y if problem.loss is None else (out - problem.y) * (2 / out.size)
    if "half" in bug:
        delta = delta / 2
    if "one over B T" in bug:
        delta = delta / (B * T)
    if "loss sign" in bug:
        delta = -delta
    flat = delta.reshape(-1, delta.shape[-1])
    above = np.zeros((T, B, H))
    if spec.return_sequences:
        above[:] = (delta @ V.T).transpose(1, 0, 2)
    else:
        above[-1] = delta @ V.T

    dz = np.empty_like(act)
    dh, dc = above[-1].copy(), np.zeros((B, H))
    slopes = act * (1 - act)
    if "sigmoid' everywhere" not in bug:
        slopes[:, :, 2 * H : 3 * H] = 1 - g**2
    if "no slopes at all" in bug:
        for k in (0, 1, 3):
            slopes[:, :, k * H : (k + 1) * H] = 1
    for t in range(T - 1, -1, -1):
        if "aliased dh" in bug and t == T - 2:
            dh = dh + above[t]  # once here and once below
        d_tanh = 1 - (c[t + 1] if "c in place of tanh c" in bug else tc[t]) ** 2
        dc += dh * o[t] * d_tanh
        if "forget gate in the output" in bug:
            dc += dh * (f[t] - o[t]) * d_tanh
        di, df, dg, do = np.split(dz[t], 4, axis=1)
        np.multiply(dc, g[t], out=di)
        np.multiply(dc, c[t], out=df)
        np.multiply(dc, i[t], out=dg)
        np.multiply(dh, tc[t], out=do)
        if "forget gate in the output" in bug:
            df += do
            do[:] = 0
        dz[t] *= slopes[t]
        back = Wh.reshape(4 * H, H) if "recurrent kernel by reshape" in bug else Wh.T
        dh = dz[t] @ back
        if t:
            dh += above[t - 1]
        if "forget before add" in bug:
            dc = dc + dc * f[t]
        elif "carry halves" in bug:
            dc *= f[t - 1]
        else:
            dc *= f[t]

    z = dz.reshape(T * B, 4 * H)
    start = {"states not shifted": h[1:], "states shifted twice": np.concatenate([h[:1], h[:1], h[1:-2]])}
    used = next((start[name] for name in start if name in bug), h[:-1])
    first = 1 if "first step left out" in bug else 0
    dWx = X[first:].reshape(-1, D).T @ dz[first:].reshape(-1, 4 * H)
    dWh = used[first:].reshape(-1, H).T @ dz[first:].reshape(-1, 4 * H)
    db = dz[first:].sum((0, 1))
    if "mean of the bias" in bug:
        db = db / B
    if "last dz for db" in bug:
        db = dz[0].sum(0)
    if "gates permuted" in bug:
        order = np.r_[0:H, H : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]
        dWx, dWh, db = dWx[:, order], dWh[:, order], db[order]
    gradients = {
        "lstm/kernel": dWx,
        "lstm/recurrent_kernel": dWh,
        "lstm/bias": db,
        "x": (z @ Wx.T).reshape(T, B, D).transpose(1, 0, 2),
        "lstm/initial_h": dh,
        "lstm/initial_c": dc,
        "dense/kernel": seen.reshape(-1, H).T @ flat,
        "dense/bias": flat.sum(0),
    }
    return out, gradients
