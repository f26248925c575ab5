"""What one pass of a model runs on: one value that every side is given."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from reference_impl.spec import Array, Arrays


@dataclass(frozen=True)
class Inputs:
    """The arrays of one pass, all of one dtype but the mask. What is left out is not used.

    `x` (B, T, D). `y` is the target, of the output's shape or as the loss takes it; without a loss it is
    the gradient of the output itself. `weights` by tensor name, `initial_state` by tensor name (B, H).
    `mask` (B, T) of booleans: only steps that are True count. `sample_weight` (B,) or (B, T).
    `dropout` by tensor name, such as "lstm/dropout_mask": the factors that each value is multiplied by.
    `upstream` by tensor name, such as "lstm/final_h" (B, H): the gradient of a final state that is an
    output of its own. `before` are the batches (B, T, D) that a stateful layer has seen, None where its
    states were reset.
    """

    x: Array
    y: Array
    weights: Arrays
    initial_state: Arrays = field(default_factory=dict)
    mask: Array | None = None
    sample_weight: Array | None = None
    dropout: Arrays = field(default_factory=dict)
    upstream: Arrays = field(default_factory=dict)
    before: tuple[Array | None, ...] = ()

    @property
    def tensors(self) -> Arrays:
        """What the loss is differentiated by, in the order of every report: weights, `x`, initial states."""
        return {**self.weights, "x": self.x, **self.initial_state}

    def with_tensors(self, arrays: Arrays) -> Self:
        """The same with other weights, `x` and initial states, by name; those not named stay."""
        return replace(
            self,
            x=arrays.get("x", self.x),
            weights={name: arrays.get(name, array) for name, array in self.weights.items()},
            initial_state={name: arrays.get(name, array) for name, array in self.initial_state.items()},
        )

    def map(self, convert: Callable[[Array], Array]) -> Self:
        """The same in other numbers: `convert` is applied to every array but the mask."""

        def each(arrays: Arrays) -> Arrays:
            return {name: convert(array) for name, array in arrays.items()}

        return replace(
            self,
            x=convert(self.x),
            y=convert(self.y),
            weights=each(self.weights),
            initial_state=each(self.initial_state),
            sample_weight=None if self.sample_weight is None else convert(self.sample_weight),
            dropout=each(self.dropout),
            upstream=each(self.upstream),
            before=tuple(None if batch is None else convert(batch) for batch in self.before),
        )
