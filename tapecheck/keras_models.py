"""Cases of Keras models, from their `.keras` files or alive, on data that is given or drawn."""

import ast
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reference_impl import Named, Sequential
from reference_impl.checks import DTYPES
from reference_impl.losses import LOSSES
from reference_impl.spec import Array, Arrays, BadInput, Shape, did_you_mean, look_up, one_of, positive_int
from tapecheck.case import COMPILED, Case, Given, too_large
from tf_oracle.configs import Description, described, loss_of
from tf_oracle.keras_file import read, weights_of
from tf_oracle.live import taken_apart

# The loss of a model that was never compiled.
UNCOMPILED = "mean_squared_error"
MAKES_ONE = "np.savez('NAME.npz', x=x, y=y) makes one"


def case_of(
    model: Any,
    *,
    name: str | None = None,
    data: Any = None,
    loss: str | Named | None = COMPILED,
    batch: int | None = None,
    timesteps: int | None = None,
    dtype: str | None = None,
    **options: Any,
) -> Case:
    """A case with the weights of a Keras model: see `Case.from_keras`."""
    path = Path(model) if isinstance(model, str | Path) else None
    subject = str(path) if path else "this model"
    file = read(path) if path else taken_apart(model)
    description = described(file.config, subject)
    if description.features is None:
        raise BadInput(
            subject, ["it was never built, so it has no weights: call it on data before saving it"]
        )
    if loss == COMPILED:
        loss = UNCOMPILED if description.compiled is None else loss_of(description.compiled, subject)
    if said := [] if dtype is None else one_of("dtype", dtype, DTYPES):
        raise BadInput("this dtype", said)

    source = str(data) if isinstance(data, str | Path) else "this data"
    arrays = loaded(data, source)
    shape = input_shape(description, arrays.get("x"), batch, timesteps, source if arrays else subject)
    if said := description.model.problems(shape) or description.model.loss_problems(loss, shape):
        raise BadInput(subject, said)
    weights = weights_of(description.model, shape, file.groups, description.dtype, subject)
    dtype = dtype or description.dtype
    given: dict[str, Any] = {"weights": {tensor: array.astype(dtype) for tensor, array in weights.items()}}
    if arrays:
        given |= inputs(arrays, description.model, shape, loss, dtype, source)
    case = Case(
        name or re.sub(r"[^\w.+-]+", "-", path.stem if path else model.name),
        description.model,
        *shape,
        loss=loss,
        dtype=dtype,
        given=Given(given),
        **options,
    )
    try:
        case.problem()
    except BadInput as problem:  # about arrays: say whose
        raise BadInput(source if arrays else subject, problem.problems) from problem
    return case


def typed_loss(text: str) -> str | Named | None:
    """A loss as a user types it: a name, a name with arguments as in "huber(delta=0.5)", or "upstream" for
    none. Raises BadInput.
    """
    if text == "upstream":
        return None
    if "(" not in text:
        return text
    try:
        call = ast.parse(text, mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args):
            raise ValueError
        arguments = {each.arg or "**": ast.literal_eval(each.value) for each in call.keywords}
        if "**" in arguments:
            raise ValueError
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:  # all of ast's
        raise BadInput("this loss", [f"{text!r} should be a NAME or NAME(argument=value, ...)"]) from error
    return Named(call.func.id, **arguments)


def input_shape(
    description: Description, x: Array | None, batch: int | None, timesteps: int | None, subject: str
) -> tuple[int, int, int]:
    """(B, T, D) as the model, the data and the user have it. Raises BadInput where they disagree."""
    said = []
    for name, asked, saved in (
        ("batch", batch, description.batch),
        ("timesteps", timesteps, description.timesteps),
    ):
        said += [] if asked is None else positive_int(name, asked)
        if None not in (asked, saved) and asked != saved:
            said.append(f"`{name}` = {asked!r}, but should be {saved}, which the model was built for")
    B = description.batch or batch or 0
    T = description.timesteps or timesteps or 0
    D = description.features
    assert D is not None
    if x is None:
        B, T = B or Case.batch, T or Case.timesteps
    elif x.ndim != 3 or x.shape[1:] != (T or x.shape[1], D) or not x.size:
        said.append(f"`x` has shape {x.shape}, but should have (batch, {T or 'timesteps'}, {D})")
    else:
        B, T = B or len(x), x.shape[1]
        if len(x) < B or (batch is None and len(x) > B):
            hint = "" if len(x) < B else f": with a batch of {B}, the first are taken"
            said.append(f"`x` has {len(x)} samples, but should have {B}{hint}")
    if said := said or too_large("an input", (B, T, D)):
        raise BadInput(subject, said)
    return B, T, D


# ---- data


def loaded(data: Mapping[str, Any] | str | Path | None, subject: str) -> Arrays:
    """The arrays of a mapping or of an .npz file, {} for None. Raises BadInput."""
    if data is None:
        return {}
    members = unpacked(Path(data)) if isinstance(data, str | Path) else data
    arrays = {name: np.asarray(value) for name, value in members.items()}
    said = [f"`{name}` is missing" for name in ("x", "y") if name not in arrays]
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not array.ndim:
            said.append(
                f"`{name}` is {array.dtype} of shape {array.shape}, but should be an array of numbers"
            )
    if said:
        raise BadInput(subject, said)
    return arrays


def unpacked(path: Path) -> Arrays:
    """The arrays of an .npz file. Raises BadInput."""
    said = f"it is no .npz archive; {MAKES_ONE}"
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                file.seek(0)
                return dict(np.load(file, allow_pickle=False))
    # All that NumPy raises for what is missing, damaged, or too large.
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".splitlines()[0]
        if "allow_pickle" in why:  # NumPy's advice, which would run what the file holds
            why = "it holds Python objects"
        said = f"it is no .npz file of plain arrays: {why}"
    raise BadInput(str(path), [said])


def inputs(
    arrays: Arrays, model: Sequential, shape: Shape, loss: str | Named | None, dtype: str, subject: str
) -> dict[str, Any]:
    """The data as fields of `Inputs`, of one batch and one dtype. Raises BadInput."""
    states = model.state_shapes(shape)
    known = ["x", "y", "mask", "sample_weight", *states]
    said = [f"it has no use for `{name}`{did_you_mean(name, known)}" for name in arrays if name not in known]
    found: Arrays = {}
    for name, array in arrays.items():
        found[name] = array[: shape[0]]
        if name == "mask":
            continue
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and said below
            found[name] = found[name].astype(dtype)
        if not np.isfinite(found[name]).all():
            where = [int(k) for k in np.argwhere(~np.isfinite(found[name]))[0]]
            said.append(f"`{name}` holds {found[name][tuple(where)]!s} at {where}, but should be finite")
    if said:
        raise BadInput(subject, said)
    initial = {name: found.pop(name, np.zeros(size, dtype)) for name, size in states.items()}
    targets = look_up(LOSSES, loss).targets.shape(model.output_shape(shape))
    return {**found, "y": like(targets, found["y"]), "initial_state": initial}


def like(shape: Shape, y: Array) -> Array:
    """Targets with a last axis of one more, or one less, where that gives the rank: as Keras does it."""
    if y.ndim == len(shape) - 1 and shape[-1] == 1:
        return y[..., None]
    return y[..., 0] if y.ndim == len(shape) + 1 and y.shape[-1] == 1 else y
