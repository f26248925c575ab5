"""Problem (the arrays of a case) and Result (what an implementation answers)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from reference_impl import Inputs, Named, Sequential, textbook
from reference_impl.spec import Array

if TYPE_CHECKING:
    from tapecheck.case import Case


@dataclass(frozen=True)
class Result:
    """An implementation's answer. All but `gradients` (by tensor name) may be left out.

    `output` (B, K) or (B, T, K); `loss` a number; `trace` by tensor name, (B, T, H) each.
    """

    gradients: Mapping[str, Array]
    output: Array | None = None
    loss: float | None = None
    trace: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem(Inputs):
    """The arrays of a case, all of its dtype; see `reference_impl.Inputs` for each."""

    case: "Case" = field(kw_only=True)

    @property
    def model(self) -> Sequential:
        return self.case.model

    @property
    def loss(self) -> str | Named | None:
        return self.case.loss

    @property
    def dtype(self) -> np.dtype:
        return self.x.dtype

    @property
    def settled(self) -> "Problem":
        """The same pass without the batches before it: what they have left are given states."""
        if not self.before:
            return self
        return replace(self, initial_state=textbook.carried(self.model, self), before=())

    @cached_property
    def reference(self) -> Result:
        """The shipped implementation's answer."""
        with np.errstate(over="ignore", invalid="ignore"):  # `lively` and the verdict say that it overflows
            output, loss, gradients = self.model.run(self, self.loss)
        return Result(gradients, output, loss)

    def copy(self) -> "Problem":
        """The same problem in arrays of its own, for code that may write into them."""
        own = self.map(np.copy)
        return own if self.mask is None else replace(own, mask=self.mask.copy())


Implementation = Callable[[Problem], Result | Mapping[str, Any]]
