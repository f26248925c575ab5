"""LSTM, the fast form: NumPy at its full speed, and still one section an equation.

The same mathematics, one equation a line and one step at a time, is `reference_impl/textbook/lstm.py`;
docs/performance.md says what each departure from it bought. Inside this file arrays are time-major,
(T, B, …), so that every step is one block.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from reference_impl.activations import activation_problems
from reference_impl.by_gate import block_diagonal, diagonal, gathered, spread
from reference_impl.initializers import initializer_problems
from reference_impl.inplace import in_place
from reference_impl.penalties import argument_problems
from reference_impl.spec import (
    NOTHING,
    Array,
    Arrays,
    Layer,
    Named,
    Shape,
    boolean,
    fraction,
    glorot_uniform,
    one_of,
    orthogonal,
    positive_int,
    spec,
)

# The column order of Keras's kernels, everywhere in this project. Keras calls g "c".
GATES = ("i", "f", "g", "o")
I, F, G, O = range(4)  # noqa: E741  # the gates' names in the derivation

# The fast form's own order is o i f g: the three gates of sigma are neighbours, and so are the three
# that dc reaches, so that each trio is one call. Weights are put into it once a pass, gradients back once.
OIFG = (O, I, F, G)
IFGO = (1, 2, 3, 0)  # and back
SIGMA, PHI, BY_DC = slice(0, 3), 3, slice(1, 4)  # [o i f], g, [i f g]

# Size of the factors which the backward pass computes ahead of the steps that use them: few calls where
# a step is small, and still in a core's cache where it is large.
AHEAD_BYTES = 2**18

# Arguments that are True or False.
SWITCHES = (
    *("use_bias", "unit_forget_bias", "return_sequences", "return_state"),
    *("go_backwards", "stateful", "unroll", "zero_output_for_mask"),
)


class LSTMCache(NamedTuple):
    """What the forward pass keeps. Gates are in the order of OIFG, steps in that in which they are run."""

    W: Array  # (H+D+1, 4H), the rows of W_h, W_x and b; H+D of them without a bias
    hx: Array  # (T+1, B, H+D+1), [h_prev x_t 1] of each step; the last row holds h_T alone
    h: Array  # (T+1, B, H), as c
    gates: Array  # (T, 4, B, H), activated
    c: Array  # (T+1, B, H), c[0] the initial state and c[t+1] that after step t
    phi_c: Array  # (T, B, H), the activated cell state
    skip: Array | None  # (T, B, 1), the masked rows of each step
    dropout_mask: Array | None  # (G, B, D): where there is one, W has G*D rows of W_x
    recurrent_dropout_mask: Array | None  # (4, B, H), and then 4H of W_h
    z: Array  # as gates, before they were activated; (0, 4, B, H) where no derivative reads it


@spec
class LSTM(Layer):
    """`keras.layers.LSTM` by hand.

    Input (B, T, D), output (B, T, H) with `return_sequences` and else the last step's (B, H), with
    H = `units`. Weights `kernel` (D, 4H), `recurrent_kernel` (H, 4H) and `bias` (4H,), columns in the
    order of GATES; states `initial_h` and `initial_c` (B, H).

    With `return_state` the final states are outputs too; with `stateful` they are where the next batch
    starts. In training `dropout_mask` (G, B, D) and `recurrent_dropout_mask` (4, B, H) are the factors
    of x and h_prev, the same at every step; G is 4, one a gate, with `implementation=1` or recurrent
    dropout, and else 1. `unroll`, `implementation` and `use_cudnn` choose how Keras computes, not what:
    the twin is run on the CPU, without cuDNN. `go_backwards` returns the outputs in the order in which
    they are computed, as Keras does.
    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000;
    keras/src/layers/rnn/lstm.py.
    """

    units: int
    activation: str | Named | None = "tanh"
    recurrent_activation: str | Named | None = "sigmoid"
    use_bias: bool = True
    kernel_initializer: str | Named = "glorot_uniform"
    recurrent_initializer: str | Named = "orthogonal"
    bias_initializer: str | Named = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: str | Named | None = None
    recurrent_regularizer: str | Named | None = None
    bias_regularizer: str | Named | None = None
    activity_regularizer: str | Named | None = None
    kernel_constraint: str | Named | None = None
    recurrent_constraint: str | Named | None = None
    bias_constraint: str | Named | None = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    use_cudnn: bool | str = "auto"
    implementation: int = 2
    zero_output_for_mask: bool = False

    NOT_YET: ClassVar[Mapping[str, object]] = {
        "name": None,
        "dtype": None,
        "trainable": True,
    }

    def value_problems(self) -> list[str]:
        said = positive_int("units", self.units)
        for argument in ("activation", "recurrent_activation"):
            said += activation_problems(argument, getattr(self, argument))
        for argument in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
            said += initializer_problems(argument, getattr(self, argument))
        for argument in SWITCHES:
            said += boolean(argument, getattr(self, argument))
        said += fraction("dropout", self.dropout) + fraction("recurrent_dropout", self.recurrent_dropout)
        if self.use_cudnn not in ("auto", True, False):
            said += one_of("use_cudnn", self.use_cudnn, ["auto", "True", "False"])
        said += argument_problems(self)
        if self.implementation not in (1, 2):
            said.append(f"`implementation` = {self.implementation!r}, but should be 1 or 2")
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

    def dropout_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        (B, _, D), H = input_shape, self.units
        G = 4 if self.implementation == 1 or self.recurrent_dropout else 1
        of_x: dict[str, Shape] = {"dropout_mask": (G, B, D)} if self.dropout else {}
        return of_x | ({"recurrent_dropout_mask": (4, B, H)} if self.recurrent_dropout else {})

    def upstream_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        names = ("final_h", "final_c") if self.return_state else ()
        return dict.fromkeys(names, (input_shape[0], self.units))

    def output_mask(self, x: Array, mask: Array | None) -> Array | None:
        return mask if self.return_sequences else None  # not reversed with go_backwards: Keras does not

    def time(self, T: int) -> range:
        """The time steps in the order in which they are run."""
        return range(T)[::-1] if self.go_backwards else range(T)

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

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, LSTMCache]:
        (B, T, _), H = x.shape, self.units
        sigma, phi = in_place(self.recurrent_activation), in_place(self.activation)
        W_h, W_x = weights["recurrent_kernel"], weights["kernel"]
        mask, of_x, of_h = (given.get(name) for name in ("mask", "dropout_mask", "recurrent_dropout_mask"))
        if self.go_backwards:
            x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
        if of_x is not None:
            x, W_x = spread(x, of_x), block_diagonal(W_x, of_x)
        if of_h is not None:
            W_h = block_diagonal(W_h, of_h)

        # z = [h_prev x_t 1] @ [W_h; W_x; b], one product a step. x @ W_x of all steps at once is faster
        # as a product, but T*B*4H numbers are written, read again and added: no gain, and more memory.
        stack = [W_h, W_x, weights["bias"][None]] if self.use_bias else [W_h, W_x]
        W = reordered(np.concatenate(stack), OIFG)  # (H+D+1, 4H)
        H_rows, x_rows = len(W_h), len(W_h) + len(W_x)
        hx = np.empty((T + 1, B, len(W)), x.dtype)
        hx[:T, :, H_rows:x_rows] = x.swapaxes(0, 1)
        hx[:, :, x_rows:] = 1
        h = hx[:, :, :H] if of_h is None else np.empty((T + 1, B, H), x.dtype)  # (T+1, B, H), as c
        c = np.empty((T + 1, B, H), x.dtype)
        h[0], c[0] = given["initial_h"], given["initial_c"]

        gates = np.empty((T, 4, B, H), x.dtype)  # a gate is a block: half the time of strided rows
        o, i, f, g = gates.swapaxes(0, 1)  # (T, B, H) each
        phi_c = np.empty((T, B, H), x.dtype)
        z = np.empty((B, 4 * H), x.dtype)  # one step's, activated while it is in the cache
        z_gates = z.reshape(B, 4, H).swapaxes(0, 1)  # (4, B, H)
        z_oif, z_g = z_gates[SIGMA], z_gates[PHI]
        reads_z = sigma.reads_z or phi.reads_z
        z_kept = np.empty((T if reads_z else 0, 4, B, H), x.dtype)
        ig = np.empty((B, H), x.dtype)
        skip = None if mask is None else ~mask.T[:, :, None]  # (T, B, 1)
        out = h[1:] if skip is None else np.zeros((T, B, H), x.dtype)
        with np.errstate(over="ignore"):  # of exp(-z), see inplace.sigmoid; entered once, not at every step
            for t in range(T):
                if of_h is not None:
                    hx[t, :, :H_rows] = spread(h[t], of_h)
                # z = h_prev @ W_h + x_t @ W_x + b
                np.matmul(hx[t], W, out=z)
                if reads_z:
                    z_kept[t] = z_gates
                # o, i, f = sigma(z_o), sigma(z_i), sigma(z_f); g = phi(z_g)
                sigma.value(z_oif, gates[t, SIGMA])
                phi.value(z_g, g[t])
                # c = f * c_prev + i * g
                c_t = np.multiply(f[t], c[t], out=c[t + 1])
                c_t += np.multiply(i[t], g[t], out=ig)
                # h = o * phi(c)
                phi.value(c_t, phi_c[t])
                np.multiply(o[t], phi_c[t], out=h[t + 1])
                if skip is not None:  # a masked row repeats the last output, or is zero, and keeps its state
                    repeated = 0 if t == 0 or self.zero_output_for_mask else out[t - 1]
                    out[t] = np.where(skip[t], repeated, h[t + 1])
                    np.copyto(h[t + 1], h[t], where=skip[t])
                    np.copyto(c[t + 1], c[t], where=skip[t])

        output = out.swapaxes(0, 1) if self.return_sequences else out[-1].copy()
        return output, LSTMCache(W, hx, h, gates, c, phi_c, skip, of_x, of_h, z_kept)

    def final_state(self, cache: LSTMCache) -> Arrays:
        return {"final_h": cache.h[-1].copy(), "final_c": cache.c[-1].copy()}

    def backward(
        self, weights: Arrays, cache: LSTMCache, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        W, hx, _, gates, c, phi_c, skip, of_x, of_h, z = cache
        T, _, B, H = gates.shape
        sigma, phi = in_place(self.recurrent_activation), in_place(self.activation)
        o, i, f, g = gates.swapaxes(0, 1)  # (T, B, H) each
        x_rows = len(W) - self.use_bias
        H_rows = H if of_h is None else 4 * H

        W_hT = np.ascontiguousarray(W[:H_rows].T)  # (4H, H), once: dz @ W_h.T on a view is a third slower
        dz = np.empty((T, B, 4 * H), W.dtype)  # of all steps, for the products after the loop
        dz_gates = dz.reshape(T, B, 4, H).swapaxes(1, 2)  # (T, 4, B, H)
        dh, dc, dc_now = np.zeros((3, B, H), W.dtype)
        if upstream:
            dh[...], dc[...] = upstream["final_h"], upstream["final_c"]
        if not self.return_sequences and skip is None:
            dh += dy  # of the last step
        d_out = np.zeros((B, H), W.dtype)  # what masked steps have repeated

        # What multiplies dh and dc depends on neither, so it is computed for some steps at once:
        # dz_o = dh * k_o, dz_i = dc * k_i, dz_f = dc * k_f, dz_g = dc * k_g, dc = dh * k_c + dc_next
        ahead = min(T, 1 + AHEAD_BYTES // (5 * dh.nbytes))
        factors, c_factors = np.empty((ahead, 4, B, H), W.dtype), np.empty((ahead, B, H), W.dtype)
        for start in reversed(range(0, T, ahead)):
            now = slice(start, min(start + ahead, T))
            k, k_c = factors[: now.stop - start], c_factors[: now.stop - start]
            k_o, k_i, k_f, k_g = k.swapaxes(0, 1)
            sigma.slope(z[now, SIGMA], gates[now, SIGMA], k[:, SIGMA])
            phi.slope(z[now, PHI], g[now], k_g)
            phi.slope(c[1:][now], phi_c[now], k_c)
            k_o *= phi_c[now]
            k_i *= g[now]
            k_f *= c[now]  # c_prev
            k_g *= i[now]
            k_c *= o[now]
            for t in reversed(range(start, now.stop)):
                # dh = dh_above + dh_next
                if skip is not None:  # nothing passes through a masked row; what comes to it goes past it
                    if self.return_sequences or t == T - 1:
                        d_out += dy[:, t] if self.return_sequences else dy
                    past_h, past_c = dh * skip[t], dc * skip[t]
                    dh += d_out
                    dh *= ~skip[t]
                    dc -= past_c
                    d_out *= skip[t] & (not self.zero_output_for_mask)
                elif self.return_sequences:
                    dh += dy[:, t]
                # dc = dh * o * phi'(c) + dc_next
                np.multiply(dh, k_c[t - start], out=dc_now)
                if phi.couple:
                    dc_now = phi.couple(dc_now, phi_c[t])
                dc += dc_now
                # dz = [dh * phi(c), dc * g, dc * c_prev, dc * i] * [sigma'(o) sigma'(i) sigma'(f) phi'(g)]
                np.multiply(dh, k_o[t - start], out=dz_gates[t, 0])
                np.multiply(dc, k[t - start, BY_DC], out=dz_gates[t, BY_DC])
                if sigma.couple:
                    dz_gates[t, SIGMA] = sigma.couple(dz_gates[t, SIGMA], gates[t, SIGMA])
                if phi.couple:
                    dz_gates[t, PHI] = phi.couple(dz_gates[t, PHI], g[t])
                # dh_next = dz @ W_h.T, dc_next = dc * f
                if of_h is None:
                    np.matmul(dz[t], W_hT, out=dh)
                else:
                    dh = gathered(dz[t] @ W_hT, of_h)
                dc *= f[t]
                if skip is not None:
                    dh += past_h
                    dc += past_c

        # dW_h += h_prev.T @ dz, dW_x += x_t.T @ dz and db += dz, all of them and all steps in one product
        rows = dz.reshape(T * B, 4 * H)
        dW = reordered(hx[:T].reshape(T * B, -1).T @ rows, IFGO)  # (H+D+1, 4H)
        # dx_t = dz @ W_x.T
        dx = (rows @ W[H_rows:x_rows].T).reshape(T, B, -1).swapaxes(0, 1)
        dW_h, dW_x = dW[:H_rows], dW[H_rows:x_rows]
        if of_x is not None:
            dx, dW_x = gathered(dx, of_x), diagonal(dW_x, of_x)
        if of_h is not None:
            dW_h = diagonal(dW_h, of_h)
        gradients = {
            "kernel": dW_x,
            "recurrent_kernel": dW_h,
            "x": dx[:, ::-1] if self.go_backwards else dx,
            "initial_h": dh,
            "initial_c": dc,
        }
        if self.use_bias:
            gradients["bias"] = dW[x_rows]
        return gradients


def reordered(columns: Array, order: tuple[int, ...]) -> Array:
    """A copy of (N, 4H) with the gates' blocks of columns in another order."""
    return columns.reshape(len(columns), 4, -1).take(order, axis=1).reshape(columns.shape)
