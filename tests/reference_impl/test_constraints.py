"""The table of constraints, against Keras's own and in every arithmetic."""

import numpy as np
import pytest
from flint import arb

from reference_impl import Dense, Named
from reference_impl.constraints import CONSTRAINTS, constraint_problems, unfit_for
from reference_impl.spec import look_up
from tf_oracle.start import load

CASES = [
    "max_norm",
    Named("max_norm", max_value=0.5, axis=1),
    Named("max_norm", max_value=1.5, axis=[0, 1]),
    "min_max_norm",
    Named("min_max_norm", min_value=1.1, max_value=1.6, rate=0.3, axis=-1),
    "non_neg",
    "unit_norm",
    Named("unit_norm", axis=1),
]


def matrix():
    """Rows and columns of many lengths, one of them zero."""
    w = np.random.default_rng(5).standard_normal((4, 6))
    w[2] = 0
    return w


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_value_is_keras_s(case, dtype):
    """The constrained weight is Keras's to a few roundings, and no other than the weight itself."""
    named = case if isinstance(case, Named) else Named(case)
    theirs = getattr(load().keras.constraints, named.name)(**named.arguments)
    w = matrix().astype(dtype)
    expected, found = np.asarray(theirs(w)), look_up(CONSTRAINTS, case).value(w)
    assert found.dtype == dtype
    assert np.all(np.abs(found - expected) <= 4 * np.finfo(dtype).eps * np.abs(expected))
    assert not np.array_equal(found, w)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_balls_enclose_the_value(case):
    """The same line in ball arithmetic holds what longdouble computes."""
    constrain, w = look_up(CONSTRAINTS, case).value, matrix()
    balls = constrain(np.frompyfunc(arb, 1, 1)(w.astype(object)))
    wide = constrain(w.astype(np.longdouble))
    assert all(b.overlaps(arb(float(x), 1e-15)) for b, x in zip(balls.flat, wide.flat, strict=True))


def test_every_constraint_of_keras():
    """Whatever `keras.constraints` exports as a function is in the table, with Keras's own defaults."""
    keras = load().keras
    names = {name for name in dir(keras.constraints) if name[0].islower()}
    assert names - {"get", "serialize", "deserialize"} == set(CONSTRAINTS)
    for name, entry in CONSTRAINTS.items():
        assert getattr(keras.constraints, name)().get_config() == entry.defaults


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("maxnorm", "did you mean 'max_norm'?"),
        (Named("max_norm", max_value=0), "`max_value` of max_norm = 0, but should be a number above 0"),
        (Named("min_max_norm", rate=2), "`rate` of min_max_norm = 2, but should be a number from 0 to 1"),
        (Named("unit_norm", axis="rows"), "but should be an axis, or a tuple of them"),
    ],
)
def test_what_is_no_constraint_is_said(value, said):
    """A wrong name, argument or value is refused in one sentence."""
    (sentence,) = constraint_problems("kernel_constraint", value)
    assert said in sentence


def test_list_of_axes_can_be_hashed():
    """A model is the key of caches: lists in its arguments become tuples."""
    listed, tupled = Named("max_norm", axis=[0, 1]), Named("max_norm", axis=(0, 1))
    assert listed == tupled
    assert hash(Dense(2, kernel_constraint=listed)) == hash(Dense(2, kernel_constraint=tupled))


def test_axis_that_a_weight_does_not_have():
    """A bias has no second axis."""
    assert unfit_for("bias_constraint", "unit_norm", (4,)) == unfit_for("c", "non_neg", (4,)) == []
    assert "has no axis 1" in unfit_for("bias_constraint", Named("unit_norm", axis=1), (4,))[0]
