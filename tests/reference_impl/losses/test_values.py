"""Every loss of the table: its values and its derivative against Keras's own, the complex step and balls."""

import numpy as np
import pytest
from flint import arb, ctx

from reference_impl.activations import softmax, softplus
from reference_impl.arithmetic import absolute, largest, sign
from reference_impl.losses import LOSSES
from reference_impl.spec import Named, look_up
from tapecheck.balls import middles, to_balls
from tapecheck.compare import FACTOR, FLOOR
from tf_oracle.losses import keras_loss
from tf_oracle.start import load

STEP = 1e-100
SHAPES = [(6, 3), (2, 5, 3)]
CHOSEN = [
    *(name for name in LOSSES if name),
    Named("huber", delta=0.5),
    Named("binary_crossentropy", label_smoothing=0.1),
    Named("binary_crossentropy", from_logits=True),
    Named("binary_crossentropy", from_logits=True, label_smoothing=0.1),
    Named("categorical_crossentropy", label_smoothing=0.1),
    Named("categorical_crossentropy", from_logits=True),
    Named("categorical_crossentropy", from_logits=True, label_smoothing=0.1),
    Named("sparse_categorical_crossentropy", from_logits=True),
    Named("sparse_categorical_crossentropy", ignore_class=1),
    Named("sparse_categorical_crossentropy", ignore_class=-1, from_logits=True),
    Named("binary_focal_crossentropy", apply_class_balancing=True, alpha=0.7, label_smoothing=0.2),
    Named("binary_focal_crossentropy", apply_class_balancing=True, from_logits=True, gamma=1.3),
    Named("categorical_focal_crossentropy", gamma=0.5, label_smoothing=0.1),
    Named("categorical_focal_crossentropy", alpha=(0.1, 0.2, 0.7), from_logits=True),
    Named("categorical_generalized_cross_entropy", q=0.3),
    Named("dice", axis=-1),
    Named("tversky", alpha=0.2, beta=0.9),
    Named("tversky", alpha=0.2, beta=0.9, axis=(-1,)),
    Named("circle", gamma=3.0, margin=0.1, remove_diagonal=False),
]
# Those that take outputs within [0, 1], by the targets that they take.
OF_PROBABILITIES = ("draw_binary", "draw_one_hot", "draw_distributions", "draw_labels", "draw_counts")
EVERY = [
    pytest.param(loss, shape, id=f"{loss}-{shape}")
    for loss in CHOSEN
    for shape in SHAPES
    if not look_up(LOSSES, loss).fits(shape, **look_up(LOSSES, loss).arguments)
]

# Keras computes ctc in float32 whatever it is given.
IN_KERAS = [
    pytest.param(*each.values, dtype, id=f"{each.id}-{dtype}")
    for each in EVERY
    for dtype in ("float64", "float32")
    if (each.values[0], dtype) != ("ctc", "float64")
]


def drawn(found, shape, dtype="float64"):
    """Targets as the loss draws them, and outputs within its range."""
    rng = np.random.default_rng(2)
    y = rng.standard_normal(shape)
    if found.targets.draw.__name__ in OF_PROBABILITIES and not found.from_logits:
        y = softmax(y)
    return found.targets.draw(rng, shape, **found.arguments).astype(dtype), y.astype(dtype)


def exactly(found, y_true, y):
    """Values and derivative in ball arithmetic."""
    with ctx.workprec(160):
        balls = to_balls(y_true), to_balls(y)
        found_in_balls = {"value": found.value(*balls), "backward": found.backward(*balls)}
        return tuple(middles(found_in_balls).values())


def error(candidate, exact, eps):
    """Largest error in eps of scale."""
    assert candidate.shape == exact.shape
    return np.abs(candidate - exact).max() / np.abs(exact).max() / eps


def in_keras(loss, y_true, y):
    """Keras's values, one a sample, and the derivative of their sum, on a plain tensor."""
    tf = load().tf
    outputs = tf.constant(y)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        values = keras_loss(loss, y.dtype).call(tf.constant(y_true), outputs)
    return values.numpy(), tape.gradient(values, outputs).numpy()


@pytest.mark.parametrize(("loss", "shape"), EVERY)
def test_derivative_is_that_of_the_value(loss, shape):
    """`backward` in balls is the complex step of `value`, entry by entry: two ways that share no line."""
    found = look_up(LOSSES, loss)
    y_true, y = drawn(found, shape)
    expected = np.empty(shape)
    for index in np.ndindex(shape):
        moved = y.astype(complex)
        moved[index] += STEP * 1j
        expected[index] = found.value(y_true.astype(complex), moved).sum().imag / STEP
    assert error(expected, exactly(found, y_true, y)[1], np.finfo(float).eps) <= FACTOR * FLOOR


@pytest.mark.parametrize(("loss", "shape", "dtype"), IN_KERAS)
def test_values_and_derivative_are_those_of_keras(loss, shape, dtype):
    """Keras's own `call` and its tape, and the table in the same dtype, agree with the exact numbers."""
    found = look_up(LOSSES, loss)
    y_true, y = drawn(found, shape, dtype)
    eps = np.finfo(dtype).eps
    for mine, keras, exact in zip(
        (found.value(y_true, y), found.backward(y_true, y)),
        in_keras(loss, y_true, y),
        exactly(found, y_true, y),
        strict=True,
    ):
        assert mine.dtype == keras.dtype == np.dtype(dtype)
        assert error(keras, exact, eps) <= FACTOR * FLOOR
        assert error(mine, exact, eps) <= FACTOR * max(error(keras, exact, eps), FLOOR)


