"""The moves of numbers, none of which changes one, and the words for a shape that does not fit."""

from collections.abc import Mapping, Sequence

import numpy as np

from reference_impl import LSTM
from reference_impl.spec import Array, Arrays, BadInput, Shape, kind_of
from tapecheck.problem import Problem


def move(array: Array, source: str, target: str) -> Array:
    """A copy with the axes `source` rearranged to `target`; an axis that only one has is of length 1."""
    kept = [axis for axis in source if axis in target]
    sizes = [size for axis, size in zip(source, array.shape, strict=True) if axis in target]
    turned = array.reshape(sizes).transpose([kept.index(axis) for axis in target if axis in source])
    return np.expand_dims(turned, [k for k, axis in enumerate(target) if axis not in source]).copy()


def only_lstm(problem: Problem) -> LSTM:
    """The model's LSTM. Raises BadInput where it is not the first layer, or one of several."""
    first, *rest = problem.model.layers
    if not isinstance(first, LSTM) or any(isinstance(layer, LSTM) for layer in rest):
        raise BadInput("this model", [f"{problem.model!r} should be one LSTM, then Dense or Flatten layers"])
    return first


def our_blocks(weights: Mapping[str, Array]) -> dict[str, Shape]:
    """Shape (rows, gates, columns) of each of our tensors, and of a bias that the model has not."""
    (D, _), H = weights["lstm/kernel"].shape, len(weights["lstm/recurrent_kernel"])
    blocks: dict[str, Shape] = {
        "lstm/kernel": (D, 4, H),
        "lstm/recurrent_kernel": (H, 4, H),
        "lstm/bias": (1, 4, H),
    }
    if "dense/kernel" in weights:
        rows, K = weights["dense/kernel"].shape
        blocks |= {"dense/kernel": (rows, 1, K), "dense/bias": (1, 1, K)}
    return blocks


def laid_end_to_end(weights: Mapping[str, Array], tensors: Mapping[str, Array]) -> Array:
    """Our tensors as one vector, in the order of our_blocks; zeros for one that is missing."""
    dtype = weights["lstm/kernel"].dtype
    return np.concatenate(
        [
            tensors[name].ravel() if name in tensors else np.zeros(np.prod(shape), dtype)
            for name, shape in our_blocks(weights).items()
        ]
    )


def cut(flat: Array, blocks: Mapping[str, Shape]) -> Arrays:
    """The blocks that were laid end to end."""
    ends = np.cumsum([np.prod(shape) for shape in blocks.values()])[:-1]
    return {name: part.reshape(blocks[name]) for name, part in zip(blocks, np.split(flat, ends), strict=True)}


def farther(a: Array, b: Array, true: Array) -> Array:
    """Elementwise, whichever of `a` and `b` is farther from `true`; NaN is farthest."""
    return np.where(np.isnan(a) | (np.abs(b - true) <= np.abs(a - true)), a, b)


def input_letters(weights: Mapping[str, Array]) -> dict[str, str]:
    """The rows of each of our tensors in dimension letters."""
    blocks = our_blocks(weights)
    flattened = blocks.get("dense/kernel", (0,))[0] != blocks["lstm/recurrent_kernel"][0]
    return {
        "lstm/kernel": "D",
        "lstm/recurrent_kernel": "H",
        "lstm/bias": "1",
        "dense/kernel": "T*H" if flattened else "H",
        "dense/bias": "1",
    }


def misfit(what: str, array: object, shape: Shape, letters: Sequence[str]) -> list[str]:
    """What is wrong with the shape of `what`, as a list of no or one sentence that names the axis."""
    wanted = f"{shape}: ({', '.join(letters)}{',' * (len(letters) == 1)})"
    if not isinstance(array, np.ndarray):
        return [f"{what} is {kind_of(array)}, but should be a NumPy array {wanted}"]
    if array.shape == shape:
        return []
    said = f"{what} has shape {array.shape}, but should be {wanted}"
    if array.shape == shape[::-1]:
        return [f"{said}; it is transposed"]
    if array.ndim == len(shape):
        wrong = [k for k in range(array.ndim) if array.shape[k] != shape[k]]
        said += "".join(f"; axis {k} is {array.shape[k]}, not {letters[k]} = {shape[k]}" for k in wrong)
    return [said]
