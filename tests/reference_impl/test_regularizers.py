"""The table of regularizers: each gradient against the complex step of its own value, and Keras's."""

import numpy as np
import pytest
from flint import arb

from reference_impl import Named
from reference_impl.regularizers import REGULARIZERS, regularizer_problems, unfit_for
from reference_impl.spec import look_up
from tf_oracle.start import load

CASES = [
    "l1",
    "l2",
    Named("l1", l1=0.3),
    Named("l1_l2", l1=0.2, l2=0.4),
    "orthogonal_regularizer",
    Named("orthogonal_regularizer", factor=0.7, mode="columns"),
]


def matrix():
    """Three rows of five, one of them shorter than 1e-7."""
    w = np.random.default_rng(3).standard_normal((3, 5))
    w[1] *= 1e-9
    return w


def by_complex_step(value, w):
    """The derivative of value(w) with respect to each entry."""
    dw = np.empty_like(w)
    for at in np.ndindex(w.shape):
        moved = w.astype(complex)
        moved[at] += 1e-100j
        dw[at] = value(moved).imag / 1e-100
    return dw


@pytest.mark.parametrize("name", ["l1", Named("l1_l2", l1=0.2, l2=0.4)], ids=repr)
def test_complex_step_at_a_weight_of_zero(name):
    """Where a weight is exactly 0 the complex step of the value is the gradient there, which is 0."""
    regularizer = look_up(REGULARIZERS, name)
    w = np.array([[0.0, -0.5], [2.0, 0.0]])
    stepped = by_complex_step(regularizer.value, w)
    np.testing.assert_allclose(stepped, regularizer.backward(w), rtol=1e-14)  # a division by the step more
    assert not stepped[w == 0].any()


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_gradient_is_that_of_the_value(case):
    """`backward` is the complex-step derivative of `value`, entry by entry."""
    entry, w = look_up(REGULARIZERS, case), matrix()
    expected = by_complex_step(entry.value, w)
    scale = np.abs(expected).max(axis=1, keepdims=True)
    assert np.all(np.abs(entry.backward(w) - expected) <= 1e-13 * scale)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_same_line_for_every_arithmetic(case):
    """float32 stays float32, and balls enclose what longdouble computes."""
    entry, w = look_up(REGULARIZERS, case), matrix()
    single = w.astype(np.float32)
    assert entry.value(single).dtype == entry.backward(single).dtype == np.float32
    balls = entry.backward(np.frompyfunc(arb, 1, 1)(w.astype(object)))
    wide = entry.backward(w.astype(np.longdouble))
    assert all(
        b.overlaps(arb(float(x), 1e-15 * float(abs(x)))) for b, x in zip(balls.flat, wide.flat, strict=True)
    )


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_value_and_gradient_are_keras_s(case):
    """The installed Keras computes the same penalty and the same gradient, in float32, its own dtype."""
    tf, keras = load()
    named = case if isinstance(case, Named) else Named(case)
    theirs = getattr(keras.regularizers, named.name)(**named.arguments)
    entry, w = look_up(REGULARIZERS, case), matrix().astype(np.float32)
    w[2, 3] = 0  # the kink of |w|, where both take 0
    variable = tf.Variable(w)
    with tf.GradientTape() as tape:
        penalty = theirs(variable)
    gradient = tape.gradient(penalty, variable).numpy()
    assert abs(penalty.numpy() - entry.value(w)) <= 4e-7 * entry.value(w)
    scale = np.abs(gradient).max(axis=1, keepdims=True)
    assert np.all(np.abs(entry.backward(w) - gradient) <= 2e-6 * scale)


def test_every_regularizer_of_keras():
    """Whatever `keras.regularizers` exports as a function is in the table, with Keras's own arguments."""
    keras = load().keras
    names = {name for name in dir(keras.regularizers) if name[0].islower()}
    assert names - {"get", "serialize", "deserialize"} == set(REGULARIZERS)
    for name, entry in REGULARIZERS.items():
        assert set(getattr(keras.regularizers, name)().get_config()) == set(entry.defaults)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("l3", "should be one of l1, l1_l2, l2, orthogonal_regularizer; did you mean 'l2'?"),
        ("l1_l2", "should be Named('l1_l2', l1=0.01, l2=0.01)"),
        (Named("l2", l1=0.1), "l2 has no argument 'l1'"),
        (Named("l2", l2=-0.1), "`l2` of l2 = -0.1, but should be a number from 0 on"),
        (Named("orthogonal_regularizer", mode="row"), "= 'row', but should be one of rows, columns"),
        (0.1, "`kernel_regularizer` = 0.1, but should be one of"),
    ],
)
def test_what_is_no_regularizer_is_said(value, said):
    """A wrong name, argument or value is refused in one sentence."""
    (sentence,) = regularizer_problems("kernel_regularizer", value)
    assert said in sentence


def test_where_the_orthogonal_regularizer_does_not_fit():
    """It takes matrices of two rows or more: Keras raises for others, and divides 0 by 0 for one row."""
    assert unfit_for("r", "orthogonal_regularizer", (2, 1)) == []
    assert "0/0" in unfit_for("r", "orthogonal_regularizer", (1, 4))[0]
    assert "one column" in unfit_for("r", Named("orthogonal_regularizer", mode="columns"), (4, 1))[0]
    assert "matrices alone" in unfit_for("r", "orthogonal_regularizer", (4,))[0]
    assert unfit_for("r", "l2", (4,)) == unfit_for("r", None, (1, 1, 1)) == []
