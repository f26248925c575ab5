"""Dropout inside an LSTM: what is dropped may differ from gate to gate.

Keras draws one array of factors for all gates or, with `implementation=1` and wherever there is recurrent
dropout, one for each. `factors` here are (G, B, n) with G = 1 or 4. With G = 4 the four gates see four
different copies of a value, so the copies stand side by side, (B, 4n), and the kernel becomes block
diagonal: the equation `z = x_t @ W_x + h_prev @ W_h + b` stays what it is.
"""

import numpy as np

from reference_impl.spec import Array


def spread(value: Array, factors: Array) -> Array:
    """(B, n) or (B, T, n) as the gates see it: (…, G*n), each copy times its factors."""
    return np.concatenate(list(aligned(factors, value) * value), axis=-1)


def gathered(gradient: Array, factors: Array) -> Array:
    """The gradient (…, n) of a value from that of its copies, (…, G*n)."""
    copies = np.stack(np.split(gradient, len(factors), axis=-1))  # (G, …, n)
    return (aligned(factors, copies[0]) * copies).sum(axis=0)


def aligned(factors: Array, value: Array) -> Array:
    """(G, B, n) factors to multiply (B, n) or (B, T, n) by: the same at every time step."""
    return factors if value.ndim == 2 else factors[:, :, None]


def block_diagonal(W: Array, factors: Array) -> Array:
    """The kernel (n, 4H) for G copies side by side, (G*n, 4H): each gate reads its own."""
    if len(factors) == 1:
        return W
    columns = np.split(W, 4, axis=1)  # (n, H) each
    rows = [[W_k if j == k else 0 * W_k for j, W_k in enumerate(columns)] for k in range(4)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def diagonal(dW: Array, factors: Array) -> Array:
    """The gradient (n, 4H) of the kernel from that of `block_diagonal`."""
    if len(factors) == 1:
        return dW
    rows = np.split(dW, 4)  # (n, 4H) each
    return np.concatenate([np.split(row, 4, axis=1)[k] for k, row in enumerate(rows)], axis=1)
