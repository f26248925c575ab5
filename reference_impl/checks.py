"""What is wrong with a model, and with the arrays that it is given: a sentence each, before any pass."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reference_impl import penalties
from reference_impl.inputs import Inputs
from reference_impl.losses import LOSSES, weight_shapes
from reference_impl.spec import Array, Layer, Named, Shape, did_you_mean, kind_of, look_up, with_article

DTYPES = ("float32", "float64")
FLOATS = frozenset(map(np.dtype, DTYPES))


# ---- the model


def model_problems(layers: Sequence[tuple[str, Layer]], input_shape: Shape | None) -> list[str]:
    """Everything wrong with a stack of `layers` by name, and with an input of `input_shape` for it."""
    if not layers:
        return ["the model has no layers: give Sequential a list such as [LSTM(8), Dense(1)]"]
    strangers = [layer for _, layer in layers if not isinstance(layer, Layer)]
    if strangers:
        return [f"{layer!r} is no layer of reference_impl: use LSTM, Dense or Flatten" for layer in strangers]
    said = [
        f"layer {position} ({name}): {problem}"
        for position, (name, layer) in enumerate(layers)
        for problem in layer.problems()
    ]
    said += [
        f"layer {position} ({name}): `return_state` = True, but only the last layer can return its "
        "states: the next would be given three inputs"
        for position, (name, layer) in enumerate(layers[:-1])
        if getattr(layer, "return_state", False) is True
    ]
    if said or input_shape is None:
        return said
    for position, (name, layer) in enumerate(layers):
        found = layer.shape_problems(input_shape) or penalties.shape_problems(layer, input_shape)
        said = [f"layer {position} ({name}): {problem}" for problem in found]
        if said:  # nothing can be said of the layers after it
            return said
        input_shape = layer.output_shape(input_shape)
    return []


# ---- its arrays


def x_problems(x: object) -> list[str]:
    """Why `x` cannot be the input of any model, as a list of no or one sentence."""
    if isinstance(x, np.ndarray) and x.dtype in FLOATS and x.ndim >= 2:
        return []
    found = kind_of(x)
    if isinstance(x, np.ndarray):
        found = f"{with_article(str(x.dtype))} array of shape {x.shape}"
    return [f"`x` is {found}, but should be a float32 or float64 array (B, T, D)"]


def tensor_problems(inputs: Inputs, shapes_of: Callable[[str], Mapping[str, Shape]]) -> list[str]:
    """How weights, states, dropout factors and upstream gradients differ from the model's shapes of such."""
    dtype = inputs.x.dtype
    said = misfits("weight", inputs.weights, shapes_of("weight_shapes"), dtype)
    for kind, arrays, asked in (
        ("initial state", inputs.initial_state, "state_shapes"),
        ("dropout mask", inputs.dropout, "dropout_shapes"),
        ("upstream gradient", inputs.upstream, "upstream_shapes"),
    ):
        if arrays:
            shapes = shapes_of(asked)
            given = {name: shape for name, shape in shapes.items() if name in arrays}
            said += misfits(kind, arrays, given, dtype, known=shapes)
    return said


def target_misfits(inputs: Inputs, loss: str | Named | None, output_shape: Shape) -> list[str]:
    """How `y` and `sample_weight` differ from what the loss takes, a sentence each."""
    dtype, weight = inputs.x.dtype, inputs.sample_weight
    shape = look_up(LOSSES, loss).targets.shape(output_shape)
    said = misfits("target", {"y": inputs.y}, {"y": shape}, dtype)
    if weight is None:
        return said
    if loss is None:
        return [*said, "`sample_weight` needs a loss, but `loss` = None, a free upstream gradient"]
    allowed = weight_shapes(loss, output_shape)
    if np.shape(weight) not in allowed.values():
        kinds = " or ".join(f"{shape}, one weight a {kind}" for kind, shape in allowed.items())
        return [*said, f"`sample_weight` has shape {np.shape(weight)}, but should be {kinds}"]
    name = "sample_weight"
    return said + misfits("array", {name: weight}, {name: np.shape(weight)}, dtype)


def earlier_problems(inputs: Inputs) -> list[str]:
    """How the batches before this one differ from it, a sentence each."""
    if not inputs.before:
        return []
    earlier = {f"before[{k}]": batch for k, batch in enumerate(inputs.before) if batch is not None}
    return misfits("earlier batch", earlier, dict.fromkeys(earlier, inputs.x.shape), inputs.x.dtype)


def mask_problems(mask: Array | None, input_shape: Shape) -> list[str]:
    """Why `mask` cannot be that of an input of `input_shape`, a sentence each."""
    if mask is None:
        return []
    if not isinstance(mask, np.ndarray) or mask.dtype != bool:
        found = mask.dtype if isinstance(mask, np.ndarray) else kind_of(mask)
        return [f"`mask` is {found}, but should be a NumPy array of bool, True for the steps that count"]
    if mask.shape != input_shape[:2]:
        return [f"`mask` has shape {mask.shape}, but should be (batch, timesteps) = {input_shape[:2]}"]
    return []


# ---- any arrays


def misfits(
    kind: str,
    arrays: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    dtype: np.dtype,
    known: Mapping[str, Shape] | None = None,
) -> list[str]:
    """How `arrays` differ from what `shapes` asks for, a sentence each. `known` may be given beyond."""
    known = shapes if known is None else known
    said = [f"no {kind} is named {name!r}{did_you_mean(name, known)}" for name in arrays if name not in known]
    for name, shape in shapes.items():
        array = arrays.get(name)
        if fits(array, shape, dtype):
            continue
        if array is None:
            said.append(f"{kind} {name!r} is missing: it should be a {dtype} array of shape {shape}")
        elif not isinstance(array, np.ndarray):
            said.append(f"{kind} {name!r} is {kind_of(array)}, but should be a NumPy array {shape}")
        elif array.shape != shape:
            said.append(f"{kind} {name!r} has shape {array.shape}, but should be {shape}")
        elif array.dtype != dtype:
            said.append(f"{kind} {name!r} is {array.dtype}, but should be {dtype}, as `x` is")
        elif not np.isfinite(array).all():
            where = [int(k) for k in np.argwhere(~np.isfinite(array))[0]]
            said.append(f"{kind} {name!r} holds {array[tuple(where)]!s} at {where}, but should be finite")
    return said


def fits(array: Array | None, shape: Shape, dtype: np.dtype) -> bool:
    """Whether it is a finite array of that shape and dtype; False where a closer look is needed."""
    if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
        return False
    entries = array.ravel("K")  # in the order of memory, without a copy
    return bool(np.vdot(entries, entries) < np.inf)  # NaN and inf are not; a third of the time of isfinite
