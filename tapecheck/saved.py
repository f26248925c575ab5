"""Problems and answers as files in `.tapecheck`, replayed by `tapecheck replay FILE`.

A plain npz: the arrays, and the case as JSON. Nothing in it is executed when it is read.
"""

import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from reference_impl import LAYERS, Named, Sequential
from reference_impl.spec import Array, BadInput, Layer
from tapecheck.case import Case
from tapecheck.problem import Problem, Result

# Stands between the earlier batches of a stateful model where its states were reset.
RESET = np.empty(0)


def save(problem: Problem, result: Result, implementation: str, path: Path) -> None:
    """Write a problem and the answer to it, whole or not at all. Raises OSError where it cannot.

    A folder that is made for it keeps itself out of the user's repository.
    """
    case = {field.name: getattr(problem.case, field.name) for field in fields(problem.case)}
    case["model"] = list(problem.model.layers)
    arrays: dict[str, Array] = {"x": problem.x, "y": problem.y}
    groups = {
        "weights": problem.weights,
        "initial_state": problem.initial_state,
        "dropout": problem.dropout,
        "upstream": problem.upstream,
        "before": {str(k): RESET if batch is None else batch for k, batch in enumerate(problem.before)},
        "gradients": result.gradients,
        "trace": result.trace,
    }
    for group, members in groups.items():
        arrays |= {f"{group}/{name}": numeric(value) for name, value in members.items()}
    for holder, name in ((problem, "mask"), (problem, "sample_weight"), (result, "output"), (result, "loss")):
        if getattr(holder, name) is not None:
            arrays[name] = numeric(getattr(holder, name))
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        (path.parent / ".gitignore").write_text("*\n")
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        unfinished,
        allow_pickle=False,
        case=json.dumps(case, default=written),
        implementation=implementation,
        **arrays,
    )
    unfinished.replace(path)


def written(value: Layer | Named) -> dict[str, Any]:
    """A layer, or a name with arguments, in JSON."""
    if isinstance(value, Named):
        return {"Named": value.name, "arguments": value.arguments}
    return {"Layer": type(value).__name__, "arguments": value.arguments()}


def read(value: dict[str, Any]) -> Any:
    """What `written` put into JSON; a list within is a tuple again, since no spec holds a list."""
    if "Named" in value:
        return Named(value["Named"], **value["arguments"])
    if "Layer" in value:
        return LAYERS[value["Layer"]](**value["arguments"])
    return {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}


def numeric(value: Any) -> Array:
    """The value as an array that a file can hold; what has no numbers is kept as its text."""
    try:
        array = np.asarray(value)
    except Exception:  # whatever anyone's object raises, such as a tensor that is on a tape: its text is kept
        return np.asarray(repr(value))
    return np.asarray(repr(value)) if array.dtype == object else array


def load(path: Path) -> tuple[Problem, Result, str]:
    """Problem, answer and implementation's name from a file that `save` wrote. Raises BadInput."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        fields = json.loads(str(arrays.pop("case")), object_hook=read)
        by_class = fields.get("class_weight")  # whose numbers JSON has made words of
        by_class = by_class and {int(key): value for key, value in by_class.items()}
        case = Case(**fields | {"model": Sequential(fields["model"]), "class_weight": by_class})
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(str(path), ["there is no such file"]) from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(str(path), [f"it is no file that tapecheck saved ({type(error).__name__})"]) from error

    def group(name: str) -> dict[str, Array]:
        prefix = f"{name}/"
        return {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}

    problem = Problem(
        arrays["x"],
        arrays["y"],
        group("weights"),
        group("initial_state"),
        arrays.get("mask"),
        arrays.get("sample_weight"),
        group("dropout"),
        group("upstream"),
        tuple(batch if batch.size else None for batch in group("before").values()),
        case=case,
    )
    loss: Any = arrays.get("loss")
    if loss is not None and loss.shape == () and loss.dtype.kind in "fiu":
        loss = float(loss)
    result = Result(group("gradients"), arrays.get("output"), loss, group("trace"))
    return problem, result, str(arrays["implementation"])
