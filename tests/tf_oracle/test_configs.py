"""Models as specs: every argument and every bit of the weights is taken over, and nonsense is refused."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl import BadInput, Named
from tf_oracle.configs import described, loss_of
from tf_oracle.keras_file import read, weights_of
from tf_oracle.live import taken_apart
from tf_oracle.models import build, get_weights, set_weights
from tf_oracle.start import load

# Keras's own model.save, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FIXTURES = Path(__file__).parent.parent / "fixtures"

# Stacks by what is particular in them, as functions of `keras.layers`.
STACKS = {
    "plain": lambda L: [L.LSTM(4), L.Dense(2)],
    "sequences": lambda L: [L.LSTM(4, return_sequences=True), L.Dense(2, activation="softmax")],
    "names": lambda L: [
        L.LSTM(4, return_sequences=True, name="lstm_7"),
        L.LSTM(3, name="my net"),
        L.Dense(1),
    ],
    "flatten": lambda L: [L.LSTM(4, return_sequences=True), L.Flatten(), L.Dense(5), L.Dense(2)],
    "no biases": lambda L: [L.LSTM(4, use_bias=False), L.Dense(2, use_bias=False)],
    "linear": lambda L: [L.LSTM(4, activation=None, recurrent_activation="linear"), L.Dense(2, "linear")],
    "forget bias": lambda L: [
        L.LSTM(4, unit_forget_bias=False),
        L.Dense(2, activation=load().keras.ops.tanh),
    ],
    "initializers": lambda L: [
        L.LSTM(4, kernel_initializer="ones", seed=3),
        L.Dense(2, bias_initializer="ones"),
    ],
    "frozen": lambda L: [L.LSTM(4, trainable=False), L.Dense(2)],
    "float64": lambda L: [L.LSTM(4, dtype="float64"), L.Dense(2, dtype="float64")],
    "all switches": lambda L: [
        L.LSTM(
            4,
            return_sequences=True,
            return_state=False,
            go_backwards=True,
            unroll=True,
            zero_output_for_mask=True,
            implementation=1,
            use_cudnn=False,
            dropout=0.25,
            recurrent_dropout=0.125,
        ),
        L.Dense(2),
    ],
    "penalties": lambda L: [
        L.LSTM(
            4,
            return_sequences=True,
            kernel_regularizer="l2",
            recurrent_regularizer=load().keras.regularizers.L1L2(0.5, 0.25),
            bias_regularizer=load().keras.regularizers.L1(0.125),
            activity_regularizer="l1",
            kernel_constraint="non_neg",
            recurrent_constraint=load().keras.constraints.MinMaxNorm(0.5, 2.0, rate=0.5, axis=1),
            bias_constraint=load().keras.constraints.MaxNorm(3),
        ),
        L.TimeDistributed(L.Dense(2, kernel_regularizer="orthogonal_regularizer")),
        L.Dense(2, activity_regularizer="l2", kernel_constraint="unit_norm"),
    ],
    "stateful": lambda L: [L.LSTM(4, stateful=True, return_state=True)],
    "between": lambda L: [
        L.Masking(mask_value=-1.0),
        L.LSTM(4),
        L.Dropout(0.25, noise_shape=(None, 1), seed=3),
        L.RepeatVector(3),
        L.LSTM(3, return_sequences=True),
        L.TimeDistributed(L.Dense(2, activation="relu")),
        L.Activation("tanh"),
        L.TimeDistributed(L.Dense(2, name="inner"), name="own"),
    ],
}


def model_of(stack, batch=None, timesteps=5, seed=3):
    """A real model with random weights, biases included."""
    keras = load().keras
    layers = STACKS[stack](keras.layers)
    model = keras.Sequential([keras.layers.Input(batch_shape=(batch, timesteps, 3)), *layers])
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.weights:
            variable.assign(rng.standard_normal(variable.shape))
    return model


def arguments(layer):
    """What Keras writes of a layer, without its name, its dtype and how its weights began."""
    config = layer.get_config()
    drop = ("name", "dtype", "trainable", "seed", "layer")
    inner = {"layer": arguments(layer.layer)} if "layer" in config else {}
    return inner | {key: value for key, value in config.items() if key not in drop and "_init" not in key}


def weights_in(model):
    """The weights of a Keras model, without the states of its random numbers."""
    return [variable.numpy() for layer in model.layers for variable in layer.weights]


def assert_same_model(model, file, written=True):
    """The twin built from the file has the model's arguments, where Keras has `written` them in the same
    way, its weights and its outputs, to the bit.
    """
    description = described(file.config)
    shape = (3, 5, 3)
    weights = weights_of(description.model, shape, file.groups, description.dtype)
    twin = build(description.model, shape, description.dtype)
    set_weights(twin, weights)
    if written:
        assert [arguments(layer) for layer in twin.layers] == [arguments(layer) for layer in model.layers]
    for own, other in zip(get_weights(twin).values(), weights_in(model), strict=True):
        assert own.tobytes() == other.tobytes()
    # Within float32, to which Keras rounds the input of a float64 model, unless its Input has a dtype too.
    x = np.random.default_rng(4).standard_normal(shape).astype("float32").astype(description.dtype)
    ours, theirs = (keras_model(x) for keras_model in (twin, model))
    for own, other in zip(load().tf.nest.flatten(ours), load().tf.nest.flatten(theirs), strict=True):
        assert own.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("stack", STACKS)
def test_file_and_live_model_become_the_same_model(stack, tmp_path):
    """What is saved and read back, and what is taken apart alive, is the model, in every argument."""
    model = model_of(stack, batch=3)
    model.save(tmp_path / "model.keras")
    assert_same_model(model, read(tmp_path / "model.keras"))
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()
    assert_same_model(model, taken_apart(model))


def test_activations_that_are_layers(tmp_path):
    """ReLU, LeakyReLU and ELU with arguments, within a layer and as layers, are Keras's own to the bit."""
    keras = load().keras
    L = keras.layers
    slope, top = L.LeakyReLU(0.3), L.ReLU(max_value=0.5, negative_slope=0.25, threshold=0.1)
    stack = [
        L.LSTM(4, activation=slope),
        top,
        L.Dense(3, activation=L.ELU(0.5)),
        L.ELU(),
        L.Dense(2, L.Softmax()),
    ]
    model = keras.Sequential([L.Input((5, 3)), *stack])
    model.save(tmp_path / "model.keras")
    for file in (read(tmp_path / "model.keras"), taken_apart(model)):
        assert_same_model(model, file, written=False)
        lstm, relu, dense, elu, head = described(file.config).model.layers
        assert lstm.activation == Named("leaky_relu", negative_slope=0.3)
        assert relu.activation == Named("relu", max_value=0.5, negative_slope=0.25, threshold=0.1)
        assert dense.activation == Named("elu", alpha=0.5)
        assert (elu.activation, head.activation) == ("elu", "softmax")


