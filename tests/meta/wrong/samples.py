"""One sample at a time, vectors only, outer products; sums over the samples at the end.

Held out: the matcher was not tuned on these.
"""

import numpy as np

BUGS = {
    "mean over the samples": ({"scale", "dy"}, "normalisation"),
    "weights averaged": ({"scale", "dW_x", "dW_h", "db"}, "normalisation"),
    "last sample only": ({"dW_x", "dW_h", "db"}, "samples left out"),
    "no carry of h": ({"dh_next", "dh"}, "recurrence not carried"),
    "no carry of c": ({"dc_next", "dc"}, "cell carry missing"),
    "recurrent not transposed": ({"dh_next"}, "recurrent kernel not transposed"),
    "o takes c": ({"do"}, "quantity swapped"),
    "f takes i's slope": ({"dz_f"}, "copy and paste between gates"),
    "f takes g": ({"df"}, "quantity swapped"),
    "i takes f": ({"di"}, "copy and paste between gates"),
    "one minus g": ({"dz_g"}, "wrong activation derivative"),
    "cell slope of the gate": ({"dc"}, "quantity swapped"),
    "g's bias from i": ({"db"}, "copy and paste between gates"),
    "U of g from i": ({"dW_h"}, "copy and paste between gates"),
    "x of the first step": ({"dW_x"}, "x of the last step for all steps"),
    "tanh of tanh in dc": ({"dc"}, "derivative of an activated value"),
    "carry f of the step before": ({"dc_next"}, "off by one in the state"),
    "dx without the last gate": ({"dx"}, "term dropped"),
    "head bias by the last step": ({"db_y"}, "overwrite instead of accumulate"),
    "upstream shifted": ({"dh_above"}, "off by one in the state"),
    "c carries o's path twice": ({"dc"}, "path counted twice"),
    "no forget gate": ({"c"}, "a different forward"),
}


def split(a):
    """The four gates' columns by letter."""
    return dict(zip("ifgo", np.split(a, 4, axis=-1), strict=True))


def logistic(v):
    """1 / (1 + exp(-v))."""
    return 1 / (1 + np.exp(-v))


def one(problem, k, bug):
    """Output and gradients of sample `k`."""
    model, w = problem.model, problem.weights
    H = model.layers[0].units
    sequence = model.layers[0].return_sequences
    P, R, b = split(w["lstm/kernel"]), split(w["lstm/recurrent_kernel"]), split(w["lstm/bias"])
    V, v = w["dense/kernel"], w["dense/bias"]
    x = problem.x[k]
    T = len(x)
    h, c = problem.initial_state["lstm/initial_h"][k], problem.initial_state["lstm/initial_c"][k]
    tape = []
    for t in range(T):
        gate = {n: (np.tanh if n == "g" else logistic)(x[t] @ P[n] + h @ R[n] + b[n]) for n in "ifgo"}
        new = gate["i"] * gate["g"] + (c if "no forget gate" in bug else gate["f"] * c)
        tape.append((gate, h, c, new))
        c = new
        h = gate["o"] * np.tanh(c)
    hs = np.stack([step[0]["o"] * np.tanh(step[3]) for step in tape])
    y = hs @ V + v if sequence else h @ V + v
    dy = problem.y[k] if problem.loss is None else 2 * (y - problem.y[k]) / problem.y.size
    if "mean over the samples" in bug:
        dy = dy / len(problem.x)
    if not sequence:
        dy = np.concatenate([np.zeros((T - 1, len(v))), dy[None]])
    g = {name: np.zeros_like(a) for name, a in w.items()}
    gP, gR, gb = split(g["lstm/kernel"]), split(g["lstm/recurrent_kernel"]), split(g["lstm/bias"])
    gx = np.zeros_like(x)
    dh, dc = np.zeros(H), np.zeros(H)
    for t in reversed(range(T)):
        gate, h_in, c_in, c = tape[t]
        tc = np.tanh(c)
        g["dense/kernel"] += np.outer(hs[t], dy[t])
        if "head bias by the last step" in bug:
            if t == T - 1:
                g["dense/bias"] += dy[t]
        else:
            g["dense/bias"] += dy[t]
        above = V @ dy[min(t + 1, T - 1) if "upstream shifted" in bug else t]
        dh = dh + above
        slope = gate["g"] if "cell slope of the gate" in bug else tc
        if "tanh of tanh in dc" in bug:
            slope = np.tanh(tc)
        into = dh * gate["o"] * (1 - slope**2)
        dc = dc + into + (into if "c carries o's path twice" in bug else 0)
        do = dh * (c if "o takes c" in bug else tc)
        df = dc * (gate["g"] if "f takes g" in bug else c_in)
        di = dc * (gate["f"] if "i takes f" in bug else gate["g"])
        dg = dc * gate["i"]
        if "no forget gate" in bug:
            df = 0 * df
        of = gate["i"] if "f takes i's slope" in bug else gate["f"]
        d = {
            "i": di * gate["i"] * (1 - gate["i"]),
            "f": df * of * (1 - of),
            "g": dg * (1 - (gate["g"] if "one minus g" in bug else gate["g"] ** 2)),
            "o": do * gate["o"] * (1 - gate["o"]),
        }
        for n in "ifgo":
            gP[n] += np.outer(x[0 if "x of the first step" in bug else t], d[n])
            gR[n] += np.outer(h_in, d["i" if "U of g from i" in bug and n == "g" else n])
            gb[n] += d["i" if "g's bias from i" in bug and n == "g" else n]
            if not ("dx without the last gate" in bug and n == "o"):
                gx[t] += P[n] @ d[n]
        dh = sum((d[n] @ R[n] if "recurrent not transposed" in bug else R[n] @ d[n]) for n in "ifgo")
        if "no carry of h" in bug:
            dh = np.zeros(H)
        dc = dc * (tape[max(t - 1, 0)][0] if "carry f of the step before" in bug else gate)["f"]
        if "no forget gate" in bug:
            dc = dc / gate["f"]
        if "no carry of c" in bug:
            dc = np.zeros(H)
    return y, g | {"x": gx, "lstm/initial_h": dh, "lstm/initial_c": dc}


def run(problem, bug=()):
    """Output and gradients, with the bugs planted."""
    N = len(problem.x)
    outs, found = zip(*(one(problem, k, bug) for k in range(N)), strict=True)
    apart = ("x", "lstm/initial_h", "lstm/initial_c")
    total = {
        name: np.stack([g[name] for g in found]) if name in apart else sum(g[name] for g in found)
        for name in found[0]
    }
    if "last sample only" in bug:
        total |= {name: found[-1][name] for name in total if name.startswith("lstm/") and name not in apart}
    if "weights averaged" in bug:
        total |= {name: total[name] / N for name in total if name not in apart}
    return np.stack(outs), total
