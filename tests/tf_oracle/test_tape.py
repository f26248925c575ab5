"""The Keras twin: built from the spec's fields, exact in its dtype, deterministic."""

import numpy as np
import pytest

import tf_oracle
from reference_impl import LSTM, Dense, Flatten, Sequential
from tapecheck import Case
from tf_oracle.models import build, set_weights
from tf_oracle.start import load

CASE = Case("twin", Sequential([LSTM(5, return_sequences=True), Dense(2, activation="tanh")]), 3, 6, 4)


def run(case):
    """The oracle's pass on a case."""
    p = case.problem()
    return tf_oracle.run(p.model, p, p.loss)


def test_twin_is_a_real_keras_sequential():
    """The layers are Keras's own classes with the spec's arguments, in a keras.Sequential."""
    keras = load().keras
    model = Sequential(
        [
            LSTM(5, activation="relu", use_bias=False, return_sequences=True),
            Flatten(),
            Dense(2, activation="relu"),
        ]
    )
    twin = build(model, (3, 6, 4), "float64")
    assert isinstance(twin, keras.Sequential)
    assert [type(layer) for layer in twin.layers] == [
        keras.layers.LSTM,
        keras.layers.Flatten,
        keras.layers.Dense,
    ]
    lstm, _, dense = twin.layers
    assert (lstm.units, lstm.use_bias, lstm.return_sequences) == (5, False, True)
    assert lstm.activation is keras.activations.relu
    assert dense.activation is keras.activations.relu
    assert {variable.dtype for variable in twin.weights} == {"float64"}


def test_unit_forget_bias_reaches_keras():
    """The one argument that only initial weights show: the forget gate's block of Keras's own bias."""
    for flag in (True, False):
        twin = build(Sequential([LSTM(3, unit_forget_bias=flag)]), (2, 4, 5), "float32")
        assert twin.layers[0].cell.bias.numpy().reshape(4, 3)[1].tolist() == [float(flag)] * 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pass_agrees_with_calling_keras_as_a_user_would(dtype):
    """Output, loss and gradients are those of `model(x)` and a Keras loss under a tape, to the bit."""
    tf, keras = load()
    case = Case("twin-plain", CASE.model, 3, 6, 4, dtype=dtype)
    p = case.problem()
    ours = run(case)
    twin = build(p.model, p.x.shape, dtype)
    set_weights(twin, p.weights)
    with tf.GradientTape() as tape:
        output = twin(p.x)
        loss = keras.losses.MeanSquaredError(dtype=dtype)(p.y, output)
    gradients = tape.gradient(loss, twin.trainable_variables)
    assert ours.output.tobytes() == output.numpy().tobytes()
    assert ours.loss == float(loss)
    for name, gradient in zip(p.weights, gradients, strict=True):
        assert ours.gradients[name].tobytes() == gradient.numpy().tobytes(), name


def test_every_gradient_is_float64_when_the_case_is():
    """Nothing is computed in float32 on the way, loss included."""
    found = run(CASE)
    assert {g.dtype.name for g in found.gradients.values()} == {"float64"}
    assert np.float64(np.float32(found.loss)) != found.loss


def test_two_runs_give_the_same_bits():
    """The oracle is deterministic."""
    one, other = run(CASE), run(CASE)
    for name, gradient in one.gradients.items():
        assert gradient.tobytes() == other.gradients[name].tobytes(), name


def test_initial_states_reach_keras():
    """Another initial state gives another output, and gradients with respect to it."""
    zero = run(Case("twin-state", CASE.model, 3, 6, 4))
    drawn = run(Case("twin-state", CASE.model, 3, 6, 4, initial_state="random"))
    assert not np.array_equal(zero.output, drawn.output)
    assert drawn.gradients["lstm/initial_h"].any()
    assert drawn.gradients["lstm/initial_c"].any()


def test_unused_weights_have_a_zero_gradient():
    """A tensor that the loss does not depend on gets zeros of its shape, not None."""
    one_step = run(Case("twin-one-step", Sequential([LSTM(5), Dense(2)]), 3, 1, 4))
    assert not one_step.gradients["lstm/recurrent_kernel"].any()