@pytest.mark.parametrize("name", ["binary_crossentropy", "categorical_crossentropy", "kl_divergence"])
def test_clipped_outputs_have_no_gradient_as_in_keras(name):
    """Outputs outside [1e-7, 1 - 1e-7] are clipped by Keras, so nothing flows back through them."""
    y_true = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    y = np.array([[1.0, 1e-9, 1e-9], [1e-9, 0.3, 0.7 - 1e-9]])
    keras = in_keras(name, y_true, y)[1]
    found = LOSSES[name].using({}).backward(y_true, y)
    assert (found == 0).any()
    assert np.abs(found - keras).max() <= 8 * np.finfo(float).eps * np.abs(keras).max()


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "categorical_hinge", "mean_absolute_error"])
def test_kinks_have_the_derivative_that_tensorflow_gives_them(loss):
    """At a margin of exactly 1, at equal rivals and at an error of 0 every side makes the same choice."""
    labels = np.array([[1.0, -1.0, 1.0]]) if loss[0] in "hs" else np.array([[1.0, 0.0, 0.0]])
    for y in ([[1.0, -1.0, 0.5]], [[0.5, 0.5, 0.5]], [[1.0, 0.0, 0.0]], [[2.0, -1.0, -1.0]]):
        keras = in_keras(loss, labels, np.array(y))[1]
        assert LOSSES[loss].using({}).backward(labels, np.array(y)).tolist() == keras.tolist()


def test_hinge_takes_both_kinds_of_labels():
    """Labels 0 and 1 are -1 and 1, in Keras and here."""
    y_true, y = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.3, -0.2], [2.0, 0.1]])
    found = LOSSES["hinge"].using({})
    assert found.value(y_true, y).tolist() == found.value(2 * y_true - 1, y).tolist()
    assert found.value(y_true, y) == pytest.approx(in_keras("hinge", y_true, y)[0])


def test_saturated_sigmoid_keeps_its_digits():
    """From the logits, the gradient of a confident and right answer is tiny, not zero or NaN."""
    found = LOSSES["binary_crossentropy"].using({"from_logits": True})
    z, y_true = np.array([[40.0, -40.0]]), np.array([[0.0, 0.0]])
    assert found.backward(y_true, z)[0, 1] == pytest.approx(np.exp(-40.0) / 2, rel=1e-12)
    assert found.value(y_true, z).item() == pytest.approx(20.0)


def test_ctc_of_long_sequences_does_not_underflow():
    """100 steps of 20 labels, equal neighbours among them: a probability that no float64 holds."""
    rng = np.random.default_rng(0)
    z = 40 * rng.standard_normal((1, 100, 4))
    y_true = np.zeros((1, 100))
    y_true[0, :20] = rng.integers(1, 4, 20)
    found = LOSSES["ctc"].using({})
    value, gradient = exactly(found, y_true, z)
    assert value > 745  # exp(-745) is the smallest float64
    assert error(found.value(y_true, z), value, np.finfo(float).eps) <= FACTOR * FLOOR
    assert error(found.backward(y_true, z), gradient, np.finfo(float).eps) <= FACTOR * FLOOR


def test_ctc_without_labels_is_the_probability_of_blanks():
    """An empty sequence has one alignment: a blank at every step."""
    z = np.random.default_rng(1).standard_normal((1, 4, 3))
    value = LOSSES["ctc"].using({}).value(np.zeros((1, 4)), z)
    assert value == pytest.approx(-np.log(softmax(z))[0, :, 0].sum())


def test_circle_of_a_sample_without_a_partner_is_zero():
    """Samples that are the only one of their class count neither in the loss nor in its mean."""
    found = LOSSES["circle"].using({})
    y_true, y = drawn(found, (5, 3))
    y_true = np.array([0.0, 1.0, 0.0, 2.0, 1.0])
    values, gradient = in_keras("circle", y_true, y)
    assert found.value(y_true, y)[3] == values[3] == 0
    assert (
        np.abs(found.backward(y_true, y) - gradient).max()
        <= 64 * np.finfo(float).eps * np.abs(gradient).max()
    )
    w = found.factors(y_true, found.value(y_true, y))
    assert w.tolist() == [0.25, 0.25, 0.25, 0, 0.25]

    tf, weight = load().tf, np.array([1.0, 0.5, 2.0, 4.0, 0.0])
    outputs = tf.constant(y)
    with tf.GradientTape() as tape:  # its output is in the values of the others, with their factors
        tape.watch(outputs)
        whole = keras_loss("circle", y.dtype)(y_true, outputs, weight)
    value, dy = found.value_and_gradient(y_true, y, weight)
    assert value == pytest.approx(float(whole), rel=1e-13)
    assert dy[3].all()
    assert dy == pytest.approx(tape.gradient(whole, outputs).numpy(), rel=1e-11)


def test_pieces():
    """|d|, its sign at 0, a softplus that never overflows, and every largest entry, balls included."""
    d = np.array([-2.0, 0.0, 3.0])
    assert sign(d).tolist() == [-1.0, 0.0, 1.0]
    assert absolute(d).tolist() == [2.0, 0.0, 3.0]
    assert softplus(np.array([-1e4, 1e4])).tolist() == [0.0, 1e4]
    assert largest(np.array([[1.0, 3.0, 3.0]])).tolist() == [[False, True, True]]
    third = arb(1) / 3
    assert largest(np.array([[third, arb(0), arb(0)]], object)).tolist() == [[True, False, False]]
