"""`tapecheck model` and `Case.from_keras`: trained weights and real data are what is checked."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import sides_of
from reference_impl import BadInput, Named
from tapecheck import Case, check
from tapecheck.cli import main
from tapecheck.keras_models import typed_loss
from tf_oracle.keras_file import CONFIG, WEIGHTS, read
from tf_oracle.start import load

FIXTURES = Path(__file__).parent.parent / "fixtures"
SUNSPOTS, DATA = FIXTURES / "sunspots.keras", FIXTURES / "sunspots.npz"


def test_a_trained_model_on_its_data(capsys):
    """The model that was trained on the sunspots passes on the years held out, all 13 gradients of it."""
    assert main(["model", str(SUNSPOTS), "--data", str(DATA)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("passed: 13 of 13 gradients agree [sunspots]")
    assert "mean_squared_error, float32, B=24 T=11 D=1" in out
    assert out.splitlines()[-1] == f"weights of {SUNSPOTS}, data of {DATA}"


def test_a_wrong_gradient_of_a_trained_model_is_found(capsys, tmp_path, monkeypatch):
    """Someone's wrong implementation fails on a saved model's weights, and its saved arrays are replayed."""
    (tmp_path / "mine_for_model.py").write_text(
        "def wrong(problem):\n"
        "    found = dict(problem.reference.gradients)\n"
        "    found['lstm/bias'] = found['lstm/bias'] * 1.001\n"
        "    return found\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = str(FIXTURES / "keras-3.6.0.keras")
    assert main(["model", model, "--batch", "2", "--implementation", "mine_for_model:wrong"]) == 1
    out = capsys.readouterr().out
    assert "1 of 12 wrong [keras-3.6.0]" in out
    assert main(["replay", ".tapecheck/keras-3.6.0.npz"]) == 1
    assert "1 of 12 wrong [keras-3.6.0]" in capsys.readouterr().out


def test_a_case_with_arrays_is_a_case():
    """It is hashed, compared and cached as any other; its problem has the file's weights and the data."""
    case = Case.from_keras(SUNSPOTS, data=DATA, batch=5)
    assert case == case  # by identity of its arrays, which is what a cache asks
    assert case != Case.from_keras(SUNSPOTS, data=DATA, batch=5)
    assert sides_of(case) is sides_of(case)
    problem, data, groups = case.problem(), np.load(DATA), read(SUNSPOTS).groups
    assert problem.case.given is None
    assert problem.x.tobytes() == data["x"][:5].astype("float32").tobytes()
    assert problem.y.tobytes() == data["y"][:5].astype("float32").tobytes()
    for group, layer in (("lstm/cell", "lstm"), ("lstm_1/cell", "lstm_1"), ("dense", "dense")):
        own = [problem.weights[name] for name in problem.weights if name.split("/")[0] == layer]
        assert [array.tobytes() for array in own] == [array.tobytes() for array in groups[group]]


def test_drawn_data_on_trained_weights():
    """Without data the inputs are drawn, differently for another seed, and the weights stay."""
    first, second = (Case.from_keras(SUNSPOTS, seed=seed, timesteps=7).problem() for seed in (0, 1))
    assert first.x.shape == (3, 7, 1)
    assert (first.x != second.x).all()
    assert first.weights["lstm/bias"].tobytes() == second.weights["lstm/bias"].tobytes()
    double = Case.from_keras(SUNSPOTS, dtype="float64", loss="mean_absolute_error").problem()
    assert {array.dtype for array in double.tensors.values()} == {np.dtype("float64")}
    assert double.loss == "mean_absolute_error"


def test_a_live_model(gradient_check):
    """A model in memory is checked as it stands, without a file, with data of any number type."""
    keras = load().keras
    L = keras.layers
    model = keras.Sequential(
        [L.Input((None, 2)), L.LSTM(4, return_sequences=True), L.Dense(1)], name="my model"
    )
    case = Case.from_keras(
        model,
        data={
            "x": np.arange(24).reshape(2, 6, 2),
            "y": np.ones((2, 6), bool),
            "lstm/initial_c": np.ones((2, 4)),
        },
    )
    assert (case.name, case.loss, case.dtype) == ("my-model", "mean_squared_error", "float32")
    problem = case.problem()
    assert problem.y.shape == (2, 6, 1)  # as Keras would make it
    assert problem.initial_state["lstm/initial_c"].all()
    assert not problem.initial_state["lstm/initial_h"].any()
    for ours, theirs in zip(problem.weights.values(), model.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    gradient_check(case)
    model.compile(loss="mae")
    assert Case.from_keras(model).loss == "mean_absolute_error"


def test_a_frozen_layer_is_checked_as_any_other():
    """Keras trains no weight of it, and the gradient of each is compared all the same."""
    keras = load().keras
    L = keras.layers
    model = keras.Sequential([L.Input((None, 2)), L.LSTM(4, trainable=False), L.Dense(2)], name="frozen")
    report = check(Case.from_keras(model, dtype="float64"))
    assert [report.tensors[name].verdict for name in report.problem.weights] == ["passed"] * 5
    wrong = check(
        Case.from_keras(model, dtype="float64"), lambda p: p.reference.gradients | {"lstm/bias": np.ones(16)}
    )
    assert wrong.tensors["lstm/bias"].verdict == "failed"


def swapped(path, other, member):
    """A file with the member of another."""
    with zipfile.ZipFile(path) as ours, zipfile.ZipFile(other) as theirs:
        content = {name: (theirs if name == member else ours).read(name) for name in (CONFIG, WEIGHTS)}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return made.getvalue()


def with_lambda():
    """The sunspots' model with a Lambda after it."""
    with zipfile.ZipFile(SUNSPOTS) as archive:
        config = json.loads(archive.read(CONFIG))
        weights = archive.read(WEIGHTS)
    function = {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}}
    config["config"]["layers"].append(
        {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "lambda", "function": function}}
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(CONFIG, json.dumps(config))
        archive.writestr(WEIGHTS, weights)
    return made.getvalue()


