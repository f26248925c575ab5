"""LSTM, the fast form: one matrix product for all time steps wherever the recurrence allows it.

The same mathematics, one equation a line and one step at a time, is `reference_impl/textbook/lstm.py`.
Inside this file arrays are time-major, (T, B, …), so that every step is one contiguous block.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from reference_impl.activations import ACTIVATIONS, activation
from reference_impl.spec import (
    Array,
    Arrays,
    Layer,
    Shape,
    boolean,
    glorot_uniform,
    one_of,
    orthogonal,
    positive_int,
    spec,
)

# The column order of Keras's kernels, everywhere in this project. Keras calls g "c".
GATES = ("i", "f", "g", "o")
I, F, G, O = range(4)  # noqa: E741  # the gates' names in the derivation


class LSTMCache(NamedTuple):
    """What the forward pass keeps."""

    x: Array  # (T, B, D)
    gates: Array  # (T, B, 4, H), activated
    c: Array  # (T+1, B, H), c[0] the initial state and c[t+1] that after step t
    phi_c: Array  # (T, B, H), the activated cell state
    h: Array  # (T+1, B, H), as c


@spec
class LSTM(Layer):
    """`keras.layers.LSTM` by hand.

    Input (B, T, D), output (B, T, H) with `return_sequences` and else the last step's (B, H), with
    H = `units`. Weights `kernel` (D, 4H), `recurrent_kernel` (H, 4H) and `bias` (4H,), columns in the
    order of GATES; states `initial_h` and `initial_c` (B, H).
    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000;
    keras/src/layers/rnn/lstm.py.
    """

    units: int
    activation: str | None = "tanh"
    recurrent_activation: str | None = "sigmoid"
    use_bias: bool = True
    unit_forget_bias: bool = True
    return_sequences: bool = False

    NOT_YET: ClassVar[Mapping[str, object]] = {
        "kernel_initializer": "glorot_uniform",
        "recurrent_initializer": "orthogonal",
        "bias_initializer": "zeros",
        "kernel_regularizer": None,
        "recurrent_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "recurrent_constraint": None,
        "bias_constraint": None,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
        "seed": None,
        "return_state": False,
        "go_backwards": False,
        "stateful": False,
        "unroll": False,
        "use_cudnn": "auto",
        "implementation": 2,
        "zero_output_for_mask": False,
        "name": None,
        "dtype": None,
        "trainable": True,
    }

    def value_problems(self) -> list[str]:
        said = positive_int("units", self.units)
        for argument in ("activation", "recurrent_activation"):
            if getattr(self, argument) is not None:
                said += one_of(argument, getattr(self, argument), ACTIVATIONS)
        for argument in ("use_bias", "unit_forget_bias", "return_sequences"):
            said += boolean(argument, getattr(self, argument))
        return said

    def shape_problems(self, input_shape: Shape) -> list[str]:
        if len(input_shape) == 3:
            return []
        return [
            f"takes an input of shape (batch, timesteps, features), but is given {input_shape}: "
            "an LSTM before it needs return_sequences=True, and Flatten comes after the last LSTM"
        ]

    def output_shape(self, input_shape: Shape) -> Shape:
        B, T, _ = input_shape
        return (B, T, self.units) if self.return_sequences else (B, self.units)

    def weight_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        D, H = input_shape[-1], self.units
        shapes: dict[str, Shape] = {"kernel": (D, 4 * H), "recurrent_kernel": (H, 4 * H)}
        if self.use_bias:
            shapes["bias"] = (4 * H,)
        return shapes

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("initial_h", "initial_c"), (input_shape[0], self.units))

    def init(self, rng: np.random.Generator, input_shape: Shape) -> Arrays:
        shapes = self.weight_shapes(input_shape)
        weights = {
            "kernel": glorot_uniform(rng, shapes["kernel"]),
            "recurrent_kernel": orthogonal(rng, shapes["recurrent_kernel"]),
        }
        if self.use_bias:
            weights["bias"] = np.zeros(shapes["bias"])
            weights["bias"].reshape(4, self.units)[F] = self.unit_forget_bias
        return weights

    def forward(self, weights: Arrays, x: Array, state: Arrays) -> tuple[Array, LSTMCache]:
        (B, T, D), H = x.shape, self.units
        W_x, W_h = weights["kernel"], weights["recurrent_kernel"]
        sigma, phi = activation(self.recurrent_activation).value, activation(self.activation).value

        # z = x_t @ W_x + h_prev @ W_h + b, its first term for all steps in one product
        x = np.ascontiguousarray(x.swapaxes(0, 1))  # (T, B, D)
        z = (x.reshape(T * B, D) @ W_x).reshape(T, B, 4 * H)
        if self.use_bias:
            z += weights["bias"]

        gates = z.reshape(T, B, 4, H)  # each step's z is overwritten by its activated gates
        c = np.empty((T + 1, B, H), x.dtype)
        h = np.empty_like(c)
        phi_c = np.empty((T, B, H), x.dtype)
        h[0], c[0] = state["initial_h"], state["initial_c"]
        for t in range(T):
            z[t] += h[t] @ W_h
            a = gates[t]
            a[:, :G] = sigma(a[:, :G])
            a[:, G] = phi(a[:, G])
            a[:, O] = sigma(a[:, O])
            # c = f * c_prev + i * g
            np.multiply(a[:, F], c[t], out=c[t + 1])
            c[t + 1] += a[:, I] * a[:, G]
            # h = o * phi(c)
            phi_c[t] = phi(c[t + 1])
            np.multiply(a[:, O], phi_c[t], out=h[t + 1])

        output = h[1:].swapaxes(0, 1) if self.return_sequences else h[T]
        return output, LSTMCache(x, gates, c, phi_c, h)

    def backward(self, weights: Arrays, cache: LSTMCache, dy: Array) -> Arrays:
        x, gates, c, phi_c, h = cache
        T, B, D = x.shape
        H = self.units
        W_x, W_h = weights["kernel"], weights["recurrent_kernel"]
        d_sigma = activation(self.recurrent_activation).backward
        d_phi = activation(self.activation).backward

        W_hT = np.ascontiguousarray(W_h.T)  # transposed once, not at every step
        dz = np.empty_like(gates)  # (T, B, 4, H)
        dh = np.zeros((B, H), x.dtype)
        dc = np.zeros((B, H), x.dtype)
        for t in reversed(range(T)):
            a, da = gates[t], dz[t]
            # dh = dh_above + dh_next, and dh_above is the last step's alone without return_sequences
            if self.return_sequences:
                dh += dy[:, t]
            elif t == T - 1:
                dh += dy
            # dc = dh * o * phi'(c) + dc_next
            dc += d_phi(dh * a[:, O], phi_c[t])
            # di, df, dg, do = dc * g, dc * c_prev, dc * i, dh * phi(c), each through its activation
            np.multiply(dc, a[:, G], out=da[:, I])
            np.multiply(dc, c[t], out=da[:, F])
            np.multiply(dh, phi_c[t], out=da[:, O])
            da[:, :G] = d_sigma(da[:, :G], a[:, :G])
            da[:, O] = d_sigma(da[:, O], a[:, O])
            da[:, G] = d_phi(dc * a[:, I], a[:, G])
            # dh_next = dz @ W_h.T, dc_next = dc * f
            dh = da.reshape(B, 4 * H) @ W_hT
            dc *= a[:, F]

        # dW_x += x_t.T @ dz, dW_h += h_prev.T @ dz, db += dz and dx_t = dz @ W_x.T: one product each
        rows = dz.reshape(T * B, 4 * H)
        gradients = {
            "kernel": x.reshape(T * B, D).T @ rows,
            "recurrent_kernel": h[:T].reshape(T * B, H).T @ rows,
            "x": (rows @ W_x.T).reshape(T, B, D).swapaxes(0, 1),
            "initial_h": dh,
            "initial_c": dc,
        }
        if self.use_bias:
            gradients["bias"] = rows.sum(axis=0)
        return gradients
