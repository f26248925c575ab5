"""The table of schedules, step by step against Keras's own, computed in float64."""

import inspect

import pytest
from flint import arb

from reference_impl import Named
from reference_impl.arguments import REQUIRED
from reference_impl.schedules import SCHEDULES, rate, rate_problems
from tf_oracle import named
from tf_oracle.start import load

START = {"initial_learning_rate": 0.3, "decay_steps": 4}
CASES = [
    Named("exponential_decay", **START, decay_rate=0.7),
    Named("exponential_decay", **START, decay_rate=0.7, staircase=True),
    Named("inverse_time_decay", **START, decay_rate=0.7),
    Named("inverse_time_decay", **START, decay_rate=0.7, staircase=True),
    Named("piecewise_constant_decay", boundaries=[2, 5, 6], values=[0.1, 0.3, 0.2, 0.7]),
    Named("piecewise_constant_decay", boundaries=[3.5], values=[0.1, 0.3]),
    Named("polynomial_decay", **START),
    Named("polynomial_decay", **START, power=1.7, end_learning_rate=0.05, cycle=True),
    Named("cosine_decay", **START, alpha=0.1),
    Named("cosine_decay", **START, warmup_target=0.9, warmup_steps=3),
    Named("cosine_decay_restarts", initial_learning_rate=0.3, first_decay_steps=2),
    Named(
        "cosine_decay_restarts",
        initial_learning_rate=0.3,
        first_decay_steps=3,
        t_mul=1.0,
        m_mul=0.5,
        alpha=0.2,
    ),
]


@pytest.mark.parametrize("schedule", CASES, ids=repr)
def test_rates_are_keras_s(schedule):
    """The rate of each of 16 steps, past every boundary, is Keras's to rounding; so are balls."""
    theirs = named.schedule(schedule, "float64")
    for step in range(16):
        found, expected = rate(schedule, step, float), float(theirs(step))
        assert isinstance(found, float)
        assert found == pytest.approx(expected, rel=1e-14, abs=1e-16), step
        assert rate(schedule, step, arb).overlaps(arb(expected, 1e-15))


def test_every_schedule_of_keras():
    """Whatever class `keras.optimizers.schedules` exports is in the table, with Keras's own arguments."""
    found = load().keras.optimizers.schedules
    classes = {name for name in dir(found) if name[0].isupper()} - {"LearningRateSchedule"}
    assert classes == {named.class_name(name) for name in SCHEDULES}
    for name, entry in SCHEDULES.items():
        signature = inspect.signature(getattr(found, named.class_name(name))).parameters
        assert set(signature) - {"name"} == set(entry.defaults)
        for argument, default in entry.defaults.items():
            required = signature[argument].default is inspect.Parameter.empty
            assert default is REQUIRED if required else default == signature[argument].default


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "`learning_rate` = 0, but should be above 0"),
        (float("nan"), "`learning_rate` = nan, but should be one of"),
        ("cosine_decay", "cosine_decay needs `initial_learning_rate`, a number from 0 on"),
        (Named("cosine", decay_steps=3), "did you mean 'cosine_decay'?"),
        (Named("exponential_decay", **START, decay_rate=0.5, stairs=True), "no argument 'stairs'"),
        (
            Named("polynomial_decay", initial_learning_rate=1, decay_steps=0),
            "= 0, but should be a number above 0",
        ),
        (Named("piecewise_constant_decay", boundaries=[5, 2], values=[1, 2, 3]), "each after the one before"),
        (
            Named("piecewise_constant_decay", boundaries=[5], values=[1]),
            "one more than there are `boundaries`",
        ),
    ],
)
def test_what_is_no_learning_rate_is_said(value, said):
    """A wrong name, argument or value is refused in words."""
    assert said in rate_problems(value)[0]