@pytest.mark.parametrize("version", ["3.0.5", "3.6.0"])
def test_files_of_other_versions(version):
    """Files that Keras 3.0 and 3.6 wrote are read as the installed Keras reads them."""
    path = FIXTURES / f"keras-{version}.keras"
    metadata = read(path).config
    assert described(metadata).compiled["class_name"] == "CategoricalCrossentropy"
    assert loss_of(described(metadata).compiled) == "categorical_crossentropy"
    assert_same_model(load().keras.saving.load_model(path), read(path))


def test_a_model_that_was_never_built_has_no_sizes():
    """A Sequential without an input shape is described; its sizes are open and it has no weights."""
    keras = load().keras
    file = taken_apart(keras.Sequential([keras.layers.LSTM(4)]))
    assert described(file.config).features is None
    assert file.groups == {}


def nodes(value, path=()):
    """The path of everything within a JSON value."""
    yield path
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in members:
        yield from nodes(member, (*path, key))


def edited(value, path, new):
    """A copy of a JSON value with one node of it replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = edited(value[path[0]], path[1:], new)
    return copy


CONFIG = read(FIXTURES / "keras-3.6.0.keras").config
JSON = st.sampled_from([None, True, -1, 0.5, "", "LSTM", [], {}, [None, 3], {"class_name": "Dense"}, 10**30])


@settings(max_examples=200, derandomize=True)
@given(path=st.sampled_from(list(nodes(CONFIG))), new=JSON)
def test_no_config_raises_anything_but_bad_input(path, new):
    """With any node of a config replaced by nonsense, it is a model or it is refused in words."""
    config = edited(CONFIG, path, new)
    with contextlib.suppress(BadInput):
        loss_of(described(config).compiled)


def test_nesting_without_end_is_refused():
    """Lists within lists in an argument, as deep as JSON allows, are one sentence."""
    deep = json.loads("[" * 900 + "]" * 900)
    layers = [{"module": "keras.layers", "class_name": "Dense", "config": {"units": 2, "activation": deep}}]
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": layers}}
    with pytest.raises(BadInput, match="`activation`"):
        described(config)


def test_what_keras_does_not_write_is_taken_off_the_live_layer(tmp_path):
    """`implementation` and `use_cudnn` are in no config: a file has the defaults, a live model its own."""
    model = model_of("all switches")
    model.save(tmp_path / "model.keras")
    saved, alive = (
        described(file.config).model.layers[0]
        for file in (read(tmp_path / "model.keras"), taken_apart(model))
    )
    assert (saved.implementation, saved.use_cudnn) == (2, "auto")
    assert (alive.implementation, alive.use_cudnn) == (1, False)
    assert saved.dropout == alive.dropout == 0.25
