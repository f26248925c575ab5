"""Cases and problems: what is refused, what is drawn, and that the draw can prove something."""

import math
from dataclasses import fields

import numpy as np
import pytest

from reference_impl import LSTM, BadInput, Dense, Dropout, Masking, Named, RepeatVector, Sequential
from tapecheck import Case
from tapecheck.catalogue import CATALOGUE
from tapecheck.drawing import lively

MODEL = Sequential([LSTM(5, return_sequences=True), Dense(2)])

# A layer that goes on where it was, so that a case has earlier batches.
MODEL_OF_TOKENS = Sequential([LSTM(3, stateful=True), Dense(2)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(batch=0), "`batch` = 0, but should be a positive whole number"),
        (dict(timesteps=-3), "`timesteps` = -3"),
        (dict(features=1.5), "`features` = 1.5"),
        (dict(loss="mean_squard_error"), "did you mean 'mean_squared_error'?"),
        (dict(loss=3), "`loss` = 3"),
        (dict(dtype="float16"), "`dtype` = 'float16', but should be one of float32, float64"),
        (dict(initial_state="ones"), "`initial_state` = 'ones', but should be one of random, zeros"),
        (dict(seed=-1), "`seed` = -1"),
        (dict(name="a/b"), "`name` = 'a/b'"),
        (dict(model=[LSTM(3)]), "should be a reference_impl.Sequential"),
        (dict(model=Sequential([LSTM(3), LSTM(3)])), "layer 1 (lstm_1): takes an input of shape"),
        (
            dict(model=Sequential([LSTM(3), Dense(2, activation="softmax")]), loss="binary_crossentropy"),
            "logits",
        ),
    ],
)
def test_bad_cases_are_refused(arguments, said):
    """Each argument is checked when the case is made, with its value and what it should be."""
    with pytest.raises(BadInput) as raised:
        Case(**({"name": "bad", "model": MODEL} | arguments))
    assert said in str(raised.value)


ODD = (-1, 1.5, "a/b", math.nan, [], [1], {}, object, np.array([1, 2]), b"a", LSTM(3), Named("x"))


def model_with(argument, value):
    """A model whose first or last layer has the argument."""
    if argument in Dense.defaults():
        return Sequential([LSTM(3), Dense(**({"units": 2} | {argument: value}))])
    return Sequential([LSTM(3, **{argument: value}), Dense(2)])


def refusal(**arguments):
    """What is said of a case with these arguments; it must be refused, and by nothing else than BadInput."""
    with pytest.raises(BadInput) as raised:
        Case(**({"name": "odd", "model": MODEL} | arguments))
    return str(raised.value)


@pytest.mark.parametrize("argument", [field.name for field in fields(Case)])
def test_odd_arguments_of_a_case_are_refused(argument):
    """Numbers, words, NaN, lists, arrays, layers: what fits no argument is refused by its name."""
    for value in ODD:
        assert f"`{argument}`" in refusal(**{argument: value})


@pytest.mark.parametrize(
    "model", [MODEL, Sequential([LSTM(2**40), Dense(2)]), Sequential([LSTM(3), RepeatVector(2**70)])]
)
def test_arrays_past_any_memory_are_refused(model):
    """Whether an input, a weight or an output is so large: said before one is made."""
    assert "numbers, but should be at most" in refusal(model=model, batch=2**70 if model is MODEL else 3)


@pytest.mark.parametrize("argument", LSTM.defaults())
def test_odd_arguments_of_a_layer_are_refused(argument):
    """As for a case: by its layer and its name, with no error from inside."""
    for value in ODD:
        assert f"`{argument}` = " in refusal(model=model_with(argument, value)), value


@pytest.mark.parametrize(
    "layers", [None, 3, "LSTM", [None], [LSTM], [LSTM(3), "Dense"], [], [[LSTM(3)]], [MODEL], {}]
)
def test_what_is_no_layer_is_refused(layers):
    """A class, a name, a list within the list and a whole model are none."""
    said = refusal(model=Sequential(layers))
    assert "is no layer of reference_impl" in said or "the model has no layers" in said


@pytest.mark.parametrize("value", [3, "x", [1], (2, 2), {}])
def test_odd_noise_shapes_are_refused(value):
    """One that is no tuple of sizes is refused by its name."""
    assert "`noise_shape` = " in refusal(model=Sequential([LSTM(3), Dropout(0.5, noise_shape=value)]))


def test_a_mask_value_is_a_number():
    """No step can be told from others by NaN."""
    assert "`mask_value` = nan, but should be a finite number" in refusal(
        model=Sequential([Masking(math.nan), LSTM(3)])
    )


def test_all_problems_of_one_case_are_said_at_once():
    """One error lists the problems of the sizes, of the loss and of every layer."""
    with pytest.raises(BadInput) as raised:
        Case(
            "many",
            Sequential([LSTM(0, dropuot=0.1), Dense(1, activation="rleu")]),
            batch=0,
            loss="mse",
            dtype="f8",
        )
    assert len(raised.value.problems) == 6


def test_sizes_left_open_are_drawn_apart():
    """B >= 2, T >= 4, and D differs from every units, so that no two axes can be confused."""
    case = Case("open", Sequential([LSTM(4, return_sequences=True), Dense(5)]))
    B, T, D = case.input_shape
    assert B >= 2
    assert T >= 4
    assert len({B, T, D, 4, 5}) >= 4
    assert D not in (4, 5)


