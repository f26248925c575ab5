"""The stack: names, shapes, what it refuses, and that its passes leave their inputs alone."""

import pickle

import numpy as np
import pytest

from reference_impl import LSTM, BadInput, Dense, Flatten, Sequential

MODEL = Sequential([LSTM(8, return_sequences=True), Dense(1, activation="relu")])


def arrays(model=MODEL, shape=(4, 3, 2), dtype="float64"):
    """Weights, x and y for a model."""
    rng = np.random.default_rng(3)
    weights = model.init(rng, shape, dtype)
    return (
        weights,
        rng.standard_normal(shape).astype(dtype),
        rng.standard_normal(model.output_shape(shape)).astype(dtype),
    )


def test_tensor_names_are_keras_names():
    """Layers are numbered from the second of their kind on, tensors in Keras's order."""
    model = Sequential([LSTM(3, return_sequences=True), LSTM(2, use_bias=False), Dense(4), Dense(1)])
    assert model.weight_shapes((5, 6, 7)) == {
        "lstm/kernel": (7, 12),
        "lstm/recurrent_kernel": (3, 12),
        "lstm/bias": (12,),
        "lstm_1/kernel": (3, 8),
        "lstm_1/recurrent_kernel": (2, 8),
        "dense/kernel": (2, 4),
        "dense/bias": (4,),
        "dense_1/kernel": (4, 1),
        "dense_1/bias": (1,),
    }
    assert model.state_shapes((5, 6, 7)) == {
        "lstm/initial_h": (5, 3),
        "lstm/initial_c": (5, 3),
        "lstm_1/initial_h": (5, 2),
        "lstm_1/initial_c": (5, 2),
    }


def test_fresh_weights_are_those_of_keras_defaults():
    """Glorot kernels, an orthogonal recurrent kernel, zero biases with ones for the forget gate."""
    weights = Sequential([LSTM(5), Dense(3)]).init(np.random.default_rng(0), (2, 4, 6))
    assert np.abs(weights["lstm/kernel"]).max() <= np.sqrt(6 / (6 + 20))
    W_h = weights["lstm/recurrent_kernel"]
    assert np.abs(W_h @ W_h.T - np.eye(5)).max() <= 1e-14
    assert weights["lstm/bias"].reshape(4, 5).tolist() == [[0.0] * 5, [1.0] * 5, [0.0] * 5, [0.0] * 5]
    no_forget = Sequential([LSTM(5, unit_forget_bias=False)]).init(np.random.default_rng(0), (2, 4, 6))
    assert not no_forget["lstm/bias"].any()


def test_a_layer_prints_as_the_python_that_makes_it():
    """The repr is the constructor with defaults left out, so a report can be pasted into a test."""
    text = "Sequential([LSTM(8, return_sequences=True), Flatten(), Dense(1, activation='relu')])"
    assert repr(eval(text)) == text
    assert eval(text) == eval(text)


def test_loss_and_gradients_for_the_learner():
    """The call of the README: a number, and a gradient of the right shape for everything."""
    weights, x, y = arrays()
    loss, gradients = MODEL.loss_and_gradients(weights, x, y, loss="mean_squared_error")
    output = MODEL.predict(weights, x)
    assert loss == pytest.approx(np.mean((output - y) ** 2))
    shapes = {name: gradient.shape for name, gradient in gradients.items()}
    assert shapes == MODEL.weight_shapes(x.shape) | MODEL.state_shapes(x.shape) | {"x": x.shape}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_inputs_are_unchanged(dtype):
    """Every gradient has the dtype of the input, and no input array is written into."""
    weights, x, y = arrays(dtype=dtype)
    before = [array.copy() for array in (*weights.values(), x, y)]
    _, gradients = MODEL.loss_and_gradients(weights, x, y)
    assert {gradient.dtype.name for gradient in gradients.values()} == {dtype}
    for array, old in zip((*weights.values(), x, y), before, strict=True):
        assert array.tobytes() == old.tobytes()


def test_the_same_layer_twice_is_two_layers():
    """One spec object used twice stands for two layers with weights of their own, the head among them."""
    head = Dense(3, activation="sigmoid")
    model = Sequential([LSTM(3), head, head])
    weights, x, _ = arrays(model)
    y = np.zeros((4, 3))
    _, gradients = model.loss_and_gradients(weights, x, y, loss="binary_crossentropy")
    other = Sequential([LSTM(3), Dense(3, activation="sigmoid"), Dense(3, activation="sigmoid")])
    _, expected = other.loss_and_gradients(weights, x, y, loss="binary_crossentropy")
    assert all((gradients[name] == expected[name]).all() for name in expected)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (LSTM(0), "`units` = 0, but should be a positive whole number"),
        (LSTM(True), "`units` = True"),
        (Dense(2.0), "`units` = 2.0"),
        (Dense("3"), "`units` = '3'"),
        (LSTM(3, activation="tahn"), "`activation` = 'tahn', but should be one of"),
        (LSTM(3, activation="tahn"), "did you mean 'tanh'?"),
        (LSTM(3, recurrent_activation=7), "`recurrent_activation` = 7"),
        (Dense(3, activation=["relu"]), "`activation` = ['relu']"),
        (LSTM(3, return_sequnces=True), "no argument `return_sequnces`; did you mean 'return_sequences'?"),
        (LSTM(3, use_bias=1), "`use_bias` = 1, but should be True or False"),
        (LSTM(3, dropout=1.0), "`dropout` = 1.0, but should be a number from 0 up to, not including, 1"),
        (LSTM(3, go_backwards=1), "`go_backwards` = 1, but should be True or False"),
        (Dense(3, kernel_regularizer=0.1), "`kernel_regularizer` = 0.1, but should be one of l1, l1_l2"),
        (Dense(3, lora_rank=2), "`lora_rank` = 2"),
        (Flatten(data_format="channels_first"), "`data_format` = 'channels_first'"),
    ],
)
def test_bad_arguments_are_refused_by_name(layer, said):
    """Nothing is ignored: a bad or unsupported argument is named with its value as soon as it is used."""
    with pytest.raises(BadInput) as raised:
        Sequential([layer]).init(np.random.default_rng(0), (2, 3, 4))
    assert said in str(raised.value)


