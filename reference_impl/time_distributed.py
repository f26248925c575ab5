"""TimeDistributed: a layer applied to every time step by itself, with the same weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reference_impl.dense import Dense
from reference_impl.spec import NOTHING, Array, Arrays, Layer, Named, Shape, spec


@spec
class TimeDistributed(Layer):
    """`keras.layers.TimeDistributed` by hand, for a Dense layer.

    Input (B, T, H), output (B, T, K). The equations are those of Dense on a time axis; what differs is that
    Keras's loss no longer sees the logits of the activation inside, and that it never calls an
    `activity_regularizer` inside. Source: keras/src/layers/rnn/time_distributed.py.
    """

    layer: Dense

    def value_problems(self) -> list[str]:
        if not isinstance(self.layer, Dense):
            return [f"`layer` = {self.layer!r}, but should be a Dense layer"]
        said = [f"inside it, {problem}" for problem in self.layer.problems()]
        if getattr(self.layer, "activity_regularizer", None) is not None:
            said.append("`activity_regularizer` inside it is ignored by Keras: give it to a layer outside")
        return said

    def shape_problems(self, input_shape: Shape) -> list[str]:
        if len(input_shape) == 3:
            return []
        return [f"takes an input of shape (batch, timesteps, features), but is given {input_shape}"]

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.output_shape(input_shape)

    def weight_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return self.layer.weight_shapes(input_shape)

    def of_weights(self, kind: str) -> Mapping[str, str | Named]:
        return self.layer.of_weights(kind)

    @property
    def drawn_by_keras(self) -> frozenset[str]:
        return self.layer.drawn_by_keras

    def init(self, rng: np.random.Generator, input_shape: Shape) -> Arrays:
        return self.layer.init(rng, input_shape)

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, Any]:
        return self.layer.forward(weights, x, given)

    def backward(
        self, weights: Arrays, cache: Any, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        return self.layer.backward(weights, cache, dy)
