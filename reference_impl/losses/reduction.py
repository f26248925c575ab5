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
    w = 0 * values.reshape(values.shape or (1,)) + 1
    if mask is not None:
        w = np.where(mask, w, 0 * w)
        if reduction in MEANS:  # a mean over what is not masked, zero where all is
            w = w * mask.size / max(int(mask.sum()), 1)
    if sample_weight is not None:
        w = w * sample_weight
    if reduction in MEANS:
        w = w / w.size
    elif reduction == BY_WEIGHT:
        total = total_weight(values, sample_weight, mask)
        w = 0 * w if total == 0 else w / total
    return w.reshape(values.shape) if values.ndim else w.sum(keepdims=True).reshape(())


def total_weight(values: Array, sample_weight: Array | None, mask: Array | None) -> Any:
    """What "mean_with_sample_weight" divides by: (B, 1) are added up without the steps that they are of."""
    if sample_weight is None:
        return values.size if mask is None else int(mask.sum())
    if values.ndim == 0 and sample_weight.shape == (1,):  # Keras squeezes it, and divides by nothing
        return 1
    return (sample_weight if mask is None else np.where(mask, sample_weight, 0 * sample_weight)).sum()


def class_weights(y: Array, class_weight: Mapping[int, float]) -> Array:
    """Sample weights (B,) as Keras's `fit` makes them: that of the label, which is the largest entry of a row
    (B, K), or the rounded number where there is one a sample. A class that is not named weighs 1.

    Source: keras/src/trainers/data_adapters/data_adapter_utils.py, `class_weight_to_sample_weights`.
    """
    labels = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else np.round(y.reshape(len(y)))
    return np.array([class_weight.get(int(label), 1.0) for label in labels], y.dtype)
