"""Regularizers in a model: what they add to the loss, and where they cannot act.

That the gradients are right is proven with those of every named case (`tests/test_gradients.py`).
"""

from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, BadInput, Dense, Inputs, Named, Sequential, TimeDistributed
from tapecheck import Case

L2 = Named("l2", l2=0.5)


def inputs_of(model, y):
    """Random inputs (3, 4, 5) for the model, with a target of that shape."""
    rng = np.random.default_rng(0)
    return Inputs(rng.standard_normal((3, 4, 5)), rng.standard_normal(y), model.init(rng, (3, 4, 5)))


@pytest.mark.parametrize(
    ("layers", "y", "penalty"),
    [
        ([LSTM(2, kernel_regularizer=L2)], (3, 2), lambda w, out: 0.5 * (w["lstm/kernel"] ** 2).sum()),
        ([LSTM(2, bias_regularizer=L2)], (3, 2), lambda w, out: 0.5 * (w["lstm/bias"] ** 2).sum()),
        (
            [LSTM(2, recurrent_regularizer="l1")],
            (3, 2),
            lambda w, out: 0.01 * np.abs(w["lstm/recurrent_kernel"]).sum(),
        ),
        (
            [LSTM(2, return_sequences=True, activity_regularizer=L2)],
            (3, 4, 2),
            lambda w, out: 0.5 * (out**2).sum() / 3,
        ),
        (
            [LSTM(2, return_sequences=True), TimeDistributed(Dense(2, kernel_regularizer=L2))],
            (3, 4, 2),
            lambda w, out: 0.5 * (w["time_distributed/kernel"] ** 2).sum(),
        ),
        ([LSTM(2, use_bias=False, bias_regularizer=L2)], (3, 2), lambda w, out: 0),
    ],
)
def test_penalty_is_part_of_the_loss(layers, y, penalty):
    """A weight's penalty is added as it is, that of outputs divided by the batch size, and that of a bias
    that the layer does not have is none, as in Keras.
    """
    model = Sequential(layers)
    plain = Sequential([replace(layer, **dict.fromkeys(regularizers(layer))) for layer in layers])
    inputs = inputs_of(model, y)
    output, value, _ = model.run(inputs, "mean_squared_error")
    if isinstance(layers[-1], TimeDistributed):
        plain = Sequential([layers[0], TimeDistributed(Dense(2))])
    _, without, _ = plain.run(inputs, "mean_squared_error")
    assert value - without == pytest.approx(penalty(inputs.weights, output), rel=1e-12, abs=1e-15)


def regularizers(layer):
    """The names of a layer's regularizer arguments."""
    return [name for name in layer.arguments() if name.endswith("_regularizer")]


ORTHOGONAL = "orthogonal_regularizer"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([Dense(2, kernel_regularizer="l3")], "layer 0 (dense): `kernel_regularizer` = 'l3', but should be"),
        ([LSTM(2, recurrent_constraint="x")], "layer 0 (lstm): `recurrent_constraint` = 'x', but should be"),
        (
            [LSTM(2, bias_regularizer=ORTHOGONAL)],
            f"`bias_regularizer` = {ORTHOGONAL!r} on an array of shape (8,)",
        ),
        (
            [LSTM(1, recurrent_regularizer=ORTHOGONAL)],
            f"= {ORTHOGONAL!r} on an array of shape (1, 4), but one row",
        ),
        (
            [LSTM(2, return_sequences=True, activity_regularizer=ORTHOGONAL)],
            f"`activity_regularizer` = {ORTHOGONAL!r} on an array of shape (3, 4, 2), but",
        ),
        (
            [LSTM(2), Dense(3, bias_constraint=Named("unit_norm", axis=1))],
            "layer 1 (dense): `bias_constraint` = Named('unit_norm', axis=1), but a weight of shape (3,)",
        ),
    ],
)
def test_regularizer_or_constraint_that_cannot_act_is_refused(layers, said):
    """Wrong names, and arrays that Keras's own would raise on or divide by zero on, are said at once."""
    with pytest.raises(BadInput) as caught:
        Case("bad", Sequential(layers), 3, 4, 5)
    assert said in str(caught.value)
