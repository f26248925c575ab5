"""Dense: y = activation(x @ W_y + b_y), on (B, H) and, one kernel for all steps, on (B, T, H)."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from reference_impl.activations import activation, activation_problems
from reference_impl.initializers import draw, initializer_problems
from reference_impl.penalties import argument_problems
from reference_impl.spec import (
    EVERYWHERE,
    NOTHING,
    Array,
    Arrays,
    Layer,
    Named,
    Refused,
    Shape,
    boolean,
    positive_int,
    spec,
)


class DenseCache(NamedTuple):
    """What the forward pass keeps."""

    rows: Array  # (N, H), those of x in the order in which they lie in memory
    batch_last: bool  # whether that is the order of (T, B, H), and not that of x
    logits: Array  # (..., K)
    y: Array  # (..., K)


@spec
class Dense(Layer):
    """`keras.layers.Dense` by hand.

    Input (..., H), output (..., K) with K = `units`. On the (B, T, H) output of an LSTM with
    `return_sequences=True` the same kernel (H, K) serves every step, so its gradient is the sum of
    the steps' gradients; no Flatten is needed. Source: keras/src/layers/core/dense.py.
    """

    units: int
    activation: str | Named | None = None
    use_bias: bool = True
    kernel_initializer: str | Named = "glorot_uniform"
    bias_initializer: str | Named = "zeros"
    kernel_regularizer: str | Named | None = None
    bias_regularizer: str | Named | None = None
    activity_regularizer: str | Named | None = None
    kernel_constraint: str | Named | None = None
    bias_constraint: str | Named | None = None

    REFUSED: ClassVar[Mapping[str, Refused]] = {
        **EVERYWHERE,
        "lora_rank": Refused(None, "a low-rank adapter freezes the kernel: it is another model"),
        "lora_alpha": Refused(None, "it belongs to lora_rank"),
        "quantization_config": Refused(None, "quantized weights have no gradient"),
    }

    def value_problems(self) -> list[str]:
        return [
            *positive_int("units", self.units),
            *activation_problems("activation", self.activation),
            *boolean("use_bias", self.use_bias),
            *initializer_problems("kernel_initializer", self.kernel_initializer),
            *initializer_problems("bias_initializer", self.bias_initializer),
            *argument_problems(self),
        ]

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def weight_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"kernel": (input_shape[-1], self.units)}
        if self.use_bias:
            shapes["bias"] = (self.units,)
        return shapes

    def init(self, rng: np.random.Generator, input_shape: Shape) -> Arrays:
        shapes = self.weight_shapes(input_shape)
        return {name: draw(rng, self, name, shape) for name, shape in shapes.items()}

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, DenseCache]:
        turned = batch_last(x)
        x_rows = x.transpose(2, 1, 0).reshape(x.shape[-1], -1).T if turned else rows(x)
        logits = x_rows.dot(weights["kernel"])
        if turned:
            B, T, _ = x.shape
            logits = logits.reshape(T, B, -1).swapaxes(0, 1).copy()
        else:
            logits = logits.reshape(self.output_shape(x.shape))
        if self.use_bias:
            logits += weights["bias"]
        y = activation(self.activation).value(logits)
        return y, DenseCache(x_rows, turned, logits, y)

    def backward(
        self, weights: Arrays, cache: DenseCache, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        dlogits = activation(self.activation).backward(dy, cache.logits, cache.y)
        return self.backward_from_logits(weights, cache, dlogits)

    def backward_from_logits(self, weights: Arrays, cache: DenseCache, dlogits: Array) -> Arrays:
        """As `backward`, for a loss whose gradient is taken with respect to the logits."""
        W_y = weights["kernel"]
        d_rows = rows(dlogits.swapaxes(0, 1) if cache.batch_last else dlogits)
        if cache.batch_last:
            dx = (W_y @ dlogits.transpose(1, 2, 0)).transpose(2, 0, 1)
        else:
            dx = d_rows.dot(W_y.T).reshape(*dlogits.shape[:-1], -1)
        gradients = {"x": dx, "kernel": cache.rows.T.dot(d_rows)}
        if self.use_bias:
            gradients["bias"] = d_rows.sum(axis=0)
        return gradients


def rows(array: Array) -> Array:
    """(..., H) as (N, H): one product for every step of every sample."""
    return array.reshape(-1, array.shape[-1])


def batch_last(x: Array) -> bool:
    """Whether (B, T, H) lies in memory as (T, H, B), as what an LSTM returns does. Its gradient is made to
    lie as it does, and what is copied for a product is copied in the order of memory.
    """
    return x.ndim == 3 and x.strides[0] < x.strides[2] < x.strides[1]
