"""LSTM, forward and backward through time. docs/derivation.md derives each line.

Dimensions: B batch, T time steps, D input features, H units. A `d` in front of a name is the gradient
of the loss with respect to it. `sigma` is the recurrent activation and `phi` the activation; with
Keras's defaults they are the sigmoid and tanh, for which the comments spell out the derivative.
"""

import numpy as np

from reference_impl.activations import activation
from reference_impl.lstm import LSTM
from reference_impl.spec import Array, Arrays

# What one step leaves for the backward pass, and what a trace shows of it.
Step = dict[str, Array]


def forward(layer: LSTM, weights: Arrays, x: Array, state: Arrays) -> tuple[Array, list[Step]]:
    """Output (B, T, H) or (B, H), and each step's values, from `x` (B, T, D)."""
    sigma = activation(layer.recurrent_activation).value
    phi = activation(layer.activation).value
    W_x, W_h = weights["kernel"], weights["recurrent_kernel"]  # (D, 4H), (H, 4H)
    b = weights.get("bias", 0)  # (4H,)
    h, c = state["initial_h"], state["initial_c"]  # (B, H)

    steps = []
    for t in range(x.shape[1]):
        x_t, h_prev, c_prev = x[:, t], h, c

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

    output = np.stack([step["h"] for step in steps], axis=1) if layer.return_sequences else h
    return output, steps


def backward(layer: LSTM, weights: Arrays, steps: list[Step], dy: Array) -> tuple[Arrays, list[Step]]:
    """Gradients of the weights, of `x` and of the initial states, and each step's gradients.

    `dy` is the gradient of the output: (B, T, H), or (B, H) of the last step alone.
    """
    d_sigma = activation(layer.recurrent_activation).backward
    d_phi = activation(layer.activation).backward
    W_x, W_h = weights["kernel"], weights["recurrent_kernel"]
    T = len(steps)

    if not layer.return_sequences:  # the loss sees the last step alone
        dy = np.stack([0 * dy] * (T - 1) + [dy], axis=1)  # (B, T, H)

    dW_x, dW_h, db = 0 * W_x, 0 * W_h, 0 * W_h[0]
    dh_next = 0 * steps[-1]["h"]  # (B, H)
    dc_next = 0 * steps[-1]["c"]  # (B, H)
    d_steps: list[Step] = []
    for t in reversed(range(T)):
        x_t, h_prev, c_prev, z_i, z_f, z_g, z_o, i, f, g, o, c, phi_c, h = steps[t].values()

        dh_above = dy[:, t]
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

    d_steps.reverse()
    gradients = {
        "kernel": dW_x,
        "recurrent_kernel": dW_h,
        "x": np.stack([step["dx_t"] for step in d_steps], axis=1),
        "initial_h": dh_next,
        "initial_c": dc_next,
    }
    if layer.use_bias:
        gradients["bias"] = db
    return gradients, d_steps
