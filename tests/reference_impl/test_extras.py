"""Masks, dropout, time reversed and final states: what each leaves untouched, and what each is made of.

Whether their gradients are right is asked of the whole catalogue (tests/test_gradients.py); here are the
properties that a gradient check cannot see.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl import (
    LSTM,
    Activation,
    BadInput,
    Dense,
    Dropout,
    Flatten,
    Inputs,
    Masking,
    RepeatVector,
    Sequential,
    TimeDistributed,
    textbook,
)
from tapecheck import Case
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.masks import MASKS


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    mask=st.sampled_from([None, *MASKS]),
    go_backwards=st.booleans(),
    zero_output_for_mask=st.booleans(),
    return_sequences=st.booleans(),
    return_state=st.booleans(),
    activation=st.sampled_from(["tanh", "softmax", "relu"]),
    factors=st.sampled_from([(None, None), (1, None), (4, None), (None, 4), (4, 4)]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_fast_form_is_the_textbook(
    mask, go_backwards, zero_output_for_mask, return_sequences, return_state, activation, factors, dtype, seed
):
    """With every combination of the extras the fast form gives the textbook's output and gradients."""
    of_x, of_h = factors
    layer = LSTM(
        4,
        activation=activation,
        go_backwards=go_backwards,
        zero_output_for_mask=zero_output_for_mask,
        return_sequences=return_sequences,
        return_state=return_state,
        dropout=0.4 if of_x else 0.0,
        recurrent_dropout=0.4 if of_h else 0.0,
        implementation=1 if of_x == 4 else 2,
    )
    model = Sequential([layer])
    case = Case("extras", model, 3, 5, 6, None, dtype, initial_state="random", seed=seed, mask=mask)
    problem = case.draw(np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    drawn = {
        name: (rng.integers(0, 2, shape) / 0.6).astype(dtype)
        for name, shape in model.dropout_shapes(problem.x.shape).items()
    }
    problem = replace(problem, dropout=drawn)
    exact = textbook.backpropagate(model, problem.map(lambda array: array.astype(np.longdouble)), None)
    same = textbook.backpropagate(model, problem, None)
    output, _, gradients = model.run(problem, None)
    for name, found in {"output": output, **gradients}.items():
        true = exact.gradients.get(name, exact.output)
        own = errors(name, same.gradients.get(name, same.output), true, problem.dtype).max()
        assert found.dtype == problem.dtype
        assert errors(name, found, true, problem.dtype).max() <= FACTOR * max(own, FLOOR), name


def test_a_masked_step_is_as_if_it_had_not_been():
    """Whatever stands in x at masked steps, no output of a later step and no gradient changes, and the
    gradient of x there is zero.
    """
    case = Case("masked", Sequential([LSTM(4), Dense(2)]), 3, 6, 5, mask="random", initial_state="random")
    problem = case.problem()
    other = replace(problem, x=np.where(problem.mask[:, :, None], problem.x, 1e3))
    first, second = problem.reference, other.reference
    assert first.output.tobytes() == second.output.tobytes()
    for name, gradient in first.gradients.items():
        assert gradient.tobytes() == second.gradients[name].tobytes(), name
    assert not first.gradients["x"][~problem.mask].any()


def test_trailing_masks_are_shorter_sequences():
    """A row padded at its end gives the last output of the row cut to its length."""
    case = Case("padded", Sequential([LSTM(4)]), 3, 6, 5, mask="trailing", initial_state="random")
    problem = case.problem()
    output = problem.reference.output
    for row, length in enumerate(problem.mask.sum(axis=1)):
        states = {name: state[row : row + 1] for name, state in problem.initial_state.items()}
        alone = case.model.predict(
            problem.weights, problem.x[row : row + 1, :length].copy(), initial_state=states
        )
        # a product of one row adds up in another order than one of three: a few roundings a step
        assert np.allclose(alone[0], output[row], rtol=1e-13, atol=1e-15)


def test_what_a_masked_step_puts_out():
    """A masked step repeats the last output, zeros before the first one and not the initial state; with
    zero_output_for_mask it is zero.
    """
    mask = np.array([[False, True, False, True, False]])
    for zero in (False, True):
        layer = LSTM(3, return_sequences=True, zero_output_for_mask=zero)
        case = Case("put-out", Sequential([layer]), 1, 5, 4, initial_state="random")
        output = case.model.forward(replace(case.problem(), mask=mask)).output[0]
        assert not output[0].any()
        assert output[1].any()
        assert np.array_equal(output[2], 0 * output[1] if zero else output[1])
        assert np.array_equal(output[4], 0 * output[3] if zero else output[3])


def test_a_row_without_a_step_keeps_its_states():
    """Where all steps of a row are masked its output is zero and its final states are the initial ones."""
    case = Case("row", Sequential([LSTM(3, return_state=True)]), 3, 5, 4, mask="row", initial_state="random")
    problem = case.problem()
    run = case.model.forward(problem)
    assert not run.output[-1].any()
    for k in "hc":
        assert np.array_equal(
            run.final_state[f"lstm/final_{k}"][-1], problem.initial_state[f"lstm/initial_{k}"][-1]
        )


def test_backwards_is_the_reversed_input():
    """go_backwards gives what the same layer gives for x in the opposite order, in the order computed."""
    forward, backward = (
        Sequential([LSTM(4, return_sequences=True, go_backwards=backwards)]) for backwards in (False, True)
    )
    problem = Case("order", forward, 3, 5, 6).problem()
    reversed_x = problem.x[:, ::-1].copy()
    assert np.array_equal(
        backward.predict(problem.weights, problem.x), forward.predict(problem.weights, reversed_x)
    )


def test_states_go_on_to_the_next_batch():
    """Three batches through a stateful layer are one long sequence; after a reset they are not."""
    stateful, plain = Sequential([LSTM(4, stateful=True)]), Sequential([LSTM(4)])
    problem = Case("carry", stateful, 3, 5, 6, batches=3).problem()
    whole = np.concatenate([*problem.before, problem.x], axis=1)
    found = stateful.forward(problem).output
    # the same steps in one call and in four: products may add up in other orders, some roundings a step
    assert np.allclose(found, plain.predict(problem.weights, whole), rtol=1e-13, atol=1e-15)
    reset = replace(problem, before=(*problem.before, None))
    assert np.array_equal(stateful.forward(reset).output, plain.predict(problem.weights, problem.x))


def test_masking_finds_the_steps_that_are_one_value():
    """A step is masked where all its features are the value, not where one is; masked steps become zero."""
    x = np.ones((2, 3, 2))
    x[0, 1] = 7.0
    x[1, 2, 0] = 7.0
    layer = Masking(7.0)
    assert layer.output_mask(x, None).tolist() == [[True, False, True], [True, True, True]]
    y, cache = layer.forward({}, x, {})
    assert not y[0, 1].any()
    assert np.array_equal(y[1], x[1])
    assert not layer.backward({}, cache, np.ones_like(x))["x"][0, 1].any()


@pytest.mark.parametrize(
    ("layer", "goes_on"),
    [
        (Dense(2), True),
        (Dropout(0.5), True),
        (Activation("tanh"), True),
        (TimeDistributed(Dense(2)), True),
        (LSTM(2, return_sequences=True), True),
        (LSTM(2, return_sequences=True, go_backwards=True), True),
        (LSTM(2), False),
        (Flatten(), False),
    ],
    ids=repr,
)
def test_where_a_mask_goes_on(layer, goes_on):
    """The mask after each layer is the one that Keras attaches to its output."""
    from tf_oracle.models import twin_of
    from tf_oracle.start import load

    x, mask = np.ones((2, 3, 4)), np.array([[True, False, True], [False, True, True]])
    assert (layer.output_mask(x, mask) is not None) == goes_on
    tensor = load().tf.constant(x)
    load().keras.src.backend.set_keras_mask(tensor, load().tf.constant(mask))
    twin = twin_of(layer, "layer", "float64")
    if goes_on:
        kept = load().keras.src.backend.get_keras_mask(twin(tensor))
        assert np.array_equal(kept.numpy(), layer.output_mask(x, mask))
    elif not isinstance(layer, Flatten):
        assert load().keras.src.backend.get_keras_mask(twin(tensor)) is None
    else:
        with pytest.warns(UserWarning, match="does not support masking"):
            assert load().keras.src.backend.get_keras_mask(twin(tensor)) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"mask": np.ones((3, 4), bool)},
            "`mask` has shape (3, 4), but should be (batch, timesteps) = (3, 5)",
        ),
        ({"mask": np.ones((3, 5))}, "`mask` is float64, but should be a NumPy array of bool"),
        ({"mask": [[True]]}, "`mask` is a list, but should be a NumPy array of bool"),
        (
            {"dropout": {"lstm/dropout_mask": np.ones((2, 3, 6))}},
            "has shape (2, 3, 6), but should be (1, 3, 6)",
        ),
        ({"dropout": {"lstm/droput_mask": np.ones((1, 3, 6))}}, "did you mean 'lstm/dropout_mask'?"),
        ({"upstream": {"lstm/final_h": np.ones((3, 4))}}, "no upstream gradient is named 'lstm/final_h'"),
        ({"before": (np.ones((3, 4, 6)),)}, "'before[0]' has shape (3, 4, 6), but should be (3, 5, 6)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, said):
    """A mask, factors, gradients or batches of another shape or kind are named, and nothing is computed."""
    model = Sequential([LSTM(4, dropout=0.5)])
    problem = Case("fits", model, 3, 5, 6).problem()
    with pytest.raises(BadInput) as raised:
        model.run(replace(problem, **change), problem.loss)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([LSTM(3, return_state=True), Dense(2)], "layer 0 (lstm): `return_state` = True, but only the last"),
        ([LSTM(3), LSTM(2)], "layer 1 (lstm_1): takes an input of shape (batch, timesteps, features)"),
        (
            [LSTM(3, return_sequences=True), RepeatVector(2)],
            "layer 1 (repeat_vector): takes an input of shape",
        ),
        ([LSTM(3), TimeDistributed(Dense(2))], "layer 1 (time_distributed): takes an input of shape"),
        ([LSTM(3), Masking()], "layer 1 (masking): takes an input of shape"),
        ([TimeDistributed(LSTM(2))], "layer 0 (time_distributed): `layer` = LSTM(2), but should be a Dense"),
        ([TimeDistributed(Dense(0))], "inside it, `units` = 0"),
        (
            [LSTM(3), Dropout(0.5, noise_shape=(2, 3))],
            "`noise_shape` = (2, 3), but should be a tuple of 1, None or",
        ),
        ([LSTM(3, bias_initializer="orthogonal")], "orthogonal takes two"),
        ([LSTM(3, kernel_initializer="stft")], "Fourier"),
        ([LSTM(3, implementation=3, use_cudnn="no")], "`implementation` = 3, but should be 1 or 2"),
    ],
)
def test_stacks_that_cannot_be_are_refused(layers, said):
    """Each is named with its position, its argument and what it should be."""
    assert said in str(Sequential(layers).problems((3, 5, 4)))


def test_inputs_in_other_numbers():
    """`map` reaches every array but the mask, and `with_tensors` changes those that are named."""
    case = Case(
        "map", Sequential([LSTM(3, stateful=True, return_state=True)]), mask="random", batches=3, resets=(1,)
    )
    problem = case.problem()
    wide = problem.map(lambda array: array.astype(np.longdouble))
    arrays = [wide.x, wide.y, *wide.weights.values(), *wide.upstream.values(), wide.before[0], wide.before[2]]
    assert {array.dtype for array in arrays} == {np.dtype(np.longdouble)}
    assert wide.before[1] is None
    assert wide.mask is problem.mask
    moved = problem.with_tensors({"x": 0 * problem.x})
    assert not moved.x.any()
    assert moved.weights == problem.weights
    assert isinstance(moved, Inputs)
