"""One matrix for [1, h, x], its columns in the order f, i, o, g; the bias is row 0."""

import numpy as np

ORDER = (1, 0, 3, 2)  # where f, i, o, g stand in Keras's i, f, g, o

BUGS = {
    "slices swapped on the way back": ({"layout"}, "layout"),
    "bias never permuted back": ({"layout", "db"}, "layout"),
    "recurrent block transposed": ({"dh_next"}, "recurrent kernel not transposed"),
    "mean over the batch": ({"scale", "dW_x", "dW_h", "db"}, "normalisation"),
    "a stray 1/T": ({"scale", "dy"}, "normalisation"),
    "inputs of the last step": ({"cache"}, "stale cache"),
    "h after instead of before": ({"dW_h"}, "off by one in the state"),
    "tanh' of the gate again": ({"dz_g"}, "derivative of an activated value"),
    "g = sigmoid' ": ({"dz_g"}, "wrong activation derivative"),
    "overwrite all": ({"dW_x", "dW_h", "db"}, "overwrite instead of accumulate"),
    "dc carried twice": ({"dc_next", "dc"}, "path counted twice"),
    "truncated to two": ({"truncation"}, "truncation"),
    "clipped by value": ({"clipping"}, "clipping inside backward"),
    "head not transposed": ({"dh_above"}, "factor dropped"),
    "relu slope forgotten": ({"dlogits"}, "gate derivative left out"),
}


def run(problem, bug=()):
    """Output and gradients, with the bugs planted."""
    spec, head = problem.model.layers
    w, H = problem.weights, spec.units
    N, T, D = problem.x.shape
    stacked = np.vstack([w["lstm/bias"][None], w["lstm/recurrent_kernel"], w["lstm/kernel"]])
    M = np.hstack([stacked[:, k * H : (k + 1) * H] for k in ORDER])  # (1 + H + D, 4H)

    a = np.zeros((T, N, 1 + H + D))
    act = np.zeros((T, N, 4 * H))
    cells = np.zeros((T + 1, N, H))
    outs = np.zeros((T + 1, N, H))
    cells[0], outs[0] = problem.initial_state["lstm/initial_c"], problem.initial_state["lstm/initial_h"]
    for t in range(T):
        a[t, :, 0], a[t, :, 1 : 1 + H], a[t, :, 1 + H :] = 1, outs[t], problem.x[:, t]
        raw = a[t] @ M
        act[t, :, : 3 * H] = 1 / (1 + np.exp(-raw[:, : 3 * H]))
        act[t, :, 3 * H :] = np.tanh(raw[:, 3 * H :])
        f, i, o, g = np.hsplit(act[t], 4)
        cells[t + 1] = f * cells[t] + i * g
        outs[t + 1] = o * np.tanh(cells[t + 1])

    top = np.swapaxes(outs[1:], 0, 1) if spec.return_sequences else outs[T]
    logits = top @ w["dense/kernel"] + w["dense/bias"]
    y = np.maximum(logits, 0) if head.activation == "relu" else logits
    dy = problem.y if problem.loss is None else 2 * (y - problem.y) / y.size
    if head.activation == "relu" and "relu slope forgotten" not in bug:
        dy = dy * (logits > 0)
    if "a stray 1/T" in bug:
        dy = dy / T
    K = dy.shape[-1]
    if "head not transposed" in bug:
        down = np.ones(dy.shape[:-1])[..., None] * (dy.sum(-1, keepdims=True) + np.zeros(H))
    else:
        down = np.einsum("...k,hk->...h", dy, w["dense/kernel"])
    out_k, out_b = top.reshape(-1, H).T @ dy.reshape(-1, K), dy.reshape(-1, K).sum(0)

    dM = np.zeros_like(M)
    dX = np.zeros_like(problem.x)
    dh, dc, carry = np.zeros((N, H)), np.zeros((N, H)), 0
    for t in range(T)[::-1]:
        if spec.return_sequences:
            dh = dh + down[:, t]
        elif t == T - 1:
            dh = dh + down
        f, i, o, g = np.hsplit(act[t], 4)
        tc = np.tanh(cells[t + 1])
        dc = dc + o * dh * (1 - tc * tc)
        if "dc carried twice" in bug and t < T - 1:
            dc = dc + carry
        draw = np.hstack([dc * cells[t], dc * g, dh * tc, dc * i])
        draw[:, : 3 * H] *= act[t, :, : 3 * H] * (1 - act[t, :, : 3 * H])
        G = draw[:, 3 * H :]
        if "tanh' of the gate again" in bug:
            G *= 1 - np.tanh(g) ** 2
        elif "g = sigmoid' " in bug:
            G *= g * (1 - g)
        else:
            G *= 1 - g**2
        row = a[t].copy()
        if "inputs of the last step" in bug:
            row = a[T - 1].copy()
        if "h after instead of before" in bug:
            row[:, 1 : 1 + H] = outs[t + 1]
        dM = row.T @ draw + (0 if "overwrite all" in bug else dM)
        back = draw @ M.T
        dX[:, t] = back[:, 1 + H :]
        dh = back[:, 1 : 1 + H]
        if "recurrent block transposed" in bug:
            dh = sum(d @ m for d, m in zip(np.hsplit(draw, 4), np.hsplit(M[1 : 1 + H], 4), strict=True))
        carry = dc = f * dc
        if "truncated to two" in bug and t <= T - 2:
            dh, dc = 0 * dh, 0 * dc

    if "mean over the batch" in bug:
        dM, out_k, out_b = dM / N, out_k / N, out_b / N
    blocks = np.hsplit(dM, 4)
    home = blocks if "slices swapped on the way back" in bug else [blocks[ORDER.index(k)] for k in range(4)]
    back = np.hstack(home)
    gradients = {
        "lstm/bias": dM[0] if "bias never permuted back" in bug else back[0],
        "lstm/recurrent_kernel": back[1 : 1 + H],
        "lstm/kernel": back[1 + H :],
        "dense/kernel": out_k,
        "dense/bias": out_b,
        "x": dX,
    }
    if "clipped by value" in bug:
        gradients = {name: np.clip(gradient, -0.05, 0.05) for name, gradient in gradients.items()}
    return y, gradients