def test_unused_keras_arguments_are_accepted_at_their_defaults():
    """Code copied from Keras may spell out a default of an argument that is not supported yet."""
    assert LSTM(3, dropout=0.0, go_backwards=False).problems() == []


def test_everything_wrong_with_a_model_is_said_at_once():
    """One error lists the problems of every layer."""
    with pytest.raises(BadInput) as raised:
        Sequential([LSTM(-1, activation="x"), Dense(0, bias=True)]).init(np.random.default_rng(0), (2, 3, 4))
    assert len(raised.value.problems) == 4


def test_bad_input_comes_back_from_another_process():
    """Pickled and back, it says the same."""
    bad = BadInput("this model", ["one thing", "another"])
    copy = pickle.loads(pickle.dumps(bad))
    assert (type(copy), str(copy), copy.problems) == (BadInput, str(bad), bad.problems)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([], "the model has no layers"),
        ([LSTM(3), LSTM(4)], "layer 1 (lstm_1): takes an input of shape (batch, timesteps, features)"),
        (
            [LSTM(3, return_sequences=True), Flatten(), LSTM(4)],
            "return_sequences=True, and Flatten comes after",
        ),
        ([LSTM(3), "Dense"], "'Dense' is no layer of reference_impl"),
    ],
)
def test_impossible_stacks_are_refused(layers, said):
    """A stack whose shapes do not fit says which layer and what to change."""
    with pytest.raises(BadInput) as raised:
        Sequential(layers).init(np.random.default_rng(0), (2, 3, 4))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w, x, y: (w, x.astype("float16"), y), "`x` is a float16 array"),
        (lambda w, x, y: (w, x.tolist(), y), "`x` is a list, but should be"),
        (lambda w, x, y: (w, x[0], y), "but is given (3, 2)"),
        (lambda w, x, y: (w, x, y[:, 0]), "target 'y' has shape (4, 1), but should be (4, 3, 1)"),
        (lambda w, x, y: (w, x, y.astype("float32")), "target 'y' is float32, but should be float64"),
        (
            lambda w, x, y: ({**w, "lstm/kernel": w["lstm/kernel"].T}, x, y),
            "has shape (32, 2), but should be (2, 32)",
        ),
        (
            lambda w, x, y: ({**w, "lstm/kernl": x}, x, y),
            "no weight is named 'lstm/kernl'; did you mean 'lstm/kernel'?",
        ),
        (
            lambda w, x, y: ({k: v for k, v in w.items() if k != "dense/bias"}, x, y),
            "'dense/bias' is missing",
        ),
        (lambda w, x, y: ({**w, "dense/bias": [0.0]}, x, y), "'dense/bias' is a list"),
        (
            lambda w, x, y: ({**w, "dense/bias": np.array([np.nan])}, x, y),
            "holds nan at [0], but should be finite",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named(change, said):
    """Wrong shapes, names, dtypes and values are named with what they should be."""
    with pytest.raises(BadInput) as raised:
        MODEL.loss_and_gradients(*change(*arrays()))
    assert said in str(raised.value)


def test_wrong_initial_state_is_named():
    """A state under a wrong name or of a wrong shape is refused, not ignored."""
    weights, x, y = arrays()
    with pytest.raises(BadInput) as raised:
        MODEL.loss_and_gradients(weights, x, y, initial_state={"lstm/h": x, "lstm/initial_c": x})
    assert len(raised.value.problems) == 2


def test_unknown_loss_suggests_the_nearest():
    """A misspelt loss names the one that is meant."""
    weights, x, y = arrays()
    with pytest.raises(BadInput, match="did you mean 'mean_squared_error'"):
        MODEL.loss_and_gradients(weights, x, y, loss="mean_square_error")


@pytest.mark.parametrize(
    ("head", "loss"), [("softmax", "binary_crossentropy"), ("sigmoid", "categorical_crossentropy")]
)
def test_losses_that_keras_computes_from_the_wrong_logits_are_refused(head, loss):
    """The two pairs for which Keras computes another loss than documented are refused with the reason."""
    model = Sequential([LSTM(3), Dense(2, activation=head)])
    weights, x, _ = arrays(model)
    with pytest.raises(BadInput, match="logits"):
        model.loss_and_gradients(weights, x, np.eye(4)[:, :2], loss=loss)


def test_labels_out_of_range_are_refused():
    """Labels that the loss cannot take are refused with the value."""
    model = Sequential([LSTM(3), Dense(2, activation="sigmoid")])
    weights, x, _ = arrays(model)
    with pytest.raises(BadInput, match=r"holds 2\.0, but should be within"):
        model.loss_and_gradients(weights, x, np.full((4, 2), 2.0), loss="binary_crossentropy")
