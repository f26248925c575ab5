"""Activation: an activation as a layer of its own."""

from collections.abc import Mapping
from typing import NamedTuple

from reference_impl.activations import activation, activation_problems
from reference_impl.spec import NOTHING, Array, Arrays, Layer, Named, Shape, spec


class ActivationCache(NamedTuple):
    """What the forward pass keeps: input and output, called as in Dense."""

    logits: Array
    y: Array


@spec
class Activation(Layer):
    """`keras.layers.Activation` by hand: y = activation(x), on any shape."""

    activation: str | Named | None

    def value_problems(self) -> list[str]:
        return activation_problems("activation", self.activation)

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, ActivationCache]:
        y = activation(self.activation).value(x)
        return y, ActivationCache(x, y)

    def backward(
        self, weights: Arrays, cache: ActivationCache, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        return {"x": activation(self.activation).backward(dy, *cache)}

    def backward_from_logits(self, weights: Arrays, cache: ActivationCache, dlogits: Array) -> Arrays:
        """As `backward`, for a loss whose gradient is taken with respect to the input."""
        return {"x": dlogits}
