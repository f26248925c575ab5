"""The LSTM's two passes in NumPy at its full speed, and still one section an equation.

The same mathematics, one equation a line and one step at a time, is `reference_impl/textbook/lstm.py`;
docs/performance.md says what each departure from it bought. Inside this file the batch is the last axis and
time the first, (T, H, B): every step is one block of memory, and so is every gate of it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reference_impl.by_gate import block_diagonal, diagonal, gathered, spread
from reference_impl.inplace import UNREAD, in_place
from reference_impl.memory import empty, keep_what_is_freed
from reference_impl.spec import Array, Arrays

if TYPE_CHECKING:
    from reference_impl.lstm import LSTM

# The order of the gates here is o i f g, so that those of sigma are neighbours. Each of the three lets
# something through, h = o * phi(c) and c = i * g + f * c_prev, and that stands in the same order:
#     gates = [o i f],    gated = [phi(c) g c_prev]
# Weights are put into this order once a pass, and their gradients back once.
OIFG = (3, 0, 1, 2)
IFGO = (1, 2, 3, 0)

# About as many rows of x and h (a row is a step of a sample) are in one product for dW: enough for its full
# speed, few enough for dz of these steps to stay near.
ROWS = 4096
# Numbers of the last axis that are written in one go where an array is copied transposed: a line of memory in
# float32, two in float64.
BAND = 16


class LSTMCache(NamedTuple):
    """What the forward pass keeps, with steps in the order in which they are run."""

    W: Array  # (H+D+1, 4H), the rows of W_h, W_x and b; H+D of them without a bias
    hx: Array  # (T+1, H+D+1, B), [h_prev x_t 1] of each step; the last holds h_T alone
    h: Array  # (T+1, H, B), h[0] the initial state and h[t+1] that after step t
    gates: Array  # (T, 3, H, B), [o i f]
    gated: Array  # (T+1, 3, H, B), [phi(c) g c_prev]; the last holds c_T alone
    skip: Array | None  # (T, 1, B), the masked samples of each step
    dropout_mask: Array | None  # (G, B, D): where there is one, W has G*D rows of W_x
    recurrent_dropout_mask: Array | None  # (4, B, H), and then 4H of W_h
    z_oif: Array | None  # (T, 3, H, B), where the derivative of sigma reads it
    c_z_g: Array | None  # (T, 2, H, B), [c z_g], where that of phi does


def forward(layer: "LSTM", weights: Arrays, x: Array, given: Arrays) -> tuple[Array, LSTMCache]:
    """Output (B, T, H) or (B, H), and what `backward` needs, from `x` (B, T, D)."""
    keep_what_is_freed()  # once in a process
    (B, T, _), H, dtype = x.shape, layer.units, x.dtype
    sigma, phi = in_place(layer.recurrent_activation, dtype), in_place(layer.activation, dtype)
    W_h, W_x = weights["recurrent_kernel"], weights["kernel"]
    mask, of_x, of_h = (given.get(name) for name in ("mask", "dropout_mask", "recurrent_dropout_mask"))
    if layer.go_backwards:
        x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
    if of_x is not None:
        x, W_x = spread(x, of_x), block_diagonal(W_x, of_x)
    if of_h is not None:
        W_h = block_diagonal(W_h, of_h)

    # z = [W_h; W_x; b].T @ [h_prev; x_t; 1], one product a step. x @ W_x of all steps at once is faster
    # as a product, but T*B*4H numbers are written, read again and added: no gain, and more memory.
    W = reordered(np.concatenate([W_h, W_x, *([weights["bias"][None]] if layer.use_bias else [])]), OIFG)
    W_T = empty(W.shape[::-1], dtype)  # (4H, H+D+1)
    copy_turned(W.T, W_T)
    if sigma.of_minus:
        np.negative(W_T[: 3 * H], W_T[: 3 * H])
    sigma_value = sigma.of_minus or sigma.value
    H_rows, x_rows = len(W_h), len(W_h) + len(W_x)
    hx = empty((T + 1, len(W), B), dtype)
    copy_turned(x.transpose(1, 2, 0), hx[:T, H_rows:x_rows])
    hx[:, x_rows:] = 1
    h = hx[:, :H] if of_h is None else np.empty((T + 1, H, B), dtype)
    gates, gated = empty((T, 3, H, B), dtype), empty((T + 1, 3, H, B), dtype)
    c = gated[:, 2]  # (T+1, H, B), as h
    h[0], c[0] = given["initial_h"].T, given["initial_c"].T

    z = np.empty((4 * H, B), dtype)  # one step's
    z_oif, z_g = z[: 3 * H].reshape(3, H, B), z[3 * H :]
    z_oif_kept = np.empty_like(gates) if sigma.reads_z else None
    c_z_g = np.empty((T, 2, H, B), dtype) if phi.reads_z else None
    ig_fc = np.empty((2, H, B), dtype)
    ig, fc = ig_fc
    skip = None if mask is None else ~mask.T[:, None]  # (T, 1, B)
    out = h[1:] if skip is None else np.zeros((T, H, B), dtype)
    steps = zip(range(T), hx, h[1:], c[1:], gates, gated, strict=False)
    with np.errstate(over="ignore"):  # of exp(-z), see inplace.sigmoid; entered once, not at every step
        for t, hx_t, h_t, c_t, oif, phi_c_g_c_prev in steps:
            if of_h is not None:
                hx_t[:H_rows] = spread(h[t].T, of_h).T
            # z = h_prev @ W_h + x_t @ W_x + b
            W_T.dot(hx_t, z)
            # o, i, f = sigma(z_o), sigma(z_i), sigma(z_f); g = phi(z_g)
            sigma_value(z_oif, oif)
            phi.value(z_g, phi_c_g_c_prev[1])
            # c = f * c_prev + i * g
            np.multiply(oif[1:], phi_c_g_c_prev[1:], ig_fc)
            np.add(ig, fc, c_t)
            # h = o * phi(c)
            phi_c = phi_c_g_c_prev[0]
            phi.value(c_t, phi_c)
            np.multiply(oif[0], phi_c, h_t)
            if z_oif_kept is not None:
                z_oif_kept[t] = z_oif
            if c_z_g is not None:
                c_z_g[t] = c_t, z_g
            if skip is not None:  # a masked sample repeats its last output, or is zero, and keeps its state
                repeated = 0 if t == 0 or layer.zero_output_for_mask else out[t - 1]
                out[t] = np.where(skip[t], repeated, h_t)
                np.copyto(h_t, h[t], where=skip[t])
                np.copyto(c_t, c[t], where=skip[t])

    output = out.transpose(2, 0, 1) if layer.return_sequences else out[-1].T.copy()
    return output, LSTMCache(W, hx, h, gates, gated, skip, of_x, of_h, z_oif_kept, c_z_g)


def backward(layer: "LSTM", cache: LSTMCache, dy: Array, upstream: Mapping[str, Array]) -> Arrays:
    """The gradients of the weights, of `x` and of the initial states, from that of the output."""
    W, hx, _, gates, gated, skip, of_x, of_h, z_oif, c_z_g = cache
    (T, _, H, B), dtype = gates.shape, gates.dtype
    sigma, phi = in_place(layer.recurrent_activation, dtype), in_place(layer.activation, dtype)
    H_rows, x_rows = H if of_h is None else 4 * H, len(W) - layer.use_bias
    W_h, W_x = W[:H_rows], W[H_rows:x_rows]

    dh, dc, dc_now = np.zeros((3, H, B), dtype)
    if upstream:
        dh[...], dc[...] = upstream["final_h"].T, upstream["final_c"].T
    if not layer.return_sequences and skip is None:
        dh += dy.T  # of the last step
    d_out = np.zeros((H, B), dtype)  # what masked steps have repeated
    dy = dy.transpose(1, 2, 0) if layer.return_sequences else dy.T

    # What multiplies dh and dc: dz_o = dh * k_o, dz_i = dc * k_i, …, dc = dh * k_c + dc_next.
    k_oif, k_cg = np.empty((3, H, B), dtype), np.empty((2, H, B), dtype)
    (k_o, k_i, k_f), (k_c, k_g) = k_oif, k_cg
    dz = np.empty((4, H, B), dtype)  # one step's
    dz_oif, dz_rows, (dz_o, dz_i, dz_f, dz_g) = dz[:3], dz.reshape(4 * H, B), dz

    steps = -(-T // -(-T * B // ROWS))  # of one part; all parts are as long, but for the last
    dz_steps = empty((4 * H, steps, B), dtype)
    dW = np.zeros(0, dtype)  # until the first part
    dx = empty((len(W_x), T, B), dtype)
    for start in reversed(range(0, T, steps)):
        now = slice(start, min(start + steps, T))
        for t in reversed(range(start, now.stop)):
            oif, phi_c_g_c_prev = gates[t], gated[t]
            # k = [sigma'(o) sigma'(i) sigma'(f)] * [phi(c) g c_prev], [phi'(c) phi'(g)] * [o i]
            sigma.slope(UNREAD if z_oif is None else z_oif[t], oif, k_oif)
            np.multiply(k_oif, phi_c_g_c_prev, k_oif)
            phi.slope(UNREAD if c_z_g is None else c_z_g[t], phi_c_g_c_prev[:2], k_cg)
            np.multiply(k_cg, oif[:2], k_cg)
            # dh = dh_above + dh_next
            if skip is not None:  # nothing passes through a masked sample; what comes to it goes past it
                if layer.return_sequences or t == T - 1:
                    d_out += dy[t] if layer.return_sequences else dy
                past_h, past_c = dh * skip[t], dc * skip[t]
                dh += d_out
                dh *= ~skip[t]
                dc -= past_c
                d_out *= skip[t] & (not layer.zero_output_for_mask)
            elif layer.return_sequences:
                np.add(dh, dy[t], dh)
            # dc = dh * o * phi'(c) + dc_next
            np.multiply(dh, k_c, dc_now)
            if phi.couple:
                dc_now[...] = phi.couple(dc_now, phi_c_g_c_prev[0])
            np.add(dc, dc_now, dc)
            # dz = [dh * phi(c), dc * g, dc * c_prev, dc * i] * [sigma'(o) sigma'(i) sigma'(f) phi'(g)]
            np.multiply(dh, k_o, dz_o)
            np.multiply(dc, k_i, dz_i)  # three calls: one that repeats dc takes longer
            np.multiply(dc, k_f, dz_f)
            np.multiply(dc, k_g, dz_g)
            if sigma.couple:
                dz_oif[...] = sigma.couple(dz_oif, oif)
            if phi.couple:
                dz_g[...] = phi.couple(dz_g, phi_c_g_c_prev[1])
            dz_steps[:, t - start] = dz_rows
            # dh_next = dz @ W_h.T, dc_next = dc * f
            if of_h is None:
                W_h.dot(dz_rows, dh)
            else:
                dh = gathered(W_h.dot(dz_rows).T, of_h).T
            np.multiply(dc, oif[2], dc)
            if skip is not None:
                dh += past_h
                dc += past_c
        # dW_h += h_prev.T @ dz, dW_x += x_t.T @ dz and db += dz, all of them and many steps in one product
        columns = dz_steps[:, : now.stop - start].reshape(4 * H, -1)
        dW_now = hx[now].swapaxes(0, 1).reshape(len(W), -1).dot(columns.T)
        dW = np.add(dW, dW_now, dW) if dW.size else dW_now
        # dx_t = dz @ W_x.T
        dx[:, now] = W_x.dot(columns).reshape(len(W_x), -1, B)

    dW = reordered(dW, IFGO)
    dW_h, dW_x, dx = dW[:H_rows], dW[H_rows:x_rows], dx.T
    if of_x is not None:
        dx, dW_x = gathered(dx, of_x), diagonal(dW_x, of_x)
    if of_h is not None:
        dW_h = diagonal(dW_h, of_h)
    gradients = {
        "kernel": dW_x,
        "recurrent_kernel": dW_h,
        "x": dx[:, ::-1] if layer.go_backwards else dx,
        "initial_h": dh.T,
        "initial_c": dc.T,
    }
    if layer.use_bias:
        gradients["bias"] = dW[x_rows]
    return gradients


def copy_turned(source: Array, target: Array) -> None:
    """Copy a transposed array, a band of the last axis at a time: a line of the target's memory stays in the
    cache until it is full.
    """
    for start in range(0, target.shape[-1], BAND):
        target[..., start : start + BAND] = source[..., start : start + BAND]


def reordered(columns: Array, order: tuple[int, ...]) -> Array:
    """A copy of (N, 4H) with the gates' blocks of columns in another order."""
    return columns.reshape(len(columns), 4, -1).take(order, axis=1).reshape(columns.shape)
