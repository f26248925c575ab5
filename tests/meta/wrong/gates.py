"""A matrix and a bias for each gate, a sample at a time, [x, h] concatenated, and dc multiplied out in every
gate, as in many course notes.
"""

import numpy as np

BUGS = {
    "g reads h of this step": ({"dW_h"}, "off by one in the state"),
    "o's bias overwritten": ({"db"}, "overwrite instead of accumulate"),
    "f's bias summed over all": ({"db"}, "summed over units"),
    "f's matrix from i": ({"dW_x", "dW_h"}, "copy and paste between gates"),
    "o's matrix not transposed": ({"dh_next"}, "recurrent kernel not transposed"),
    "brackets lost in g": ({"dz_g"}, "gate derivative left out"),
    "f missing in one term": ({"dc_next"}, "factor dropped"),
    "i for g in one term": ({"di"}, "copy and paste between gates"),
    "c for c_prev in one term": ({"df"}, "off by one in the state"),
    "carry not reset": ({"dh_next", "dc_next"}, "wrong initial value"),
    "loop stops at one": ({"truncation"}, "steps left out"),
    "loop starts late": ({"truncation"}, "steps left out"),
    "loop forwards": ({"dh_next"}, "steps in the wrong order"),
    "c in place": ({"cache"}, "stale cache"),
    "h_0 gets dh_above": ({"dh_next"}, "initial state's gradient"),
    "front of [x, h]": ({"dh_next"}, "layout"),
    "always the last node": ({"dc_next"}, "stale cache"),
    "weight decay": ({"dW_x"}, "term added"),
}


def logistic(v):
    """1 / (1 + exp(-v))."""
    return 1 / (1 + np.exp(-v))


class Gate:
    """One gate's weights and the sums of its gradients."""

    def __init__(self, kernel, recurrent_kernel, bias):
        self.w, self.b = np.vstack([kernel, recurrent_kernel]), bias
        self.dw, self.db = np.zeros_like(self.w), np.zeros_like(self.b)


def run(problem, bugs=()):
    """Output and gradients, with the bugs planted."""
    lstm, w = problem.model.layers[0], problem.weights
    (N, T, D), H = problem.x.shape, lstm.units
    parts = (np.split(w[f"lstm/{name}"], 4, axis=-1) for name in ("kernel", "recurrent_kernel", "bias"))
    gates = dict(zip("ifgo", map(Gate, *parts), strict=True))
    V = w["dense/kernel"]
    dV, dv = np.zeros_like(V), np.zeros_like(w["dense/bias"])
    K = len(dv)
    output = np.zeros((N, T, K) if lstm.return_sequences else (N, K))
    dx = np.zeros_like(problem.x)
    dh0, dc0 = np.zeros((N, H)), np.zeros((N, H))
    carry = np.zeros(H), np.zeros(H)
    for n in range(N):
        tape = forward(problem, gates, n, "c in place" in bugs)
        hs = np.array([step["h"] for step in tape])
        top = hs if lstm.return_sequences else hs[-1]
        output[n] = top @ V + w["dense/bias"]
        dy = problem.y[n] if problem.loss is None else 2 * (output[n] - problem.y[n]) / output.size
        dV += np.outer(top, dy) if top.ndim == 1 else top.T @ dy
        dv += dy if dy.ndim == 1 else dy.sum(axis=0)
        above = np.zeros((T, H))
        above[slice(None) if lstm.return_sequences else -1] = dy @ V.T
        if "carry not reset" not in bugs:
            carry = np.zeros(H), np.zeros(H)
        dx[n], *carry = backward(gates, tape, above, carry, bugs)
        dh0[n], dc0[n] = carry
        if "h_0 gets dh_above" in bugs:
            dh0[n] += above[0]
    if "weight decay" in bugs:
        for gate in gates.values():
            gate.dw[:D] += 0.01 * gate.w[:D]
    dW = np.concatenate([gates[k].dw for k in "ifgo"], axis=1)
    return output, {
        "lstm/kernel": dW[:D],
        "lstm/recurrent_kernel": dW[D:],
        "lstm/bias": np.concatenate([gates[k].db for k in "ifgo"]),
        "dense/kernel": dV,
        "dense/bias": dv,
        "x": dx,
        "lstm/initial_h": dh0,
        "lstm/initial_c": dc0,
    }


def forward(problem, gates, n, in_place):
    """What each step of sample `n` keeps."""
    h, c = (problem.initial_state[f"lstm/initial_{name}"][n].copy() for name in "hc")
    tape = []
    for x in problem.x[n]:
        xh = np.concatenate([x, h])
        act = {k: (np.tanh if k == "g" else logistic)(xh @ gate.w + gate.b) for k, gate in gates.items()}
        c_prev = c
        if in_place:
            c *= act["f"]
            c += act["i"] * act["g"]
        else:
            c = act["f"] * c + act["i"] * act["g"]
        h = act["o"] * np.tanh(c)
        tape.append(act | {"xh": xh, "c_prev": c_prev, "c": c, "h": h})
    return tape


def backward(gates, tape, above, carry, bugs):
    """dx, and dh and dc of the initial state; the gates sum up their own gradients."""
    T, H = above.shape
    D = len(tape[0]["xh"]) - H
    dx = np.zeros((T, D))
    dh_next, dc_next = carry
    order = range(T - 1, 0 if "loop stops at one" in bugs else -1, -1)
    if "loop starts late" in bugs:
        order = order[1:]
    if "loop forwards" in bugs:
        order = range(T)
    for t in order:
        i, f, g, o, xh, c_prev, c, h = (tape[t][k] for k in ("i", "f", "g", "o", "xh", "c_prev", "c", "h"))
        dh = above[t] + dh_next
        through = dh * o * (1 - np.tanh(c) ** 2)
        dz = {
            "i": (dc_next * (i if "i for g in one term" in bugs else g) + through * g) * i * (1 - i),
            "f": (dc_next * (c if "c for c_prev in one term" in bugs else c_prev) + through * c_prev)
            * (f * (1 - f)),
            "g": (dc_next * i + through * i) * (1 - g**2),
            "o": dh * np.tanh(c) * o * (1 - o),
        }
        if "brackets lost in g" in bugs:
            dz["g"] = dc_next * i + through * i * (1 - g**2)
        d_xh = np.zeros(D + H)
        for k, gate in gates.items():
            row = np.concatenate([xh[:D], h]) if k == "g" and "g reads h of this step" in bugs else xh
            gate.dw += np.outer(row, dz["i" if k == "f" and "f's matrix from i" in bugs else k])
            if k == "o" and "o's bias overwritten" in bugs:
                gate.db = dz[k]
            else:
                gate.db = gate.db + (
                    dz[k].sum() if k == "f" and "f's bias summed over all" in bugs else dz[k]
                )
            back = gate.w.copy()
            if k == "o" and "o's matrix not transposed" in bugs:
                back[D:] = back[D:].T
            d_xh += back @ dz[k]
        dx[t], dh_next = d_xh[:D], d_xh[D:]
        if "front of [x, h]" in bugs:
            dh_next = d_xh[:H]
        if "always the last node" not in bugs or t == T - 1:
            dc_next = dc_next * f + through * (1 if "f missing in one term" in bugs else f)
    return dx, dh_next, dc_next
