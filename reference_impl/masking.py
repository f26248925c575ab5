"""Masking: a time step whose features are all one value is to be skipped by the layers after it."""

from collections.abc import Mapping

import numpy as np

from reference_impl.arguments import NUMBER
from reference_impl.arithmetic import positive
from reference_impl.spec import NOTHING, Array, Arrays, Layer, Shape, spec


@spec
class Masking(Layer):
    """`keras.layers.Masking` by hand.

    Input and output (B, T, D). A step counts where any of its features is not `mask_value`; one that does
    not is set to zero, and its mask goes on. Source: keras/src/layers/core/masking.py.
    """

    mask_value: float = 0.0

    def value_problems(self) -> list[str]:
        if NUMBER.holds(self.mask_value):
            return []
        return [f"`mask_value` = {self.mask_value!r}, but should be {NUMBER.words}"]

    def shape_problems(self, input_shape: Shape) -> list[str]:
        if len(input_shape) == 3:
            return []
        return [f"takes an input of shape (batch, timesteps, features), but is given {input_shape}"]

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def output_mask(self, x: Array, mask: Array | None) -> Array:
        return np.any(positive(x - self.mask_value) | positive(self.mask_value - x), axis=-1)

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, Array]:
        counts = self.output_mask(x, None)[:, :, None]
        return x * counts, counts

    def backward(
        self, weights: Arrays, cache: Array, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        return {"x": dy * cache}
