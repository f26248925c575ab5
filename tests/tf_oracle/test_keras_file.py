"""`.keras` files: what is wrong with one is said in a sentence, and nothing but the file is ever opened."""

import contextlib
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl import LSTM, BadInput, Dense, Sequential
from tf_oracle import keras_file
from tf_oracle.keras_file import CONFIG, WEIGHTS, read, weights_of

FIXTURE = Path(__file__).parent.parent / "fixtures" / "keras-3.6.0.keras"
MODEL = Sequential(
    [
        LSTM(4, return_sequences=True),
        LSTM(2, use_bias=False, recurrent_activation="tanh", activation=None),
        Dense(3, activation="softmax"),
    ]
)


def zipped(path, members):
    """A zip with these members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def members():
    """The members of the fixture."""
    with zipfile.ZipFile(FIXTURE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def hdf5(write):
    """The bytes of an HDF5 file that `write(file)` filled."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        write(file)
    return content.getvalue()


def test_weights_are_read_by_their_place_in_the_model():
    """Every weight has its tensor name and its dtype; the gates' columns are Keras's."""
    weights = weights_of(MODEL, (2, 5, 3), read(FIXTURE).groups, "float32")
    assert {name: array.shape for name, array in weights.items()} == MODEL.weight_shapes((2, 5, 3))
    assert {array.dtype for array in weights.values()} == {np.dtype("float32")}
    forget = weights["lstm/bias"].reshape(4, 4)[1]
    assert (forget == 1).all()  # as Keras starts it, and the others 0
    assert weights["lstm/bias"].sum() == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no .keras file, or a damaged one: BadZipFile: File is not a zip file"),
        (b"not a zip", "BadZipFile"),
        (FIXTURE.read_bytes()[:-100], "BadZipFile"),
        (FIXTURE.read_bytes()[:1000], "BadZipFile"),
        (FIXTURE.read_bytes()[500:], "it is no .keras file, or a damaged one"),
        (keras_file.HDF5 + b"legacy", "it is an HDF5 file, but should be a zip"),
    ],
)
def test_what_is_no_keras_file(tmp_path, content, said):
    """Files that are empty, cut off, foreign or of the legacy format are refused in one sentence."""
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        read(path)
    assert said in raised.value.problems[0]


def test_what_is_no_file(tmp_path):
    """A folder and a missing file are said to be that."""
    for path, said in ((tmp_path, "it is a folder"), (tmp_path / "none.keras", "it does not exist")):
        with pytest.raises(BadInput, match=said):
            read(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({CONFIG: None}, "it holds no config.json, but should hold config.json and model.weights.h5"),
        ({WEIGHTS: None}, "it holds no model.weights.h5"),
        ({CONFIG: b"{"}, "a damaged one: JSONDecodeError"),
        ({CONFIG: b"\x80abc"}, "a damaged one: UnicodeDecodeError"),
        ({CONFIG: b"[" * 100_000}, "a damaged one: RecursionError"),
        ({WEIGHTS: b""}, "a damaged one: OSError"),
        ({WEIGHTS: members()[WEIGHTS][:5000]}, "a damaged one: OSError"),
        ({WEIGHTS: hdf5(lambda file: file.create_dataset("layers", data=1))}, "it holds a Dataset"),
        ({WEIGHTS: hdf5(lambda file: file.create_dataset("layers/dense/vars/x", data=1))}, "ValueError"),
        (
            {WEIGHTS: hdf5(lambda file: file.create_group("layers/a/b/c/d/e/vars"))},
            "it holds groups within groups",
        ),
        (
            {WEIGHTS: hdf5(lambda file: file.update({"layers": h5py.ExternalLink("/etc/passwd", "/")}))},
            "it holds a link to elsewhere",
        ),
        (
            {WEIGHTS: hdf5(lambda file: file.update({"layers": h5py.SoftLink("/other")}))},
            "it holds a link to elsewhere",
        ),
        (
            {
                WEIGHTS: hdf5(
                    lambda file: file.create_dataset(
                        "layers/dense/vars/0", (8,), "u1", external=[("/etc/passwd", 0, 8)]
                    )
                )
            },
            "it holds data of another file: /layers/dense/vars/0",
        ),
        (
            {
                WEIGHTS: hdf5(
                    lambda file: file.create_dataset("layers/dense/vars/0", (2**40,), "f4", chunks=(4,))
                )
            },
            "it holds 4398046511104 bytes of /layers/dense/vars/0",
        ),
    ],
)
def test_what_a_file_lacks_or_hides(tmp_path, changed, said):
    """A member that is missing, damaged, or leads out of the file is one sentence, and is not followed."""
    content = {name: data for name, data in (members() | changed).items() if data is not None}
    with pytest.raises(BadInput) as raised:
        read(zipped(tmp_path / "model.keras", content))
    assert said in raised.value.problems[0]
    assert len(str(raised.value).splitlines()) == 2


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    """A member larger than the limit is refused before it is unpacked."""
    monkeypatch.setattr(keras_file, "LARGEST", 1000)
    with pytest.raises(BadInput, match=r"bytes of config.json, but should hold at most 1000"):
        read(FIXTURE)


def test_weights_of_another_architecture():
    """Other shapes, other layers and other dtypes than the model's are said, all at once."""
    groups = read(FIXTURE).groups
    other = Sequential([LSTM(5, return_sequences=True), LSTM(2), Dense(3)])
    with pytest.raises(BadInput) as raised:
        weights_of(other, (2, 5, 3), groups, "float32")
    assert raised.value.problems == [
        "lstm: weights of shape (3, 16) and (4, 16) and (16,), but LSTM(5, return_sequences=True) on an "
        "input of (2, 5, 3) has (3, 20) and (5, 20) and (20,)",
        "lstm_1: weights of shape (4, 8) and (2, 8), but LSTM(2) on an input of (2, 5, 5) has (5, 8) and "
        "(2, 8) and (8,)",
    ]
    with pytest.raises(BadInput, match="weights of 'lstm_1/cell', but the model has no such layer"):
        weights_of(Sequential([LSTM(4), Dense(3)]), (2, 5, 3), groups, "float32")
    with pytest.raises(BadInput, match="weight 'lstm/kernel' is float32, but should be float64"):
        weights_of(MODEL, (2, 5, 3), groups, "float64")
    groups["dense"][1][0] = np.nan
    with pytest.raises(BadInput, match=r"weight 'dense/bias' holds nan at \[0\], but should be finite"):
        weights_of(MODEL, (2, 5, 3), groups, "float32")


def test_the_config_is_the_files(tmp_path):
    """What is read is what the file holds."""
    assert read(FIXTURE).config == json.loads(members()[CONFIG])


@settings(max_examples=150, derandomize=True)
@given(
    whole=st.booleans(),
    damage=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0, 1) | st.just(1.0),
)
def test_no_damage_raises_anything_but_bad_input(tmp_path_factory, whole, damage, cut):
    """Any bytes changed or cut off, of the file or of its weights: it is read, or refused in words."""
    content = bytearray(FIXTURE.read_bytes() if whole else members()[WEIGHTS])
    for place, byte in damage:
        content[int(place * len(content))] = byte
    content = bytes(content[: int(cut * len(content))])
    path = tmp_path_factory.getbasetemp() / "damaged.keras"
    if whole:
        path.write_bytes(content)
    else:
        zipped(path, members() | {WEIGHTS: content})
    with contextlib.suppress(BadInput):
        weights_of(MODEL, (2, 5, 3), read(path).groups, "float32")
