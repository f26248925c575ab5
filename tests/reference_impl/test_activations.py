"""The table of activations, each entry with Keras's arguments and with others: its derivative against the
complex step of its own value, both against balls, and both against Keras, at the kinks too.
"""

import inspect
import re

import numpy as np
import pytest
from flint import arb, ctx

from reference_impl import LSTM, Dense, Named, Sequential
from reference_impl.activations import (
    ACTIVATIONS,
    REFUSED,
    activation,
    activation_problems,
    sigmoid,
)
from reference_impl.arguments import REQUIRED
from reference_impl.arithmetic import Undecided, positive
from reference_impl.inplace import in_place
from tapecheck import BadInput, Case, check
from tapecheck.balls import to_balls, to_longdouble
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.moved import Moved
from tf_oracle.activations import activation as keras_activation
from tf_oracle.start import load

LIMIT = FACTOR * FLOOR

# For each argument a value that is not Keras's default.
OTHERWISE = {
    "negative_slope": 0.1,
    "max_value": 1.5,
    "threshold": 0.3,
    "default_value": -0.7,
    "alpha": 0.6,
    "b": 1.5,
    "approximate": True,
    "axis": -1,
}
PLAIN = [name for name, entry in ACTIVATIONS.items() if REQUIRED not in entry.defaults.values()]
CONFIGURATIONS = [
    *PLAIN,
    *(
        Named(name, **{argument: OTHERWISE[argument] for argument in entry.defaults})
        for name, entry in ACTIVATIONS.items()
        if entry.defaults
    ),
    Named("relu", negative_slope=0.1),
    Named("relu", negative_slope=0.1, max_value=1.0),
    Named("relu", negative_slope=0.1, threshold=0.5),
    Named("relu", max_value=6.0),
    Named("relu", max_value=6.0, threshold=-1.0),
    Named("soft_shrink", threshold=-0.5),
]
every_configuration = pytest.mark.parametrize("which", CONFIGURATIONS, ids=str)

# The one that Keras gets wrong altogether (docs/findings.md).
WRONG = {"sparsemax"}
# Where their pieces meet.
KINKS = [-6.0, -3.0, -1.5, -1.0, -0.5, -0.3, 0.0, 0.3, 0.5, 1.0, 1.5, 3.0, 6.0]


def name_of(which):
    """The table's name alone."""
    return which.name if isinstance(which, Named) else which


def samples(dtype, spread, shape=(6, 5)):
    """Pre-activations and upstream gradients. Seeded."""
    rng = np.random.default_rng(1)
    return [(scale * rng.standard_normal(shape)).astype(dtype) for scale in (spread, 1)]


def by_balls(which, z, dy):
    """The exact value and gradient."""
    with ctx.workprec(300):
        balls, one = to_balls(z), activation(which)
        y = one.value(balls)
        dz = one.backward(to_balls(dy), balls, y)
        return [to_longdouble(array) for array in (y, dz)]


def by_keras(which, z, dy):
    """The value of the oracle's function, and the gradient that a tape finds."""
    tf, keras = load()
    function = keras.activations.get(keras_activation(which, z.dtype.name))
    variable = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        y = function(variable)
    return y.numpy(), tape.gradient(y, variable, output_gradients=tf.constant(dy)).numpy()


def jacobian_product(value, z, dy):
    """dz by complex step: the derivative of sum(dy * value(z)) with respect to each entry of z."""
    moved = Moved(z, np.eye(z.size).reshape(*z.shape, z.size))
    return (dy * value(moved)).sum().moves.reshape(z.shape)


@every_configuration
@pytest.mark.parametrize("spread", [0.1, 1, 5])
def test_derivative_is_that_of_the_value(which, spread):
    """`backward` is the product with the Jacobian of `value`, from nearly linear to saturated."""
    z, dy = samples("float64", spread)
    one = activation(which)
    expected = jacobian_product(one.value, z, dy)
    found = one.backward(dy, z, one.value(z))
    assert errors("y", found, expected, z.dtype).max() <= LIMIT


