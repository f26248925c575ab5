"""What an entry of the table of losses is, and what a loss needs to be used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from reference_impl.losses.fits import none_clipped
from reference_impl.losses.reduction import FREE, factors
from reference_impl.losses.targets import REAL, Targets
from reference_impl.spec import Array, Entry, Shape


class Pair(NamedTuple):
    """A loss's `value` and `backward`."""

    value: Callable[..., Array]
    backward: Callable[..., Array]


def per_row(output_shape: Shape, **_: Any) -> Shape:
    return output_shape[:-1]


def any_output(output_shape: Shape, **_: Any) -> None:
    return None


def every_sample(y_true: Array, **_: Any) -> None:
    return None


@dataclass(frozen=True)
class Loss(Entry):
    """A loss by its values, one a sample, and their derivative, not divided by the number of samples.

    `value(y_true, y)` is (B,) or (B, T), or () where a loss is one number for the batch; `backward(y_true,
    y)`, of the shape of `y`, is the derivative of each value. `on_logits` are the same two for
    `from_logits=True`. `fuses` is the activation whose logits Keras takes in place of its output.
    `fits(output_shape)` says why the loss cannot take an output, or None.

    `arguments`, `from_logits` and `reduction` are what `using` has bound.
    """

    value: Callable[..., Array]
    backward: Callable[..., Array]
    targets: Targets = REAL
    on_logits: Pair | None = None
    fuses: str = ""
    fits: Callable[..., str | None] = any_output
    shape: Callable[..., Shape] = per_row  # of the values, for an output of a shape
    counted: Callable[..., Array | None] = every_sample  # which samples count, by their labels
    least: str = ""  # "zero" where a negative output has no value, "more" where zero has no derivative
    clips: Callable[[Array], Array] = none_clipped  # which outputs are clipped, as booleans
    couples: bool = False  # whether a value reads other samples too: then `backward` takes all factors as `w`
    single: bool = False  # whether Keras computes in float32 whatever the dtype is
    arguments: Mapping[str, Any] = field(default_factory=dict)
    from_logits: bool = False
    reduction: str | None = FREE

    def using(self, arguments: Mapping[str, Any]) -> Self:
        given = {**self.defaults, **arguments}
        reduction = given.pop("reduction", self.reduction)
        from_logits = given.pop("from_logits", False)
        pair = self.on_logits if from_logits and self.on_logits else Pair(self.value, self.backward)
        if self.defaults.get("axis") == -1:  # its functions act on the last axis, and take no other
            del given["axis"]
        if given:
            pair = Pair(partial(pair.value, **given), partial(pair.backward, **given))
        bound = replace(self, value=pair.value, backward=pair.backward)
        clips = none_clipped if from_logits else self.clips
        return replace(bound, arguments=given, from_logits=from_logits, reduction=reduction, clips=clips)

    def factors(
        self, y_true: Array, values: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> Array:
        """The factor of each of the `values` in the loss: see `reduction.factors`."""
        if self.reduction == FREE:
            return 0 * values + 1
        counted = self.counted(y_true, **self.arguments)
        if counted is not None:
            mask = counted if mask is None else counted & mask
        return factors(values, self.reduction, sample_weight, mask)

    def derivative(self, w: Array, y: Array) -> tuple[Array | int, Callable[[Array, Array], Array]]:
        """The factors `w` as `y` is multiplied by them, and the derivative, which makes a gradient together.
        Where values read other samples too, the factors are within the derivative, and 1 is left.
        """
        return (1, partial(self.backward, w=w)) if self.couples else (spread(w, y), self.backward)

    def value_and_gradient(
        self, y_true: Array, y: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Any, Array]:
        """The loss, a scalar, and its gradient, of the shape of `y`."""
        values = self.value(y_true, y)
        w = self.factors(y_true, values, sample_weight, mask)
        factor, d_loss = self.derivative(w, y)
        return np.sum(w * values), factor * d_loss(y_true, y)


def spread(w: Array, y: Array) -> Array:
    """Factors (B,), (B, T) or () with as many axes as the `y` that they multiply."""
    return w.reshape(w.shape + (1,) * (y.ndim - w.ndim))
