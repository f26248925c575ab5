"""The table of optimizers: what is in it, what is refused, and that its rules run in every arithmetic.

That the rules are Keras's, number by number, is what `tests/tapecheck/test_training.py` proves.
"""

import inspect

import numpy as np
import pytest
from flint import arb

from reference_impl import Named
from reference_impl.optimizers import OPTIMIZERS, REFUSED, optimizer_problems
from reference_impl.training import number_of, optimizer, train
from tf_oracle.start import load

WEIGHTS = {
    name: np.random.default_rng(7).standard_normal(shape) for name, shape in {"k": (2, 3), "b": (3,)}.items()
}


def three_steps(convert, value):
    """Three steps on the gradient w/2 + 1/4, all in the arithmetic that `convert` makes."""
    weights = {name: convert(array) for name, array in WEIGHTS.items()}
    made = optimizer(value, number_of(weights["k"]), {})
    return list(train(weights, made, 3, lambda w: {name: array * 0.5 + 0.25 for name, array in w.items()}))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_lines_for_every_arithmetic(name):
    """float32 stays float32, and balls of 53 bits enclose what longdouble computes."""
    single = three_steps(lambda array: array.astype(np.float32), name)
    assert {array.dtype for weights in single for array in weights.values()} == {np.dtype("float32")}
    wide = three_steps(lambda array: array.astype(np.longdouble), name)
    balls = three_steps(lambda array: np.frompyfunc(arb, 1, 1)(array.astype(object)), name)
    for right, ball in zip(wide, balls, strict=True):
        for key, array in right.items():
            assert all(
                b.overlaps(arb(float(x), 1e-15)) for b, x in zip(ball[key].flat, array.flat, strict=True)
            )


def test_every_optimizer_of_keras():
    """Each class of `keras.optimizers`, and each argument of its constructor, is supported with Keras's own
    default or refused by name with the reason.
    """
    found = load().keras.optimizers
    classes = {name.lower(): getattr(found, name) for name in dir(found) if name[0].isupper()}
    assert set(classes) - {"optimizer"} == set(OPTIMIZERS) | (set(REFUSED) & set(classes))
    for name, entry in OPTIMIZERS.items():
        signature = inspect.signature(classes[name]).parameters
        parameters = {n: p.default for n, p in signature.items() if n != "kwargs"}
        assert {n: v for n, v in parameters.items() if n not in REFUSED} == entry.defaults
        for argument in set(parameters) & set(REFUSED):
            if argument != "name":  # which Named cannot even hold
                assert REFUSED[argument] in optimizer_problems(Named(name, **{argument: 1}))[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("Adam", "did you mean 'adam'?"),
        (None, "`optimizer` = None, but should be one of adadelta, adafactor"),
        ("muon", "muon is not supported: it runs a matrix iteration"),
        (Named("sgd", use_ema=True), "use_ema is not supported"),
        (Named("sgd", beta_1=0.9), "sgd has no argument 'beta_1'"),
        (Named("adam", beta_1=1), "`beta_1` of adam = 1, but should be a number from 0 to below 1"),
        (Named("sgd", nesterov="yes"), "but should be True or False"),
        (Named("sgd", clipnorm=0), "`clipnorm` of sgd = 0, but should be a number above 0"),
        (Named("sgd", clipnorm=1, clipvalue=1), "it should have only one of clipnorm and clipvalue"),
        (
            Named("adamw", weight_decay=None),
            "`weight_decay` of adamw = None, but should be a number from 0 on",
        ),
        (Named("sgd", learning_rate="cosine_decay"), "cosine_decay needs `initial_learning_rate`"),
    ],
)
def test_what_is_no_optimizer_is_said(value, said):
    """A wrong name, argument or value is refused in words."""
    assert said in optimizer_problems(value)[0]