@every_configuration
@pytest.mark.parametrize("spread", [1e-3, 1, 5, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_is_as_accurate_as_its_dtype_allows(which, dtype, spread):
    """Value and derivative are within the measure's floor of the exact ones, also of tiny and of large z."""
    z, dy = samples(dtype, spread)
    one = activation(which)
    y = one.value(z)
    true_y, true_dz = by_balls(which, z, dy)
    assert errors("y", y, true_y, z.dtype).max() <= LIMIT
    assert errors("dz", one.backward(dy, z, y), true_dz, z.dtype).max() <= LIMIT


@every_configuration
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keras_computes_the_same(which, dtype):
    """Value and tape agree with the exact ones as far as the dtype allows, and are told apart where not."""
    z, dy = samples(dtype, 3)
    error = max(
        errors("y", theirs, true, z.dtype).max()
        for theirs, true in zip(by_keras(which, z, dy), by_balls(which, z, dy), strict=True)
    )
    assert (error > 1e5) if name_of(which) in WRONG else (error <= LIMIT)


@every_configuration
def test_complex_step_at_zero(which):
    """At exactly 0 it is the derivative that `backward` takes there or on one side. A smooth function has but
    one, also where it is put together from pieces that have a kink.
    """
    z, dy = np.array([[0.0, 0.37, -0.41]]), samples("float64", 1, (1, 3))[1]
    one = activation(which)
    stepped = jacobian_product(one.value, z, dy)
    near = [np.array([[step, *z[0, 1:]]]) for step in (-1e-30, 0, 1e-30)]
    taken = [one.backward(dy, there, one.value(there)) for there in near]
    assert min(errors("y", stepped, each, z.dtype).max() for each in taken) <= LIMIT


@pytest.mark.parametrize("which", [which for which in CONFIGURATIONS if name_of(which) not in WRONG], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keras_s_choice_at_every_kink(which, dtype):
    """Where two pieces meet, the derivative is the one that Keras takes."""
    z = np.array([KINKS], dtype)
    if name_of(which) == "celu":
        z = z[z != 0][None]  # where Keras takes 2, and 1 is right: docs/findings.md
    dy, one = samples(dtype, 1, z.shape)[1], activation(which)
    expected = by_keras(which, z, dy)[1]
    found = one.backward(dy, z, one.value(z))
    assert np.abs(found - expected).max() <= LIMIT * np.finfo(dtype).eps * np.abs(expected).max()


@every_configuration
@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble", "complex128"])
def test_dtype_is_kept(which, dtype):
    """No activation or derivative leaves the dtype that it is given, and none is the worse for no rows."""
    one = activation(which)
    for z in (np.linspace(-2, 2, 6).reshape(2, 3).astype(dtype), np.empty((0, 3), dtype)):
        y = one.value(z)
        assert (y.dtype, y.shape) == (z.dtype, z.shape)
        dz = one.backward(z, z, y)
        assert (dz.dtype, dz.shape) == (z.dtype, z.shape)


@every_configuration
def test_longdouble_is_more_accurate(which):
    """Extended precision can stand in for the exact value of a float64 one."""
    z, dy = samples("longdouble", 3)
    z, dy = z.astype(float).astype("longdouble"), dy.astype(float).astype("longdouble")
    one = activation(which)
    y = one.value(z)
    for found, true in zip((y, one.backward(dy, z, y)), by_balls(which, z, dy), strict=True):
        assert errors("y", found, true, np.dtype(float)).max() <= 0.1


@every_configuration
def test_reads_z_says_whether_the_derivative_does(which):
    """`backward` never looks at z where `reads_z` is not set, and does where it is."""
    z, dy = samples("float64", 1)
    one = activation(which)
    y = one.value(z)
    unread = np.array_equal(one.backward(dy, np.full_like(z, np.nan), y), one.backward(dy, z, y))
    assert unread == (not one.reads_z)


@every_configuration
def test_couples_says_whether_entries_depend_on_each_other(which):
    """`backward` is a factor for each entry unless `couples` is set, and then it is not."""
    z, dy = samples("float64", 1)
    one = activation(which)
    y = one.value(z)
    factor = dy * one.backward(np.ones_like(dy), z, y)
    # products in another order: a few roundings, where coupled entries change the first digits
    assert np.allclose(one.backward(dy, z, y), factor, rtol=1e-12, atol=0) == (not one.couples)


@every_configuration
def test_in_place_is_the_defined_one(which):
    """`value`, and `slope` with `couple`, write what the table defines, to 4 eps."""
    defined, written = activation(which), in_place(which, np.dtype(float))
    z, dy = np.random.default_rng(0).standard_normal((2, 2, 5, 3))  # (2, H, B)
    y, of_minus, slope = np.empty((3, 2, 5, 3))
    written.value(z, y)
    written.slope(z if written.reads_z else np.full_like(z, np.nan), y, slope)
    dz = written.couple(dy * slope, y) if written.couple else dy * slope
    by_rows = [array.swapaxes(1, 2) for array in (z, y, dz, dy)]
    np.testing.assert_array_max_ulp(by_rows[1], defined.value(by_rows[0]), 4)
    due = defined.backward(by_rows[3], by_rows[0], by_rows[1])
    assert np.abs(by_rows[2] - due).max() <= 4 * np.finfo(float).eps  # of gradients about 1
    if written.of_minus:
        written.of_minus(-z, of_minus)
        assert np.array_equal(of_minus, y)


@every_configuration
@pytest.mark.parametrize(("part", "dtype"), [("activation", "float64"), ("recurrent_activation", "float32")])
def test_in_an_lstm_and_in_the_head(which, part, dtype):
    """Keras, the fast form and ball arithmetic agree on a model of it, but where Keras is wrong."""
    model = Sequential([LSTM(4, return_sequences=True, **{part: which}), Dense(3, activation=which)])
    report = check(Case("inside", model, 3, 4, 2, dtype=dtype, initial_state="random"))
    assert report.verdict == ("inconclusive" if name_of(which) in WRONG else "passed"), str(report)
    assert all(tensor.share_of_limit <= 1 for tensor in report.tensors.values())


# ---- what is in the table, and what is refused


def test_every_name_of_keras_is_supported_or_refused():
    """What `keras.activations` exports is in the table, with Keras's arguments and defaults, or refused."""
    exported = load().keras.activations
    names = {name for name in dir(exported) if callable(getattr(exported, name)) and not name.startswith("_")}
    assert names == ACTIVATIONS.keys() | REFUSED.keys()
    assert not ACTIVATIONS.keys() & REFUSED.keys()
    for name, entry in ACTIVATIONS.items():
        _, *arguments = inspect.signature(getattr(exported, name)).parameters.values()
        expected = {a.name: REQUIRED if a.default is a.empty else a.default for a in arguments}
        assert dict(entry.defaults) == expected, name


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_with_the_reason(name):
    """A name that cannot be used says why."""
    (problem,) = activation_problems("activation", name)
    assert problem == f"`activation` = {name!r}, but {name} is not supported: {REFUSED[name]}"


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("rellu", "did you mean 'relu'?"),
        ("threshold", "threshold needs `default_value`"),
        (Named("softmax", axis=1), "`axis` of softmax = 1, but should be -1"),
        (Named("leaky_relu", alpha=0.1), "leaky_relu has no argument 'alpha'"),
        (Named("gelu", approximate=1), "should be True or False"),
        (Named("relu", max_value=-1), "should be a number from 0 on"),
        (Named("squareplus", b=0), "should be a number above 0"),
        (Named("elu", alpha=[1]), "should be a number above 0"),
        (7, "should be one of"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_said_before_anything_runs(which, said):
    """Wrong names and arguments are listed as problems of the layer, for Dense and twice for an LSTM."""
    assert any(said in problem for problem in Dense(2, activation=which).problems())
    layer = LSTM(2, activation=which, recurrent_activation=which)
    assert sum(said in problem for problem in layer.problems()) == 2
    with pytest.raises(BadInput, match=re.escape(said)):
        Case("refused", Sequential([layer]))


# ---- in any arithmetic


@every_configuration
def test_a_kink_inside_a_ball_is_undecided(which):
    """A ball that holds points on both sides of a kink is never taken for either side."""
    wide = np.array([[arb(0, 10), arb(0, 10)]], dtype=object)
    if name_of(which) not in KINKED:
        activation(which).value(wide)
        return
    with pytest.raises(Undecided):
        activation(which).value(wide)


KINKED = {
    "relu",
    "leaky_relu",
    "relu6",
    "elu",
    "selu",
    "celu",
    "softplus",
    "softsign",
    "squareplus",
    "log_sigmoid",
}
KINKED |= {"hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "mish"}
KINKED |= {"sparse_plus", "sparse_sigmoid", "threshold", "sparsemax"}


def test_sigmoid_saturates_without_a_warning():
    """Far out the sigmoid is 0 and 1, silently (warnings are errors here)."""
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_relu_passes_nan_on():
    """A NaN in a pre-activation does not turn into a zero on the way."""
    assert np.isnan(activation("relu").value(np.array([np.nan, 1.0]))).tolist() == [True, False]


def test_sparsemax_passes_nan_on_without_a_warning():
    """A row with a NaN is NaN, forward and backward, beside one without; nothing is printed about it."""
    z = np.array([[1.0, np.nan, 0.5], [0.3, 0.2, -5.0]])
    sparsemax = activation("sparsemax")
    y = sparsemax.value(z)
    dz = sparsemax.backward(np.ones_like(z) * [1, 2, 3], z, y)
    for array in (y, dz):
        assert np.isnan(array).any(axis=1).tolist() == [True, False]
        assert np.isnan(array[0]).all()
    np.testing.assert_allclose(dz[1], [-0.5, 0.5, 0])


def test_positive_is_undecided_for_a_ball_around_zero():
    """A sign is never guessed: a ball that contains zero and more raises."""
    with pytest.raises(Undecided):
        positive(np.array([arb(0, 1)], dtype=object))
    assert positive(np.array([arb(0), arb(1), arb(-1)], dtype=object)).tolist() == [False, True, False]


def test_none_is_linear():
    """None means linear, as in Keras."""
    assert activation(None) is ACTIVATIONS["linear"]
    assert activation_problems("activation", None) == []
