"""RepeatVector: (B, F) to (B, n, F). Each copy is a use of its own, so the gradients of all add up."""

from collections.abc import Mapping

import numpy as np

from reference_impl.spec import NOTHING, Array, Arrays, Layer, Shape, positive_int, spec


@spec
class RepeatVector(Layer):
    """`keras.layers.RepeatVector` by hand: what stands between the two halves of a sequence to sequence."""

    n: int

    def value_problems(self) -> list[str]:
        return positive_int("n", self.n)

    def shape_problems(self, input_shape: Shape) -> list[str]:
        if len(input_shape) == 2:
            return []
        return [
            f"takes an input of shape (batch, features), but is given {input_shape}: an LSTM before it "
            "needs return_sequences=False"
        ]

    def output_shape(self, input_shape: Shape) -> Shape:
        B, F = input_shape
        return B, self.n, F

    def output_mask(self, x: Array, mask: Array | None) -> None:
        return None

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, None]:
        return np.repeat(x[:, None], self.n, axis=1), None

    def backward(
        self, weights: Arrays, cache: None, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        return {"x": dy.sum(axis=1)}
