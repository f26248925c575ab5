"""Reductions, sample weights and masks: the factors against Keras's own losses, in every combination."""

import itertools

import numpy as np
import pytest

from reference_impl.activations import softmax
from reference_impl.losses import LOSSES
from reference_impl.losses.reduction import REDUCTIONS
from reference_impl.spec import Named, look_up
from tapecheck.balls import to_balls
from tf_oracle.losses import keras_loss
from tf_oracle.start import load

SHAPES = [(4, 3), (4, 5, 3), (1, 5, 3), (1, 3), (4, 1, 3)]


def in_keras(loss, y_true, y, sample_weight, mask):
    """Keras's loss and its gradient, the sum of it where there is no reduction."""
    tf = load().tf
    outputs = tf.constant(y)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        masked = tf.identity(outputs)
        if mask is not None:
            masked._keras_mask = tf.constant(mask)  # as a layer leaves it
        value = tf.reduce_sum(keras_loss(loss, y.dtype)(y_true, masked, sample_weight))
    return float(value), tape.gradient(value, outputs).numpy()


def weights_and_masks(rng, lead, values_shape):
    """Every kind of sample weight that fits the values, with every kind of mask."""
    weights = [None, rng.uniform(0.5, 2, lead) * (np.arange(np.prod(lead)).reshape(lead) != 1)]
    if values_shape != lead[:1] and len(lead) == 2:
        weights.append(rng.uniform(0.5, 2, (lead[0], 1)))
    if len(values_shape) < len(lead):
        weights[1:] = [rng.uniform(0.5, 2, lead[:1])]
    masks = [None]
    if values_shape in (lead, ()):
        masks += [rng.integers(2, size=lead).astype(bool), np.zeros(lead, bool), np.ones(lead, bool)]
    for weight, mask in itertools.product(weights, masks):
        if weight is None or mask is None or weight.ndim == mask.ndim:
            yield weight, mask


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mean_squared_error", {}),
        ("sparse_categorical_crossentropy", {"ignore_class": 1}),
        ("dice", {}),
        ("dice", {"axis": "samples"}),
        ("circle", {"gamma": 3.0}),  # whose values read each other's rows
    ],
)
def test_factors_are_those_of_keras(name, arguments, shape, reduction):
    """loss = sum(w * values) and dy = w * backward, with every sample weight and mask, all-masked too."""
    if arguments.get("axis"):
        arguments = {"axis": tuple(range(1, len(shape)))}
    if name == "circle" and shape != (4, 3):
        return
    loss = Named(name, reduction=reduction, **arguments)
    found = look_up(LOSSES, loss)
    rng = np.random.default_rng(0)
    y = softmax(rng.standard_normal(shape))
    y_true = found.targets.draw(rng, shape, **found.arguments)
    values = found.value(y_true, y)
    seen = 0
    for weight, mask in weights_and_masks(rng, shape[:-1], values.shape):
        value, gradient = in_keras(loss, y_true, y, weight, mask)
        w = found.factors(y_true, values, weight, mask)
        assert w.shape == values.shape
        assert (w * values).sum() == pytest.approx(value, rel=1e-13, abs=1e-15)
        mine, dy = found.value_and_gradient(y_true, y, weight, mask)
        assert mine == pytest.approx(value, rel=1e-13, abs=1e-15)
        assert dy == pytest.approx(gradient, rel=1e-12, abs=1e-15)
        seen += 1
    assert seen >= 2


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_factors_keep_their_arithmetic(reduction):
    """float32 stays float32, and balls give exact factors: a third is enclosed, not rounded."""
    values, weight = np.ones((3, 2), np.float32), np.full((3, 2), 0.5, np.float32)
    mask = np.array([[True, True], [True, False], [False, False]])
    found = LOSSES["mean_squared_error"].using({"reduction": reduction})
    for given in ((None, None), (weight, None), (None, mask), (weight, mask)):
        assert found.factors(values, values, *given).dtype == np.float32
    balls = found.factors(to_balls(values), to_balls(values), to_balls(weight), mask)
    assert float(sum(balls.ravel())) == pytest.approx(
        float(found.factors(values, values, weight, mask).sum())
    )
    assert max(float(ball.rad()) for ball in balls.ravel()) < 1e-15


def test_all_masked_is_zero():
    """Nothing to average over: the loss is 0, without a division by zero."""
    values = np.ones((2, 3))
    for reduction in REDUCTIONS:
        found = LOSSES["mean_squared_error"].using({"reduction": reduction})
        assert found.factors(values, values, None, np.zeros((2, 3), bool)).tolist() == [[0.0] * 3] * 2
