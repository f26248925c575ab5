"""`.keras` files: the zip of a config and of HDF5 weights that `model.save` writes, read without Keras.

Nothing in a file is run, no object in it is rebuilt, and no other file is opened through it.
"""

import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reference_impl import Sequential
from reference_impl.checks import misfits
from reference_impl.spec import Array, Arrays, BadInput, Shape, kind_of

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
HDF5 = b"\x89HDF\r\n\x1a\n"
LARGEST = 2**30  # bytes that are unpacked of any one thing; Keras packs nothing
DEEPEST = 4  # groups within each other, of which Keras needs two

# Where a layer's weights lie within its group of the file, when not in the group itself.
WITHIN = {"LSTM": "/cell", "TimeDistributed": "/layer"}
NO_WEIGHTS = ("seed_generator",)  # the state of random numbers

# The variables of a layer, in Keras's order, by the path of their group, such as "lstm_1/cell".
Groups = dict[str, list[Array]]


class KerasFile(NamedTuple):
    """What a file holds."""

    config: Any
    groups: Groups


class Unreadable(ValueError):
    """What a file is, or holds, that keeps it from being read: a sentence without its subject."""


def read(path: Path) -> KerasFile:
    """Config and weights of a `.keras` file. Raises BadInput with what is wrong with it."""
    try:
        if path.is_dir():
            raise Unreadable("is a folder, but should be a file that model.save('NAME.keras') wrote")
        if not path.is_file():
            raise Unreadable("is no file" if path.exists() else "does not exist")
        with path.open("rb") as file:
            if file.read(len(HDF5)) == HDF5:
                raise Unreadable(
                    "is an HDF5 file, but should be a zip: load it in Keras, and save it again by "
                    "model.save('NAME.keras')"
                )
            with zipfile.ZipFile(file) as archive:
                return KerasFile(json.loads(member(archive, CONFIG)), groups(member(archive, WEIGHTS)))
    except Unreadable as problem:
        raise BadInput(str(path), [f"it {problem}"]) from problem
    except DAMAGED as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BadInput(str(path), [f"it is no .keras file, or a damaged one: {said}"]) from error


# What zipfile, json and h5py raise for a file that cannot be opened, is cut off, encrypted or nonsense.
DAMAGED = (
    OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError, RecursionError,
    OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of one member. Raises Unreadable."""
    if name not in archive.namelist():
        raise Unreadable(f"holds no {name}, but should hold {CONFIG} and {WEIGHTS}")
    size = archive.getinfo(name).file_size
    if size > LARGEST:
        raise Unreadable(f"holds {size} bytes of {name}, but should hold at most {LARGEST}")
    return archive.read(name)


def groups(content: bytes) -> Groups:
    """The layers' variables of a weights file. Raises Unreadable, and what h5py raises."""
    import h5py  # here, since nothing else needs it

    def variables(group: Any, path: str, depth: int) -> Iterator[tuple[str, list[Array]]]:
        if depth > DEEPEST:
            raise Unreadable(f"holds groups within groups at {path!r}, as no model does")
        members = {name: inside(group, name, h5py.Group) for name in group}
        own = members.pop("vars", {})
        if len(own):
            yield path, [array(own, number) for number in sorted(own, key=int)]
        for name, inner in members.items():
            if name not in NO_WEIGHTS:
                yield from variables(inner, f"{path}/{name}" if path else name, depth + 1)

    def inside(group: Any, name: str, kind: Any) -> Any:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise Unreadable(f"holds a link to elsewhere: {group.name}/{name}")
        found = group[name]
        if not isinstance(found, kind):
            raise Unreadable(f"holds {kind_of(found)}, but should hold a {kind.__name__}: {found.name}")
        return found

    def array(group: Any, name: str) -> Array:
        data = inside(group, name, h5py.Dataset)
        if data.external or data.is_virtual:
            raise Unreadable(f"holds data of another file: {data.name}")
        if data.nbytes > LARGEST:
            raise Unreadable(f"holds {data.nbytes} bytes of {data.name}, but should hold at most {LARGEST}")
        return np.asarray(data)

    with h5py.File(BytesIO(content), "r") as file:
        return dict(variables(inside(file, "layers", h5py.Group), "", 0)) if "layers" in file else {}


def group_of(kind: str, seen: Counter[str]) -> str:
    """The path of a layer's variables by its class, numbered as Keras numbers layers of a kind."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    number = seen[name]
    seen[name] += 1
    return (f"{name}_{number}" if number else name) + WITHIN.get(kind, "")


def weights_of(
    model: Sequential, input_shape: Shape, groups: Groups, dtype: str, subject: str = "this model"
) -> Arrays:
    """The weights by tensor name. Raises BadInput where they are those of another architecture."""
    seen: Counter[str] = Counter()
    left = dict(groups)
    weights: Arrays = {}
    said = []
    for name, layer, given, _ in model.shapes(input_shape):
        shapes = layer.weight_shapes(given)
        found = left.pop(group_of(type(layer).__name__, seen), [])
        if [array.shape for array in found] != list(shapes.values()):
            said.append(
                f"{name}: weights of shape {listed([array.shape for array in found])}, but {layer!r} on an "
                f"input of {given} has {listed(shapes.values())}"
            )
        weights |= {f"{name}/{tensor}": array for tensor, array in zip(shapes, found, strict=False)}
    said += [f"weights of {path!r}, but the model has no such layer" for path in left]
    if not said:
        said = misfits("weight", weights, model.weight_shapes(input_shape), np.dtype(dtype))
    if said:
        raise BadInput(subject, said)
    return weights


def listed(shapes: Any) -> str:
    """ "(3, 16) and (16,)", or "none"."""
    return " and ".join(map(str, shapes)) or "none"