def npz(**arrays):
    """The bytes of an .npz file."""
    made = io.BytesIO()
    np.savez(made, **arrays)
    return made.getvalue()


def npy(array):
    """The bytes of an .npy file."""
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


X, Y = np.ones((4, 6, 1)), np.ones((4, 1))


@pytest.mark.parametrize(
    ("model", "data", "options", "said"),
    [
        (None, None, [], "it does not exist"),
        (b"", None, [], "it is no .keras file"),
        (SUNSPOTS.read_bytes()[:20_000], None, [], "it is no .keras file"),
        (with_lambda(), None, [], "layer 3 (lambda): Lambda is not supported: it holds Python code"),
        (
            swapped(SUNSPOTS, FIXTURES / "keras-3.6.0.keras", WEIGHTS),
            None,
            [],
            "lstm: weights of shape (3, 16) and (4, 16) and (16,), but LSTM(8, return_sequences=True)",
        ),
        (SUNSPOTS, b"", [], "data.npz cannot be used"),
        (SUNSPOTS, npz(x=X, y=Y)[:300], [], "it is no .npz archive; np.savez"),
        (SUNSPOTS, b"x,y\n1,2\n", [], "it is no .npz archive; np.savez"),
        (SUNSPOTS, pickle.dumps({"x": X, "y": Y}), [], "it is no .npz archive; np.savez"),
        (SUNSPOTS, npy(X), [], "it is no .npz archive; np.savez"),
        (SUNSPOTS, npz(x=X), [], "`y` is missing"),
        (SUNSPOTS, npz(X=X, y=Y), [], "`x` is missing"),
        (SUNSPOTS, npz(x=X, y=Y, z=Y), [], "it has no use for `z`"),
        (SUNSPOTS, npz(x=X, y=np.array([{}], object)), [], "it holds Python objects"),
        (
            SUNSPOTS,
            npz(x=X, y=np.array(["a"])),
            [],
            "`y` is <U1 of shape (1,), but should be an array of numbers",
        ),
        (SUNSPOTS, npz(x=X, y=1.0), [], "`y` is float64 of shape (), but should be an array of numbers"),
        (SUNSPOTS, npz(x=X[..., 0], y=Y), [], "`x` has shape (4, 6), but should have (batch, timesteps, 1)"),
        (SUNSPOTS, npz(x=X[:0], y=Y), [], "`x` has shape (0, 6, 1)"),
        (SUNSPOTS, npz(x=X, y=Y[:3]), [], "target 'y' has shape (3, 1), but should be (4, 1)"),
        (
            SUNSPOTS,
            npz(x=np.where(X, np.nan, X), y=Y),
            [],
            "`x` holds nan at [0, 0, 0], but should be finite",
        ),
        (SUNSPOTS, npz(x=X, y=1e300 * Y), [], "`y` holds inf at [0, 0], but should be finite"),
        (SUNSPOTS, npz(x=X, y=Y), ["--batch", "9"], "`x` has 4 samples, but should have 9"),
        (SUNSPOTS, npz(x=X, y=Y), ["--timesteps", "5"], "should have (batch, 5, 1)"),
        (SUNSPOTS, None, ["--batch", "0"], "`batch` = 0, but should be a positive whole number"),
        (
            SUNSPOTS,
            None,
            ["--dtype", "float16"],
            "`dtype` = 'float16', but should be one of float32, float64",
        ),
        (SUNSPOTS, None, ["--loss", "mse_"], "`loss` = 'mse_', but should be one of"),
    ],
)
def test_bad_input_is_one_error(capsys, tmp_path, monkeypatch, model, data, options, said):
    """Whatever is wrong with model, data or options: a sentence on stderr, status 2, nothing written."""
    for name, content in (("model.keras", model), ("data.npz", data)):
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    given = [] if data is None else ["--data", "data.npz"]
    assert main(["model", "model.keras", *given, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in " ".join(err.split())
    assert "allow_pickle" not in err  # NumPy's advice would run what the file holds
    assert max(map(len, err.splitlines())) <= 100
    assert sorted(os.listdir()) == before


def test_sizes_that_a_model_was_built_for():
    """A model with a batch and steps of its own takes no others, whoever asks."""
    keras = load().keras
    L = keras.layers
    model = keras.Sequential([L.Input(batch_shape=(2, 5, 3)), L.LSTM(4), L.Dense(1)])
    assert Case.from_keras(model).input_shape == (2, 5, 3)
    for asked, said in (
        (dict(batch=4), "`batch` = 4, but should be 2, which the model was built for"),
        (dict(timesteps=4), "`timesteps` = 4, but should be 5"),
        (dict(data={"x": np.ones((3, 5, 3)), "y": np.ones(3)}), "`x` has 3 samples, but should have 2: with"),
        (dict(data={"x": np.ones((2, 4, 3)), "y": np.ones(2)}), "but should have (batch, 5, 3)"),
    ):
        with pytest.raises(BadInput) as raised:
            Case.from_keras(model, **asked)
        assert said in raised.value.problems[0]
    with pytest.raises(BadInput, match="it was never built, so it has no weights"):
        Case.from_keras(keras.Sequential([L.LSTM(4)]))


def test_a_bad_file_costs_no_tensorflow(tmp_path):
    """What is wrong with a file is said without TensorFlow being loaded."""
    (tmp_path / "model.keras").write_bytes(with_lambda())
    code = (
        "import sys; from tapecheck.cli import main; assert main(['model', 'model.keras']) == 2; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "Lambda is not supported" in ran.stderr


def test_a_loss_as_it_is_typed():
    """A name, a name with arguments, and the free upstream gradient; no other Python is taken."""
    assert typed_loss("mean_squared_error") == "mean_squared_error"
    assert typed_loss("upstream") is None
    typed = typed_loss("weighted(alpha=(0.25, 0.75), axis=-1)")
    assert typed == Named("weighted", alpha=(0.25, 0.75), axis=-1)
    for text in ("huber(0.5)", "huber(delta=", "huber(delta=open('x'))", "a.b(c=1)", "huber(**{})", "()"):
        with pytest.raises(BadInput, match="should be a NAME or NAME"):
            typed_loss(text)


def test_masks_and_dropout_of_a_model(gradient_check):
    """A mask in the data skips its steps, and `training` drops what Keras drops: both pass the check."""
    keras = load().keras
    L = keras.layers
    model = keras.Sequential([L.Input((6, 2)), L.LSTM(4, dropout=0.25), L.Dropout(0.5), L.Dense(2)])
    rng = np.random.default_rng(1)
    data = {
        "x": rng.standard_normal((3, 6, 2)),
        "y": rng.standard_normal((3, 2)),
        "mask": np.ones((3, 6), bool),
    }
    data["mask"][:, 4:] = False
    case = Case.from_keras(model, name="dropped", data=data, training=True)
    assert set(case.problem().dropout) == {"lstm/dropout_mask", "dropout/dropout_mask"}
    report = gradient_check(case)
    gradient = report.problem.reference.gradients["x"]
    assert gradient[:, :4].any()
    assert not gradient[:, 4:].any()
    for mask, said in (
        (np.ones((3, 6)), "`mask` is float64, but should be a NumPy array of bool"),
        (np.ones((3, 5), bool), r"`mask` has shape \(3, 5\), but should be \(batch, timesteps\) = \(3, 6\)"),
    ):
        with pytest.raises(BadInput, match=said):
            Case.from_keras(model, data=data | {"mask": mask})


def test_labels_and_weights_in_the_data(gradient_check):
    """Integer labels (B,) or (B, 1), and a weight for each sample, are those of the loss."""
    keras = load().keras
    L = keras.layers
    model = keras.Sequential([L.Input((4, 2)), L.LSTM(3), L.Dense(5, activation="softmax")])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum"))
    data = {"x": np.random.default_rng(1).standard_normal((3, 4, 2)), "y": np.array([[0], [4], [2]], "uint8")}
    case = Case.from_keras(model, name="labels", data=data | {"sample_weight": [1.0, 0.5, 2.0]})
    assert case.loss == Named("sparse_categorical_crossentropy", reduction="sum")
    problem = case.problem()
    assert problem.y.tolist() == [0, 4, 2]
    assert problem.sample_weight.tolist() == [1, 0.5, 2]
    gradient_check(case)
    for wrong, said in (
        ({"y": np.array([0, 5, 2])}, "should be a whole number from 0 to 4"),
        ({"sample_weight": np.ones(2)}, r"`sample_weight` has shape \(2,\), but should be \(3,\)"),
    ):
        with pytest.raises(BadInput, match=said):
            Case.from_keras(model, data=data | wrong)
    with pytest.raises(BadInput, match="on a softmax head: Keras would take"):
        Case.from_keras(model, loss="binary_crossentropy")
