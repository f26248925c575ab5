"""The table of activations: each derivative against the complex step of its own value."""

import numpy as np
import pytest
from flint import arb

from reference_impl.activations import ACTIVATIONS, Undecided, activation, positive, sigmoid

STEP = 1e-100


def jacobian_product(value, z, dy):
    """dz by complex step: the derivative of sum(dy * value(z)) with respect to each entry of z."""
    dz = np.empty_like(z)
    for index in np.ndindex(z.shape):
        moved = z.astype(complex)
        moved[index] += STEP * 1j
        dz[index] = (dy * value(moved)).sum().imag / STEP
    return dz


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("spread", [0.1, 1, 5])
def test_derivative_is_that_of_the_value(name, spread):
    """`backward` is the product with the Jacobian of `value`, from nearly linear to saturated."""
    rng = np.random.default_rng(1)
    z, dy = spread * rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    one = ACTIVATIONS[name]
    expected = jacobian_product(one.value, z, dy)
    assert (
        np.abs(one.backward(dy, z, one.value(z)) - expected).max()
        <= 8 * np.finfo(float).eps * np.abs(dy).max()
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_dtype_is_kept(name, dtype):
    """No activation or derivative leaves the dtype that it is given."""
    z = np.linspace(-2, 2, 6).astype(dtype).reshape(2, 3)
    y = ACTIVATIONS[name].value(z)
    assert y.dtype == z.dtype
    assert ACTIVATIONS[name].backward(z, z, y).dtype == z.dtype


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_balls_enclose_the_float_value(name):
    """The same line run in balls gives the float result up to rounding."""
    z = np.linspace(-3, 3, 6).reshape(2, 3)
    balls = np.frompyfunc(arb, 1, 1)(z.astype(object))
    exact = np.asarray(np.frompyfunc(float, 1, 1)(ACTIVATIONS[name].value(balls)), float)
    assert np.abs(exact - ACTIVATIONS[name].value(z)).max() <= 4 * np.finfo(float).eps * np.abs(exact).max()


def test_sigmoid_saturates_without_a_warning():
    """Far out the sigmoid is 0 and 1, silently (warnings are errors here)."""
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_relu_passes_nan_on():
    """A NaN in a pre-activation does not turn into a zero on the way."""
    assert np.isnan(ACTIVATIONS["relu"].value(np.array([np.nan, 1.0]))).tolist() == [True, False]


def test_positive_is_undecided_for_a_ball_around_zero():
    """A sign is never guessed: a ball that contains zero and more raises."""
    with pytest.raises(Undecided):
        positive(np.array([arb(0, 1)], dtype=object))
    assert positive(np.array([arb(0), arb(1), arb(-1)], dtype=object)).tolist() == [False, True, False]


def test_none_is_linear():
    """None means linear, as in Keras."""
    assert activation(None) is ACTIVATIONS["linear"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_reads_z_says_whether_the_derivative_does(name):
    """`backward` never looks at z where `reads_z` is not set, and does where it is."""
    rng = np.random.default_rng(2)
    z, dy = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    one = ACTIVATIONS[name]
    y = one.value(z)
    unread = np.array_equal(one.backward(dy, np.full_like(z, np.nan), y), one.backward(dy, z, y))
    assert unread == (not one.reads_z)
