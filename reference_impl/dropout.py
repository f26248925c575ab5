"""Dropout: in training every value times a factor that was drawn for it, 0 or 1/(1 - rate)."""

from collections.abc import Mapping

from reference_impl.spec import NOTHING, Array, Arrays, Layer, Shape, fraction, seed_problems, spec


@spec
class Dropout(Layer):
    """`keras.layers.Dropout` by hand.

    In training `given` holds "dropout_mask", the factors of x's shape; without them nothing is dropped.
    With `noise_shape` the factors are the same along an axis. Source: Srivastava et al. 2014;
    keras/src/layers/regularization/dropout.py.
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None

    def value_problems(self) -> list[str]:
        return fraction("rate", self.rate) + seed_problems(self.seed)

    def shape_problems(self, input_shape: Shape) -> list[str]:
        if self.noise_shape is None or fits_noise(self.noise_shape, input_shape):
            return []
        return [
            f"`noise_shape` = {self.noise_shape!r}, but should be a tuple of 1, None or the input's own size "
            f"at each of the axes of {input_shape}"
        ]

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def dropout_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"dropout_mask": input_shape} if self.rate else {}

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, Array | None]:
        factors = given.get("dropout_mask")
        return (x if factors is None else x * factors), factors

    def backward(
        self, weights: Arrays, cache: Array | None, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        return {"x": dy if cache is None else dy * cache}


def fits_noise(noise_shape: object, input_shape: Shape) -> bool:
    """Whether factors of `noise_shape` can be drawn for an input of `input_shape`."""
    if not isinstance(noise_shape, tuple):
        return False
    pairs = zip(noise_shape, input_shape, strict=False)
    return len(noise_shape) == len(input_shape) and all(size in (None, 1, axis) for size, axis in pairs)
