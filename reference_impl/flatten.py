"""Flatten: (B, T, H) to (B, T*H). No value changes, so its gradient is the same move backwards."""

import math
from collections.abc import Mapping
from typing import ClassVar

from reference_impl.spec import EVERYWHERE, NOTHING, Array, Arrays, Layer, Refused, Shape, spec


@spec
class Flatten(Layer):
    """`keras.layers.Flatten` by hand: all axes but the batch become one, in C order."""

    REFUSED: ClassVar[Mapping[str, Refused]] = {
        **EVERYWHERE,
        "data_format": Refused(None, "there is no axis of channels"),
    }

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[0], math.prod(input_shape[1:])

    def output_mask(self, x: Array, mask: Array | None) -> None:
        return None  # its output has no time axis

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, Shape]:
        return x.reshape(self.output_shape(x.shape)), x.shape

    def backward(
        self, weights: Arrays, cache: Shape, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        return {"x": dy.reshape(cache)}
