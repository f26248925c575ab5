"""What Keras serialized, a thing at a time: layers, losses, other objects are taken by name, or refused."""

import json

import pytest

from reference_impl import BadInput, Named
from reference_impl.losses import LOSSES
from tf_oracle.configs import described, loss_of
from tf_oracle.keras_file import read
from tf_oracle.live import serialized_loss, taken_apart
from tf_oracle.serialized import REFUSED, TAKEN, taken
from tf_oracle.start import load

# Keras's own model.save, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def double(z):
    """Python code of the user's."""
    return 2 * z


def test_objects_become_names_with_arguments():
    """Regularizers and constraints have their table's names, and those of their arguments that are given."""
    keras = load().keras
    R, C = keras.regularizers, keras.constraints
    for argument, thing, expected in (
        ("kernel_regularizer", R.L2(), "l2"),
        ("bias_regularizer", R.L1L2(l1=0.5, l2=0.25), Named("l1_l2", l1=0.5, l2=0.25)),
        ("recurrent_regularizer", R.OrthogonalRegularizer(0.5), Named("orthogonal_regularizer", factor=0.5)),
        ("kernel_constraint", C.MaxNorm(3, axis=1), Named("max_norm", max_value=3, axis=1)),
        ("bias_constraint", C.NonNeg(), "non_neg"),
        (
            "recurrent_constraint",
            C.MinMaxNorm(0.5, axis=(0, 1)),
            Named("min_max_norm", min_value=0.5, axis=(0, 1)),
        ),
    ):
        written = keras.saving.serialize_keras_object(thing)
        assert taken(json.loads(json.dumps(written)), argument) == expected


def test_every_loss_is_read_back():
    """Each loss class of Keras becomes its name of the table, with the arguments that are no defaults."""
    losses = load().keras.losses
    classes = [getattr(losses, name) for name in dir(losses) if name[0].isupper() and name != "Loss"]
    found = {loss_of(serialized_loss(made())) for made in classes}
    assert found == set(LOSSES) - {None}
    for made, expected in (
        (losses.Huber(0.5), Named("huber", delta=0.5)),
        (losses.BinaryCrossentropy(True, label_smoothing=0.25), ("from_logits", "label_smoothing")),
        (losses.CategoricalFocalCrossentropy(alpha=[0.25, 0.75]), ("alpha",)),
        (losses.MeanSquaredError("sum", dtype="float64"), Named("mean_squared_error", reduction="sum")),
        (losses.Dice(axis=-1), Named("dice", axis=-1)),
        (losses.CosineSimilarity(axis=-1), "cosine_similarity"),
    ):
        loss = loss_of(serialized_loss(made))
        assert (tuple(loss.arguments) if isinstance(expected, tuple) else loss) == expected


def test_the_loss_that_a_model_was_compiled_with(tmp_path):
    """Short names, functions, objects, lists of one: each way to name a loss is understood."""
    keras = load().keras
    for loss, expected in (
        ("mse", "mean_squared_error"),
        ("MeanAbsoluteError", "mean_absolute_error"),
        (["binary_crossentropy"], "binary_crossentropy"),
        (keras.losses.mean_squared_error, "mean_squared_error"),
        (keras.losses.CategoricalCrossentropy(), "categorical_crossentropy"),
    ):
        model = keras.Sequential([keras.layers.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)])
        model.compile(loss=loss)
        model.save(tmp_path / "model.keras")
        for file in (read(tmp_path / "model.keras"), taken_apart(model)):
            assert loss_of(described(file.config).compiled) == expected
    model.compile(loss="mse", loss_weights=[2.0])
    with pytest.raises(BadInput, match=r"`loss_weights` = \[2.0\], but should be left out"):
        described(taken_apart(model).config)
    model.compile(loss=double)
    with pytest.raises(BadInput, match="the loss that it was compiled with: it holds Python code"):
        loss_of(described(taken_apart(model).config).compiled)