def test_draw_has_the_dtype_and_scale_that_show_a_wrong_equation():
    """Weights, biases, states, inputs and targets are random and O(1), none of them constant."""
    case = Case("scale", MODEL, 8, 6, 30, dtype="float32", initial_state="random")
    problem = case.problem()
    arrays = {"x": problem.x, "y": problem.y, **problem.weights, **problem.initial_state}
    for name, array in arrays.items():
        assert array.dtype == np.float32, name
        assert array.std() > 0, name
    z = problem.x @ problem.weights["lstm/kernel"]
    assert 0.5 < z.std() < 2
    assert np.abs(problem.weights["lstm/bias"].reshape(4, 5)[1].mean() - 1) < 1


def test_draw_depends_on_name_and_seed_alone():
    """Another name or seed gives other arrays; a copy of the case gives the same."""
    one = Case("one", MODEL).problem()
    assert np.array_equal(Case("one", MODEL).problem().x, one.x)
    assert not np.array_equal(Case("two", MODEL).problem().x, one.x)
    assert not np.array_equal(Case("one", MODEL, seed=1).problem().x, one.x)


def test_a_draw_that_the_loss_cannot_take_is_drawn_again():
    """float32 values of exp(z) that underflow to 0 have no derivative of a power: of 40 names none gives
    such an output, which single draws do.
    """
    model = Sequential([LSTM(4, activation="exponential"), Dense(3, activation="exponential")])
    loss = "categorical_generalized_cross_entropy"
    cases = [Case(f"zero-{k}", model, timesteps=4, loss=loss, dtype="float32") for k in range(40)]
    assert all((case.problem().reference.output > 0).all() for case in cases)
    with pytest.raises(BadInput, match="the derivative at 0 is infinite"):
        assert [lively(cases[0].draw(np.random.default_rng(k))) for k in range(100)]


def test_dead_draws_are_drawn_again():
    """Over 200 names, a relu head of one unit never comes out dead, which single draws often do."""
    model = Sequential([LSTM(3), Dense(1, activation="relu")])
    cases = [Case(f"maybe-dead-{k}", model, batch=2) for k in range(200)]
    assert all(lively(case.problem()) for case in cases)
    first_draws = [case.draw(np.random.default_rng(0)) for case in cases[:1]]
    single = [lively(cases[0].draw(np.random.default_rng(k))) for k in range(100)]
    assert first_draws
    assert not all(single)


def test_one_hot_inputs():
    """One feature of each step is 1, another in most of them; in every batch, and in the dtype."""
    case = Case("tokens", MODEL_OF_TOKENS, 2, 40, 6, dtype="float32", inputs="one_hot", batches=2)
    problem = case.problem()
    for x in (problem.x, *problem.before):
        assert x.dtype == np.float32
        assert set(x.sum(axis=-1).ravel()) == {1}
        assert set(x.argmax(-1).ravel()) == set(range(6))


def test_cancelling_signs_are_drawn_again():
    """The gradient of a bias under a mean absolute error is a sum of signs: it never cancels to zero."""
    model = Sequential([LSTM(3, return_sequences=True), Dense(1)])
    for k in range(100):
        case = Case(f"signs-{k}", model, batch=2, timesteps=4, loss="mean_absolute_error")
        assert case.problem().reference.gradients["dense/bias"] != 0


def test_labels_are_of_the_kind_that_the_loss_takes():
    """Zeros and ones for a binary crossentropy, one-hot rows for a categorical one."""
    sigmoid, softmax = Dense(3, activation="sigmoid"), Dense(3, activation="softmax")
    binary = Case("labels", Sequential([LSTM(4), sigmoid]), loss="binary_crossentropy").problem().y
    assert set(np.unique(binary)) == {0.0, 1.0}
    one_hot = Case("labels", Sequential([LSTM(4), softmax]), loss="categorical_crossentropy").problem().y
    assert (one_hot.sum(axis=-1) == 1).all()
    assert set(np.unique(one_hot)) == {0.0, 1.0}


def test_catalogue_starts_with_the_thread_and_covers_what_it_should():
    """At least 30 cases under unique names, over every dimension that users vary."""
    assert len(CATALOGUE) >= 30
    assert len({case.name for case in CATALOGUE}) == len(CATALOGUE)
    thread = [(repr(case.model), case.input_shape) for case in CATALOGUE[:3]]
    assert thread == [
        ("Sequential([LSTM(8, return_sequences=True), Dense(1, activation='relu')])", (4, 3, 2)),
        ("Sequential([LSTM(8), Dense(1, activation='relu')])", (4, 3, 2)),
        ("Sequential([LSTM(8, return_sequences=True), Flatten(), Dense(1, activation='relu')])", (4, 3, 2)),
    ]
    heads = {
        case.model.layers[-1].activation for case in CATALOGUE if isinstance(case.model.layers[-1], Dense)
    }
    assert heads >= {None, "relu", "tanh", "sigmoid", "softmax"}
    losses = {case.loss for case in CATALOGUE}
    assert {None, "mean_squared_error", "mean_absolute_error"} <= losses
    assert {"binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"} <= losses
    assert {"sample", "step"} <= {case.sample_weight for case in CATALOGUE}
    assert any(case.class_weight for case in CATALOGUE)
    assert {case.dtype for case in CATALOGUE} == {"float32", "float64"}
    assert {1, 2, 7, 50} <= {case.batch for case in CATALOGUE} & {case.timesteps for case in CATALOGUE}
    assert {case.initial_state for case in CATALOGUE} == {"zeros", "random"}
    assert any(sum(isinstance(layer, LSTM) for layer in case.model.layers) == 2 for case in CATALOGUE)
    assert any(not case.model.layers[0].use_bias for case in CATALOGUE)


@pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.name)
def test_every_draw_of_the_catalogue_is_lively(case):
    """No case of the catalogue rests on a dead, cancelling or overflowing draw."""
    problem = case.problem()
    assert lively(problem)
    assert math.isfinite(problem.reference.loss)
