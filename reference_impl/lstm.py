"""LSTM: its arguments, shapes and weights. What it computes is `reference_impl/recurrence.py`, fast, and
`reference_impl/textbook/lstm.py`, one equation a line.
"""

from collections.abc import Mapping

import numpy as np

from reference_impl import recurrence
from reference_impl.activations import activation_problems
from reference_impl.initializers import draw, initializer_problems
from reference_impl.penalties import argument_problems
from reference_impl.recurrence import LSTMCache
from reference_impl.spec import (
    NOTHING,
    Array,
    Arrays,
    Layer,
    Named,
    Shape,
    boolean,
    fraction,
    one_of,
    positive_int,
    seed_problems,
    spec,
)

# The column order of Keras's kernels, everywhere in this project. Keras calls g "c".
GATES = ("i", "f", "g", "o")

# Arguments that are True or False.
SWITCHES = (
    *("use_bias", "unit_forget_bias", "return_sequences", "return_state"),
    *("go_backwards", "stateful", "unroll", "zero_output_for_mask"),
)


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

    def value_problems(self) -> list[str]:
        said = positive_int("units", self.units)
        for argument in ("activation", "recurrent_activation"):
            said += activation_problems(argument, getattr(self, argument))
        for argument in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
            said += initializer_problems(argument, getattr(self, argument))
        for argument in SWITCHES:
            said += boolean(argument, getattr(self, argument))
        said += fraction("dropout", self.dropout) + fraction("recurrent_dropout", self.recurrent_dropout)
        if not isinstance(self.use_cudnn, bool) and one_of("use_cudnn", self.use_cudnn, ["auto"]):
            said.append(f"`use_cudnn` = {self.use_cudnn!r}, but should be 'auto', True or False")
        said += seed_problems(self.seed)
        said += argument_problems(self)
        if not isinstance(self.implementation, int) or self.implementation not in (1, 2):
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
        bias = shapes.pop("bias", None)
        weights = {name: draw(rng, self, name, shape) for name, shape in shapes.items()}
        if bias and not self.unit_forget_bias:
            weights["bias"] = draw(rng, self, "bias", bias)
        elif bias:
            H = self.units
            of_i, of_g_and_o = (draw(rng, self, "bias", (n,)) for n in (H, 2 * H))
            weights["bias"] = np.concatenate([of_i, np.ones(H), of_g_and_o])
        return weights

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, LSTMCache]:
        return recurrence.forward(self, weights, x, given)

    def final_state(self, cache: LSTMCache) -> Arrays:
        if not (self.return_state or self.stateful):
            return {}
        return {"final_h": cache.h[-1].T.copy(), "final_c": cache.gated[-1, 2].T.copy()}

    def backward(
        self, weights: Arrays, cache: LSTMCache, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        return recurrence.backward(self, cache, dy, upstream)
