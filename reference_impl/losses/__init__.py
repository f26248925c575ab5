"""Losses by Keras name, value and derivative side by side, generic in their arithmetic.

A loss has one value a sample; what is made of the values by reduction, sample weights and masks is one
array of factors (`reduction.factors`). `y_true` comes first everywhere, as in Keras.
"""

from reference_impl.losses.checks import (
    clip_note,
    loss_of_logits,
    loss_problems,
    output_problems,
    sign_problems,
    target_problems,
    weight_shapes,
)
from reference_impl.losses.loss import Loss, spread
from reference_impl.losses.reduction import class_weights
from reference_impl.losses.table import LOSSES, NOT_ARGUMENTS

__all__ = [
    "LOSSES",
    "NOT_ARGUMENTS",
    "Loss",
    "class_weights",
    "clip_note",
    "loss_of_logits",
    "loss_problems",
    "output_problems",
    "sign_problems",
    "spread",
    "target_problems",
    "weight_shapes",
]
