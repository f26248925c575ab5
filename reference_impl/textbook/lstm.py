"""LSTM, forward and backward through time. docs/derivation.md derives each line.

Dimensions: B batch, T time steps, D input features, H units. A `d` in front of a name is the gradient
of the loss with respect to it. `sigma` is the recurrent activation and `phi` the activation; with
Keras's defaults they are the sigmoid and tanh, for which the comments spell out the derivative.

What stands under an `if` is Keras's extras: time reversed, masks, dropout, final states as outputs.
"""

from collections.abc import Mapping

import numpy as np

from reference_impl.activations import activation
from reference_impl.by_gate import block_diagonal, diagonal, gathered, spread
from reference_impl.lstm import LSTM
from reference_impl.spec import NOTHING, Array, Arrays

# What one step leaves for the backward pass, and what a trace shows of it.
Step = dict[str, Array]


def forward(
    layer: LSTM, weights: Arrays, x: Array, given: Mapping[str, Array]
) -> tuple[Array, list[Step], Arrays]:
    """Output (B, T, H) or (B, H), each step's values, and the final states, from `x` (B, T, D).

    `given` holds the initial states, and where they are used "mask" (B, T) and the factors (G, B, n) of
    "dropout_mask" and "recurrent_dropout_mask".
    """
    sigma = activation(layer.recurrent_activation).value
    phi = activation(layer.activation).value
    W_x, W_h = weights["kernel"], weights["recurrent_kernel"]  # (D, 4H), (H, 4H)
    b = weights.get("bias", 0)  # (4H,)
    h, c = given["initial_h"], given["initial_c"]  # (B, H)

    mask = given.get("mask")
    if "dropout_mask" in given:
        x, W_x = spread(x, given["dropout_mask"]), block_diagonal(W_x, given["dropout_mask"])
    if "recurrent_dropout_mask" in given:
        W_h = block_diagonal(W_h, given["recurrent_dropout_mask"])

    steps: list[Step] = []
    outputs: list[Array] = []
    for t in layer.time(x.shape[1]):
        x_t, h_prev, c_prev = x[:, t], h, c
        if mask is not None:
            h_held = h
        if "recurrent_dropout_mask" in given:
            h_prev = spread(h, given["recurrent_dropout_mask"])

        z = x_t @ W_x + h_prev @ W_h + b  # (B, 4H)
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)  # (B, H) each
        i = sigma(z_i)
        f = sigma(z_f)
        g = phi(z_g)
        o = sigma(z_o)
        c = f * c_prev + i * g
        phi_c = phi(c)
        h = o * phi_c

        steps.append(
            dict(x_t=x_t, h_prev=h_prev, c_prev=c_prev, z_i=z_i, z_f=z_f, z_g=z_g, z_o=z_o)
            | dict(i=i, f=f, g=g, o=o, c=c, phi_c=phi_c, h=h)
        )
        outputs.append(h)
        if mask is not None:  # a masked step repeats the last output, or is zero, and keeps the states
            counts = mask[:, t, None]  # (B, 1)
            repeated = 0 * h if layer.zero_output_for_mask or len(outputs) == 1 else outputs[-2]
            outputs[-1] = np.where(counts, h, repeated)
            h, c = np.where(counts, h, h_held), np.where(counts, c, c_prev)

    output = np.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
    return output, steps, {"final_h": h, "final_c": c}


