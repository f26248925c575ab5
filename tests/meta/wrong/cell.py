"""A cell object a time step, each with its own forward and backward; gradients pile up on the layer."""

import numpy as np

BUGS = {
    "kernel update of the next x": ({"dW_x"}, "off by one in the state"),
    "previous cell of the first step wraps": ({"df"}, "off by one in the state"),
    "stale gates": ({"cache"}, "stale cache"),
    "i' left out": ({"dz_i"}, "gate derivative left out"),
    "o' of sigmoid": ({"dz_o"}, "derivative of an activated value"),
    "di from f": ({"di"}, "copy and paste between gates"),
    "do of the raw cell": ({"do"}, "quantity swapped"),
    "dc without tanh'": ({"dc"}, "gate derivative left out"),
    "Dense bias averaged": ({"db_y"}, "normalisation"),
    "dh clipped": ({"dh", "clipping", "dh_next"}, "clipping inside backward"),
    "candidate by sigmoid": ({"g"}, "a different forward"),
    "no factor two": ({"scale", "dy"}, "normalisation"),
    "gate signs": ({"dz_f", "df"}, "sign"),
    "next c's f": ({"dc_next"}, "off by one in the state"),
    "drop the candidate term of dx": ({"dx"}, "term dropped"),
}


def squash(v):
    """The sigmoid."""
    return 0.5 * (1 + np.tanh(0.5 * v))


def slope(v):
    """The sigmoid's derivative, by its value."""
    return v * (1 - v)


class Cell:
    """One time step of the layer that it belongs to."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x, h, c):
        """New h and c."""
        U, W, b = self.layer.U, self.layer.W, self.layer.b
        H = h.shape[1]
        a = x @ W + h @ U + b
        self.x, self.h_in, self.c_in = x, h, c
        self.i, self.f, self.o = squash(a[:, :H]), squash(a[:, H : 2 * H]), squash(a[:, 3 * H :])
        self.g = (squash if "candidate by sigmoid" in self.layer.bug else np.tanh)(a[:, 2 * H : 3 * H])
        self.c = self.f * c + self.i * self.g
        self.t = np.tanh(self.c)
        self.h = self.o * self.t
        return self.h, self.c

    def backward(self, dh, dc, after):
        """Gradients of x, h and c on the way in; `after` is the cell of the next step."""
        layer, bug = self.layer, self.layer.bug
        me = layer.cells[-1] if "stale gates" in bug else self
        if "dh clipped" in bug:
            dh = np.clip(dh, -0.1, 0.1)
        d_o = dh * (me.c if "do of the raw cell" in bug else me.t)
        dc = dc + dh * me.o * (1 if "dc without tanh'" in bug else 1 - me.t**2)
        d_i = dc * (me.f if "di from f" in bug else me.g)
        c_in = me.c_in
        if "previous cell of the first step wraps" in bug and self is layer.cells[0]:
            c_in = layer.cells[-1].c
        d_f = dc * c_in
        d_g = dc * me.i
        sg = 0.5 * (1 + np.tanh(0.5 * me.o))
        g_slope = me.g * (1 - me.g) if "candidate by sigmoid" in bug else 1 - me.g**2
        da = np.concatenate(
            [
                d_i * (1 if "i' left out" in bug else slope(me.i)),
                d_f * slope(me.f) * (-1 if "gate signs" in bug else 1),
                d_g * g_slope,
                d_o * (slope(sg) if "o' of sigmoid" in bug else slope(me.o)),
            ],
            axis=1,
        )
        x = after.x if "kernel update of the next x" in bug and after else me.x
        layer.dW += np.einsum("bd,bh->dh", x, da)
        layer.dU += np.einsum("bd,bh->dh", me.h_in, da)
        layer.db += np.einsum("bh->h", da)
        into_x = da.copy()
        if "drop the candidate term of dx" in bug:
            H = dh.shape[1]
            into_x[:, 2 * H : 3 * H] = 0
        f = after.f if "next c's f" in bug and after else me.f
        return into_x @ layer.W.T, da @ layer.U.T, dc * f


class Recurrent:
    """The layer: its weights, its cells, its gradients."""

    def __init__(self, W, U, b, bug):
        self.W, self.U, self.b, self.bug = W, U, b, bug
        self.dW, self.dU, self.db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)

    def forward(self, x, h, c):
        """All outputs (B, T, H)."""
        self.cells, outputs = [], []
        for t in range(x.shape[1]):
            self.cells.append(Cell(self))
            h, c = self.cells[-1].forward(x[:, t], h, c)
            outputs.append(h)
        return np.stack(outputs, axis=1)

    def backward(self, dy):
        """Gradients of x, the first h and the first c."""
        dh = dc = np.zeros_like(dy[:, 0])
        dx = []
        after = None
        for t, cell in reversed(list(enumerate(self.cells))):
            into_x, dh, dc = cell.backward(dh + dy[:, t], dc, after)
            dx.insert(0, into_x)
            after = cell
        return np.stack(dx, axis=1), dh, dc


def run(problem, bug=()):
    """Output and gradients, with the bugs planted."""
    w, start = problem.weights, problem.initial_state
    layer = Recurrent(w["lstm/kernel"], w["lstm/recurrent_kernel"], w["lstm/bias"], bug)
    outputs = layer.forward(problem.x, start["lstm/initial_h"], start["lstm/initial_c"])
    top = outputs if problem.model.layers[0].return_sequences else outputs[:, -1]
    y = top @ w["dense/kernel"] + w["dense/bias"]
    dy = problem.y
    if problem.loss == "mean_squared_error":
        dy = (1 if "no factor two" in bug else 2) * (y - problem.y) / problem.y.size
    rows, tops = dy.reshape(-1, dy.shape[-1]), top.reshape(-1, top.shape[-1])
    down = dy @ w["dense/kernel"].T
    if down.ndim == 2:
        down = np.concatenate([np.zeros_like(outputs[:, :-1]), down[:, None]], axis=1)
    dx, dh, dc = layer.backward(down)
    db_y = rows.mean(axis=0) if "Dense bias averaged" in bug else rows.sum(axis=0)
    return y, {
        "x": dx,
        "lstm/kernel": layer.dW,
        "lstm/recurrent_kernel": layer.dU,
        "lstm/bias": layer.db,
        "lstm/initial_h": dh,
        "lstm/initial_c": dc,
        "dense/kernel": tops.T @ rows,
        "dense/bias": db_y,
    }
