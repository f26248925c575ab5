"""From one value a sample to one loss: reduction, sample weights and masks as one array of factors.

    loss = sum(w * values)        dy = w * d_values

Handwritten code most often leaves `w` out, or has another: Keras's default is 1 / (number of samples),
steps counted. Source: keras/src/losses/loss.py, `apply_mask` and `reduce_weighted_values`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reference_impl.spec import Array

MEANS = ("sum_over_batch_size", "mean")
# Without a reduction Keras returns the values as they are, of which a GradientTape takes the sum.
SUMS = ("sum", "none", None)
FREE = "free"  # of a free upstream gradient, which nothing weighs
BY_WEIGHT = "mean_with_sample_weight"
REDUCTIONS = (*MEANS, *SUMS, BY_WEIGHT)


def factors(
    values: Array, reduction: str | None, sample_weight: Array | None = None, mask: Array | None = None
) -> Array:
    """The factor `w` of each value, of the shape of `values`: (B,), (B, T), or () of a loss that is one
    number for the batch.

    `sample_weight` and `mask`, of booleans, are (B,) or (B, T), or (B, 1) for one weight a sample.
    """
    one = as_array(0 * values + 1)  # an array in any arithmetic, also of one number for the batch
    weight = sample_weight
    if mask is not None:
        counted = np.where(mask, 1 + 0 * one, 0 * one)
        if reduction in MEANS:  # a mean over what is not masked, zero where all is
            counted = counted * mask.size / max(int(mask.sum()), 1)
        weight = counted if sample_weight is None else counted * sample_weight
    if weight is None:
        return one if reduction in SUMS else as_array(one / one.size)

    if one.ndim == 0 and weight.shape == (1,):  # Keras squeezes it, and reduces nothing any more
        return as_array(one * weight[0])
    w = one * weight
    if reduction in MEANS:
        w = w / w.size
    elif reduction == BY_WEIGHT:
        total = weight.sum()
        w = 0 * w if total == 0 else w / total
    return as_array(w.sum() if one.ndim == 0 else w)


def as_array(value: Any) -> Any:
    """The value, as an array of no axes where it is a single number of an arithmetic without arrays."""
    return value if hasattr(value, "ndim") else np.asarray(value)


def class_weights(y: Array, class_weight: Mapping[int, float]) -> Array:
    """Sample weights (B,) as Keras's `fit` makes them: that of the label, which is the largest entry of a row
    (B, K), or the rounded number where there is one a sample. A class that is not named weighs 1.

    Source: keras/src/trainers/data_adapters/data_adapter_utils.py, `class_weight_to_sample_weights`.
    """
    labels = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else np.round(y.reshape(len(y)))
    return np.array([class_weight.get(int(label), 1.0) for label in labels], y.dtype)
