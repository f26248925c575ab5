"""The table of initializers: what each draws, against Keras's own draw."""

import numpy as np
import pytest

from reference_impl import LSTM, BadInput, Dense, Named, Sequential
from reference_impl.initializers import INITIALIZERS
from reference_impl.spec import look_up
from tf_oracle.models import initializer_of

SHAPE = (300, 200)
CASES = [
    *INITIALIZERS,
    Named("constant", value=0.3),
    Named("random_normal", mean=0.2, stddev=0.4),
    Named("random_uniform", minval=-1.0, maxval=0.5),
    Named("truncated_normal", mean=-0.5, stddev=2.0),
    Named("variance_scaling", scale=3.0, mode="fan_out", distribution="uniform"),
    Named("variance_scaling", scale=0.5, mode="fan_avg", distribution="untruncated_normal"),
    Named("orthogonal", gain=2.0),
    Named("identity", gain=-1.5),
]


def both(initializer, shape):
    """A draw of ours and one of Keras's."""
    ours = look_up(INITIALIZERS, initializer).draw(np.random.default_rng(5), shape)
    return ours, np.asarray(initializer_of(initializer, "test")(shape, "float64"))


@pytest.mark.parametrize("initializer", CASES, ids=repr)
def test_drawn_from_the_distribution_that_keras_draws_from(initializer):
    """Of 60,000 draws the mean, the standard deviation and every tenth part are those of Keras's draws."""
    ours, keras = both(initializer, SHAPE)
    spread = keras.std() + 1e-6  # Keras rounds a constant to float32
    assert abs(ours.mean() - keras.mean()) < 0.02 * spread
    assert abs(ours.std() - keras.std()) < 0.02 * spread
    tenths = np.linspace(0.1, 0.9, 9)
    assert np.abs(np.quantile(ours, tenths) - np.quantile(keras, tenths)).max() < 0.03 * spread
    np.testing.assert_allclose(np.abs(ours).max(), np.abs(keras).max(), rtol=0.15)  # where it is cut off


@pytest.mark.parametrize("shape", [(3, 7), (7, 3)])
def test_orthogonal(shape):
    """The fewer of rows and columns are orthonormal, as Keras's are."""
    for drawn in both("orthogonal", shape):
        drawn = drawn if shape[0] < shape[1] else drawn.T
        np.testing.assert_allclose(drawn @ drawn.T, np.eye(3), atol=1e-14)  # some roundings of 1e-16


def test_a_model_draws_by_its_layers_initializers():
    """Every weight is what its own argument says, the forget gate's bias of ones among them."""
    model = Sequential(
        [
            LSTM(
                2,
                kernel_initializer="ones",
                recurrent_initializer=Named("constant", value=2.0),
                bias_initializer=Named("constant", value=3.0),
            ),
            Dense(2, kernel_initializer="identity", bias_initializer=Named("constant", value=4.0)),
        ]
    )
    weights = model.init(np.random.default_rng(0), (1, 3, 2))
    np.testing.assert_array_equal(weights["lstm/kernel"], np.ones((2, 8)))
    np.testing.assert_array_equal(weights["lstm/recurrent_kernel"], np.full((2, 8), 2.0))
    np.testing.assert_array_equal(weights["lstm/bias"], [3, 3, 1, 1, 3, 3, 3, 3])
    np.testing.assert_array_equal(weights["dense/kernel"], np.eye(2))
    np.testing.assert_array_equal(weights["dense/bias"], [4, 4])


def test_bad_arguments_are_all_named():
    """What Keras would refuse in its constructor is refused here, in one message, and by argument."""
    with pytest.raises(BadInput) as refused:
        Sequential(
            [
                Dense(
                    2,
                    kernel_initializer=Named("variance_scaling", scale=0.0, mode="fan"),
                    bias_initializer="orthogonal",
                )
            ]
        ).init(np.random.default_rng(0), (1, 2))
    said = str(refused.value)
    assert "`kernel_initializer`: `mode` = 'fan'" in said
    assert "`kernel_initializer`: `scale` = 0.0, but should be above 0" in said
    assert "orthogonal takes two" in said