def backward(
    layer: LSTM,
    weights: Arrays,
    steps: list[Step],
    dy: Array,
    given: Mapping[str, Array] = NOTHING,
    upstream: Mapping[str, Array] = NOTHING,
) -> tuple[Arrays, list[Step]]:
    """Gradients of the weights, of `x` and of the initial states, and each step's gradients.

    `dy` is the gradient of the output: (B, T, H), or (B, H) of the last step alone. `given` is what the
    forward pass had, `upstream` the gradients of the final states, "final_h" and "final_c", if any.
    """
    d_sigma = activation(layer.recurrent_activation).backward
    d_phi = activation(layer.activation).backward
    W_x, W_h = weights["kernel"], weights["recurrent_kernel"]
    T = len(steps)

    if not layer.return_sequences:  # the loss sees the last step alone
        dy = np.stack([0 * dy] * (T - 1) + [dy], axis=1)  # (B, T, H)

    mask = given.get("mask")
    if "dropout_mask" in given:
        W_x = block_diagonal(W_x, given["dropout_mask"])
    if "recurrent_dropout_mask" in given:
        W_h = block_diagonal(W_h, given["recurrent_dropout_mask"])

    dW_x, dW_h, db = 0 * W_x, 0 * W_h, 0 * W_h[0]
    dh_next = 0 * steps[-1]["h"]  # (B, H)
    dc_next = 0 * steps[-1]["c"]  # (B, H)
    if upstream:
        dh_next, dc_next = upstream["final_h"], upstream["final_c"]
    d_repeated = 0 * steps[-1]["h"]  # (B, H)
    d_steps: list[Step] = []
    for t in reversed(range(T)):
        x_t, h_prev, c_prev, z_i, z_f, z_g, z_o, i, f, g, o, c, phi_c, h = steps[t].values()

        dh_above = dy[:, t]
        if mask is not None:  # nothing passes through a masked step; what comes to it goes past it
            counts = mask[:, layer.time(T)[t], None]  # (B, 1)
            dh_above = dh_above + d_repeated
            d_repeated = 0 * dh_above if layer.zero_output_for_mask else np.where(counts, 0 * h, dh_above)
            past_h, past_c = np.where(counts, 0 * h, dh_next), np.where(counts, 0 * c, dc_next)
            dh_above = np.where(counts, dh_above, 0 * h)
            dh_next, dc_next = np.where(counts, dh_next, 0 * h), np.where(counts, dc_next, 0 * c)

        dh = dh_above + dh_next
        do = dh * phi_c
        dc = d_phi(dh * o, c, phi_c) + dc_next  # dh * o * (1 - tanh(c)**2) + dc_next
        di = dc * g
        df = dc * c_prev
        dg = dc * i
        dz_i = d_sigma(di, z_i, i)  # di * i * (1 - i)
        dz_f = d_sigma(df, z_f, f)  # df * f * (1 - f)
        dz_g = d_phi(dg, z_g, g)  # dg * (1 - g**2)
        dz_o = d_sigma(do, z_o, o)  # do * o * (1 - o)
        dz = np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)  # (B, 4H)
        dW_x = dW_x + x_t.T @ dz
        dW_h = dW_h + h_prev.T @ dz
        db = db + dz.sum(axis=0)
        dx_t = dz @ W_x.T
        dh_next = dz @ W_h.T
        dc_next = dc * f

        d_steps.append(dict(dx_t=dx_t, dz_i=dz_i, dz_f=dz_f, dz_g=dz_g, dz_o=dz_o, dc=dc, dh=dh))
        if "recurrent_dropout_mask" in given:
            dh_next = gathered(dh_next, given["recurrent_dropout_mask"])
        if mask is not None:
            dh_next, dc_next = dh_next + past_h, dc_next + past_c

    d_steps.reverse()
    dx = np.stack([d_steps[t]["dx_t"] for t in layer.time(T)], axis=1)
    if "dropout_mask" in given:
        dx, dW_x = gathered(dx, given["dropout_mask"]), diagonal(dW_x, given["dropout_mask"])
    if "recurrent_dropout_mask" in given:
        dW_h = diagonal(dW_h, given["recurrent_dropout_mask"])
    gradients = {
        "kernel": dW_x,
        "recurrent_kernel": dW_h,
        "x": dx,
        "initial_h": dh_next,
        "initial_c": dc_next,
    }
    if layer.use_bias:
        gradients["bias"] = db
    return gradients, d_steps
