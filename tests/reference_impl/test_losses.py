"""The table of losses: each derivative against the complex step of its value, each value against Keras."""

import numpy as np
import pytest

import tf_oracle.start
import tf_oracle.tape
from reference_impl.losses import FROM_LOGITS, LOSSES, REAL, absolute, sign
from reference_impl.losses import sigmoid as sigmoid_of

STEP = 1e-100
EVERY = {str(name): loss for name, loss in LOSSES.items()} | {
    f"{name} from the logits of {head}": loss for (name, head), loss in FROM_LOGITS.items()
}


def drawn(loss, shape, from_logits):
    """Targets of the loss's kind, and outputs within its range."""
    rng = np.random.default_rng(2)
    y_pred = rng.standard_normal(shape)
    if loss.targets is not REAL and not from_logits:
        y_pred = sigmoid_of(y_pred)
    return loss.targets.draw(rng, shape), y_pred


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3)])
def test_derivative_is_that_of_the_value(name, shape):
    """`backward` is the gradient of `value`, entry by entry, with its mean over samples and steps."""
    loss = EVERY[name]
    y_true, y_pred = drawn(loss, shape, "logits" in name)
    expected = np.empty(shape)
    for index in np.ndindex(shape):
        moved = y_pred.astype(complex)
        moved[index] += STEP * 1j
        expected[index] = loss.value(y_true, moved).imag / STEP
    found = loss.backward(y_true, y_pred)
    assert found.shape == shape
    assert np.abs(found - expected).max() <= 8 * np.finfo(float).eps * np.abs(expected).max()


@pytest.mark.parametrize("name", [name for name in LOSSES if name])
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3)])
def test_value_is_that_of_keras(name, shape):
    """The value, reduction included, is that of the Keras loss of the same name, on plain outputs."""
    y_true, y_pred = drawn(LOSSES[name], shape, False)
    keras = float(tf_oracle.tape.keras_loss(name, y_pred.dtype)(y_true, y_pred))
    assert abs(float(LOSSES[name].value(y_true, y_pred)) - keras) <= 8 * np.finfo(float).eps * keras


@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy"])
def test_clipped_outputs_have_no_gradient_as_in_keras(name):
    """Outputs outside [1e-7, 1 - 1e-7] are clipped by Keras, so nothing flows back through them."""
    tf = tf_oracle.start.load().tf
    y_true = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    y_pred = np.array([[1.0, 1e-9, 1e-9], [1e-9, 0.3, 0.7 - 1e-9]])
    outputs = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        value = tf_oracle.tape.keras_loss(name, y_pred.dtype)(y_true, outputs)
    keras = tape.gradient(value, outputs).numpy()
    found = LOSSES[name].backward(y_true, y_pred)
    assert (found == 0).any()
    assert np.abs(found - keras).max() <= 8 * np.finfo(float).eps * np.abs(keras).max()


def test_saturated_sigmoid_keeps_its_digits():
    """From the logits, the gradient of a confident and right answer is tiny, not zero or NaN."""
    loss = FROM_LOGITS["binary_crossentropy", "sigmoid"]
    z, y_true = np.array([[40.0, -40.0]]), np.array([[0.0, 0.0]])
    assert loss.backward(y_true, z)[0, 1] == pytest.approx(np.exp(-40.0) / 2, rel=1e-12)
    assert float(loss.value(y_true, z)) == pytest.approx(20.0)


def test_sign_and_absolute_at_zero():
    """The derivative of |d| at 0 is 0, as TensorFlow has it."""
    d = np.array([-2.0, 0.0, 3.0])
    assert sign(d).tolist() == [-1.0, 0.0, 1.0]
    assert absolute(d).tolist() == [2.0, 0.0, 3.0]


@pytest.mark.parametrize(
    ("name", "y", "said"),
    [
        ("binary_crossentropy", [[0.0, 1.5]], "holds 1.5, but should be within [0, 1]"),
        ("binary_crossentropy", [[-1.0, 1.0]], "holds -1.0"),
        ("categorical_crossentropy", [[1.0, 1.0]], "sums to 2.0, but should sum to 1"),
        ("categorical_crossentropy", [[0.0, 0.0]], "sums to 0.0"),
        ("categorical_crossentropy", [[-0.5, 1.5]], "within [0, 1]"),
    ],
)
def test_labels_that_a_loss_cannot_take_are_named(name, y, said):
    """Labels outside a crossentropy's range are refused with the value and what it should be."""
    assert said in LOSSES[name].targets.problem(np.array(y))


def test_soft_labels_are_taken():
    """Label smoothing within the range is no mistake."""
    assert LOSSES["binary_crossentropy"].targets.problem(np.array([[0.1, 0.9]])) is None
    assert LOSSES["categorical_crossentropy"].targets.problem(np.array([[0.1, 0.2, 0.7]])) is None
