"""The exact gradient: enclosures that hold, precision that is raised, and honest refusals."""

from dataclasses import replace

import numpy as np
import pytest
from flint import arb, ctx

from reference_impl import GATES, LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck import exact as module
from tapecheck.exact import (
    BALL_LIMIT,
    BALLS_A_STEP,
    NotEnclosed,
    by_balls,
    by_wider_float,
    exact,
    multiply_adds,
    relative_radius,
    scale,
)

CASE = Case("exact", Sequential([LSTM(4, return_sequences=True), Dense(2, activation="tanh")]), 3, 6, 5)


@pytest.mark.parametrize(("dtype", "bits"), [("float64", 55), ("float32", 45)])
def test_balls_and_the_wider_float_agree(dtype, bits):
    """Two arithmetics, one proven and one estimated, give the same gradients to the estimate, which is far
    below the last digit of the dtype.
    """
    problem = replace(CASE, dtype=dtype).problem()
    balls, wide = by_balls(problem), by_wider_float(problem)
    assert balls.radius < 2.0**-70
    for name, value in balls.tensors.items():
        apart = np.abs(wide.tensors[name] - value).max() / np.abs(value).max()
        assert apart <= 16 * wide.radius, name
        assert wide.tensors[name].dtype == np.longdouble, name
    assert wide.radius < 2.0**-bits


@pytest.mark.parametrize("arithmetic", [by_balls, by_wider_float])
def test_the_trace_is_of_the_same_pass(arithmetic):
    """The trace, run when it is asked for, sums up to the gradients: db is the sum of dz over B and T."""
    found = arithmetic(CASE.problem())
    db = np.concatenate([found.trace[f"lstm/dz_{gate}"].sum(axis=(0, 1)) for gate in GATES])
    np.testing.assert_allclose(
        db.astype(float), found.tensors["lstm/bias"].astype(float), rtol=1e-15, atol=1e-17
    )


def test_more_bits_change_nothing(monkeypatch):
    """At another starting precision the midpoints are the same longdoubles."""
    first = by_balls(CASE.problem())
    monkeypatch.setattr(module, "PRECISIONS", (300,))
    second = by_balls(CASE.problem())
    for name, value in first.tensors.items():
        assert np.array_equal(value, second.tensors[name]), name


def test_precision_is_raised_until_the_radius_is_small(monkeypatch):
    """Too few bits first: the radius at 53 bits is refused, and the next precision is taken."""
    monkeypatch.setattr(module, "PRECISIONS", (53, 128))
    assert by_balls(CASE.problem()).radius < 2.0**-70
    monkeypatch.setattr(module, "PRECISIONS", (53,))
    with pytest.raises(NotEnclosed, match="at 53 bits"):
        by_balls(CASE.problem())


def test_ball_arithmetic_leaves_the_precision_of_others_alone():
    """flint's global precision is what it was."""
    before = ctx.prec
    by_balls(CASE.problem())
    assert ctx.prec == before


def test_overflow_is_refused():
    """Values past every bound have no exact gradient to compare with, and the error says why."""
    huge = replace(
        CASE, name="exact-relu", model=Sequential([LSTM(4, activation="relu"), Dense(2)])
    ).problem()
    with pytest.raises(NotEnclosed, match="not known at 1024 bits"):
        exact(replace(huge, weights={name: w * 1e200 for name, w in huge.weights.items()}))


@pytest.mark.parametrize(
    ("dtype", "wide", "bits"), [("float64", "longdouble", 52), ("float32", "float64", 40)]
)
@pytest.mark.parametrize(("units", "sizes"), [(32, (4, 40, 8)), (4, (50, 5, 3))], ids=["products", "samples"])
def test_large_problems_are_done_in_a_wider_float(units, sizes, dtype, wide, bits):
    """Past the stated sizes, of all products or of one step, the arithmetic is the next wider float, said so,
    with an estimated radius.
    """
    model = Sequential([LSTM(units, return_sequences=True), Dense(2)])
    big = Case("exact-big", model, *sizes, dtype=dtype)
    B, _, _ = sizes
    assert (multiply_adds(big.model, big.input_shape) > BALL_LIMIT) != (B * (units + 2) > BALLS_A_STEP)
    found = exact(big.problem())
    assert found.arithmetic == wide
    assert 0 < found.radius < 2.0**-bits


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e250), ("float32", 1e30)])
def test_overflow_is_refused_in_a_wider_float(dtype, size):
    """Of gradients that overflow though output and loss, which come first, do not: x and the states are 0."""
    layers = [LSTM(16, activation="linear", return_sequences=True, use_bias=False), Dense(2)]
    problem = Case("exact-overflow", Sequential(layers), 20, 30, 3, dtype=dtype).problem()
    weights = dict(problem.weights)
    weights["lstm/recurrent_kernel"] = weights["lstm/recurrent_kernel"] * np.dtype(dtype).type(size)
    with pytest.raises(NotEnclosed, match="a value overflows"):
        exact(replace(problem, weights=weights, x=0 * problem.x))


def test_multiply_adds_are_counted():
    """B*T rows through every kernel, three times: forward, for the weights, for the inputs."""
    model = Sequential([LSTM(4, return_sequences=True), Dense(2)])
    assert multiply_adds(model, (3, 6, 5)) == 3 * (18 * (5 * 16 + 4 * 16) + 18 * 8)


def test_scale_is_per_time_step_where_there_is_time():
    """`x` and traces are scaled a step at a time, weights and the output as a whole."""
    value = np.ones((2, 3, 4)) * np.array([1.0, 10.0, 100.0])[None, :, None]
    assert scale("x", value).ravel().tolist() == [1, 10, 100]
    assert scale("lstm/dz_f", value).shape == (1, 3, 1)
    assert scale("output", value).ravel().tolist() == [100]
    assert scale("loss", np.array(-2.0)).ravel().tolist() == [2]


def test_relative_radius_never_hides_a_ball_without_a_scale():
    """An enclosure of zero that is not exactly zero has an infinite relative radius."""
    assert relative_radius("w", np.array([arb(0, 1e-30), arb(0)], dtype=object)) == np.inf
    assert relative_radius("w", np.array([arb(0), arb(0)], dtype=object)) == 0
    assert relative_radius("w", np.array([arb(4, 1), arb(2)], dtype=object)) == pytest.approx(0.25, rel=1e-6)
    assert relative_radius("w", np.array([arb("nan")], dtype=object)) == np.inf
