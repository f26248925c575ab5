"""Which outputs a loss can follow: each function says what is wrong with one, or None."""

from typing import Any

from reference_impl.arithmetic import EPSILON
from reference_impl.spec import Array, Shape


def classes(output_shape: Shape, **_: Any) -> str | None:
    if output_shape[-1] > 1:
        return None
    return "one output, but needs two or more: of one alone it is constant"


def alpha_a_class(output_shape: Shape, alpha: float | tuple[float, ...], **_: Any) -> str | None:
    if isinstance(alpha, tuple) and len(alpha) != output_shape[-1]:
        return f"{output_shape[-1]} outputs, but `alpha` has {len(alpha)} numbers: give one, or one a class"
    return classes(output_shape)


def axis_of_samples(output_shape: Shape, axis: int | tuple[int, ...] | None, **_: Any) -> str | None:
    """Every axis, the last, or all but the batch."""
    if axis is None:
        return None
    rank = len(output_shape)
    chosen = sorted(k % rank for k in (axis if isinstance(axis, tuple) else (axis,)) if -rank <= k < rank)
    if chosen in ([rank - 1], [*range(1, rank)], [*range(rank)]):
        return None
    return f"output {output_shape}, but `axis` = {axis!r} should be -1, all axes after the batch, or None"


def batch(output_shape: Shape, remove_diagonal: bool, **_: Any) -> str | None:
    if len(output_shape) != 2:
        return f"output {output_shape}, but needs one embedding a sample, (B, K)"
    need = 3 if remove_diagonal else 2
    if output_shape[0] < need:
        return f"a batch of {output_shape[0]}, but needs {need} samples or more to compare them"
    return classes(output_shape)


def labels_in_time(output_shape: Shape, **_: Any) -> str | None:
    if len(output_shape) != 3:
        return f"output {output_shape}, but needs logits for every step, (B, T, K)"
    return classes(output_shape)


def one_a_sample(output_shape: Shape, **_: Any) -> Shape:
    """The shape of the values of a loss that takes all steps of a sample together."""
    return output_shape[:1]


# ---- which outputs Keras clips, so that nothing flows back through them


def none_clipped(y: Array) -> Array:
    return y != y


def improbable(y: Array) -> Array:
    return (y < EPSILON) | (y > 1 - EPSILON)


def improbable_shares(y: Array) -> Array:
    return improbable(y / y.sum(axis=-1, keepdims=True))


def above_one(y: Array) -> Array:
    return (y < EPSILON) | (y > 1)


def below_zero(y: Array) -> Array:
    return y < EPSILON