def refusals(layers, tmp_path, **compiled):
    """What is said of a model, which has to be the same for its file and for itself."""
    keras = load().keras
    model = keras.Sequential([keras.layers.Input((5, 3)), *layers])
    model.compile(**compiled)
    model.save(tmp_path / "model.keras")
    said = []
    for file in (read(tmp_path / "model.keras"), taken_apart(model)):
        with pytest.raises(BadInput) as raised:
            loss_of(described(file.config).compiled)
        said.append(raised.value.problems)
    assert said[0] == said[1]
    return said[0]


PYTHON = "it holds Python code, which is not run; use one of Keras's own by name"


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            lambda L: [L.LSTM(4), L.Dense(2), L.Lambda(lambda x: 2 * x)],
            "layer 2 (lambda): Lambda is not supported: it holds Python code",
        ),
        (
            lambda L: [L.LSTM(4, activation=double, name="own")],
            f"layer 0 (own): `activation`: {PYTHON}",
        ),
        (
            lambda L: [L.LSTM(4), L.Dense(1, activation=lambda z: z, name="head")],
            f"layer 1 (head): `activation`: {PYTHON}",
        ),
        (
            lambda L: [L.Bidirectional(L.LSTM(4)), L.Dense(1)],
            f"layer 0 (bidirectional): Bidirectional is not supported: {REFUSED['Bidirectional']}",
        ),
        (
            lambda L: [L.LSTM(4), load().keras.Sequential([L.Dense(2)], name="inner")],
            f"layer 1 (inner): Sequential is not supported: {REFUSED['Sequential']}",
        ),
        (
            lambda L: [L.GRU(4, name="g\x1b[2J")],  # which would clear the screen
            f"layer 0 ('g\\x1b[2J'): GRU is not supported: tapecheck knows {', '.join(TAKEN)}",
        ),
        (
            lambda L: [L.LSTM(4), L.Dense(2, dtype="mixed_float16", name="head")],
            "layer 1 (head): `dtype` = 'mixed_float16', but should be one of float32, float64; "
            "did you mean 'float64'?",
        ),
        (
            lambda L: [L.LSTM(4), L.Dense(2, dtype="float64", name="head")],
            "layer 1 (head): `dtype` = 'float64', but should be 'float32', as that of the layers before it",
        ),
    ],
)
def test_what_is_not_supported_is_named(layers, said, tmp_path):
    """An unsupported layer or argument is refused by position and name, read from a file or alive."""
    assert refusals(layers(load().keras.layers), tmp_path) == [said]


def test_everything_that_is_not_supported_is_named_at_once(tmp_path):
    """One error lists every layer that is refused."""
    L = load().keras.layers
    said = refusals([L.GRU(4, return_sequences=True), L.LSTM(3), L.BatchNormalization()], tmp_path)
    assert [line.partition(":")[0] for line in said] == ["layer 0 (gru)", "layer 2 (batch_normalization)"]


def test_classes_of_the_users_own_are_refused():
    """A subclass of a layer, a subclass of Sequential and a functional model are refused by their class."""
    keras = load().keras
    L = keras.layers
    own_layer = type("LSTM", (L.LSTM,), {"__module__": "elsewhere"})
    own_model = type("Sequential", (keras.Sequential,), {"__module__": "elsewhere"})
    x = L.Input((5, 3))
    for model, said in (
        (
            keras.Sequential([own_layer(4, name="lstm")]),
            "layer 0 (lstm): LSTM is not supported: it is a class",
        ),
        (own_model([L.LSTM(4)]), "Sequential is not supported: it is a class of its own (elsewhere)"),
        (keras.Model(x, L.LSTM(4)(x)), "it is a Functional, but should be a Sequential: it is a graph"),
    ):
        with pytest.raises(BadInput) as raised:
            described(taken_apart(model).config)
        assert raised.value.problems[0].startswith(said)
    with pytest.raises(BadInput, match=r"`model` = 3, but should be a keras.Sequential"):
        taken_apart(3)
