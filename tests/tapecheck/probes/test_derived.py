"""Derived problems: what is taken away is gone, all else is as it was, and the arrays still fit the case."""

from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Flatten, Sequential
from tapecheck import Case
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.exact import exact
from tapecheck.probes import derived

STACKED = Sequential([LSTM(3, return_sequences=True), LSTM(4), Dense(2)])
CASES = [
    Case("derived", Sequential([LSTM(3, return_sequences=True), Dense(2, activation="tanh")])),
    Case("derived-last", STACKED, initial_state="random"),
    Case("derived-flat", Sequential([LSTM(3, return_sequences=True), Flatten(), Dense(2)])),
    Case("derived-free", Sequential([LSTM(3, return_sequences=True)]), loss=None, dtype="float32"),
]
every_case = pytest.mark.parametrize("problem", [case.problem() for case in CASES], ids=lambda p: p.case.name)


def agree(problem, gradients, expected):
    """Whether two sets of gradients are the same to rounding, at the scale of the second."""
    return all(
        errors(name, gradients[name], expected[name].astype(np.longdouble), problem.dtype).max()
        <= FACTOR * FLOOR
        for name in problem.weights
    )


@every_case
def test_every_derived_problem_runs(problem):
    """Shapes, dtypes and case fit together: the shipped code, which checks them, takes all of them."""
    for made in (
        derived.cut(problem, batch=1),
        derived.cut(problem, timesteps=2),
        derived.at_rest(problem),
        derived.without_dh_next(problem),
        derived.without_dc_next(problem),
        derived.with_symmetric_kernel(problem),
        derived.steered(problem, -2),
        derived.with_free_upstream(problem),
        derived.in_float32(problem),
    ):
        assert made.x.shape == made.case.input_shape
        assert made.dtype == made.case.dtype
        assert set(made.reference.gradients) == set(problem.reference.gradients)


@every_case
def test_cut_keeps_the_first(problem):
    """The first row of a batch gives the first row of the output; all of it cut away changes nothing."""
    row = derived.cut(problem, batch=1).reference.output
    assert errors("", row, problem.reference.output[:1].astype(np.longdouble), problem.dtype).max() <= FACTOR
    whole = derived.cut(problem, batch=problem.case.batch, timesteps=problem.case.timesteps)
    assert whole.x.tobytes() == problem.x.tobytes()
    short = derived.cut(problem, timesteps=2)
    assert short.x.tolist() == problem.x[:, :2].tolist()


def test_kernel_behind_flatten_is_cut():
    """The rows of the steps that are left, in Flatten's order."""
    problem = CASES[2].problem()
    kernel = derived.cut(problem, timesteps=2).weights["dense/kernel"]
    assert kernel.tolist() == problem.weights["dense/kernel"][: 2 * 3].tolist()


@pytest.mark.parametrize("factor", [0, 1, -1, 1000])
@every_case
def test_steered_upstream_is_a_multiple(problem, factor):
    """The gradients are `factor` times as large, to what rounding leaves of the targets."""
    made = derived.steered(problem, factor).reference.gradients
    once = problem.reference.gradients
    size = max(abs(factor), 1)
    moved = {name: once[name] + (made[name] - factor * once[name]) / size for name in once}
    assert agree(problem, moved, once)


def test_steered_step_by_step():
    """A factor for each step: what comes after the last upstream gradient is exactly zero with loss=None."""
    problem = CASES[3].problem()
    first = np.zeros((5, 1))
    first[0] = 1
    dx = derived.steered(problem, first).reference.gradients["x"]
    assert dx[:, 0].all()
    assert not dx[:, 1:].any()


def test_a_crossentropy_is_not_steered():
    """None where targets would have to leave [0, 1]; the free upstream gradient is the same in its place."""
    case = Case(
        "derived-logits", Sequential([LSTM(3), Dense(2, activation="sigmoid")]), loss="binary_crossentropy"
    )
    problem = case.problem()
    assert derived.steered(problem, 2) is None
    free = derived.with_free_upstream(problem)
    assert agree(problem, free.reference.gradients, problem.reference.gradients)


def test_paths_are_cut():
    """With W_h = 0 and f = 0, only the last step's x has a gradient when only the last output does."""
    problem = Case("derived-paths", Sequential([LSTM(3), Dense(2)])).problem()

    def steps_with_gradient(made):
        size = np.abs(exact(made).tensors["x"]).max(axis=(0, 2))
        return [t for t in range(5) if size[t] > 1e-20 * size.max()]

    no_dh, no_dc = derived.without_dh_next(problem), derived.without_dc_next(problem)
    assert steps_with_gradient(problem) == steps_with_gradient(no_dh) == [0, 1, 2, 3, 4]
    assert steps_with_gradient(no_dc) == [0, 1, 2, 3, 4]
    assert steps_with_gradient(derived.without_dh_next(no_dc)) == [4]


def test_forget_gate_needs_a_bias_and_a_sigmoid():
    """None where it cannot be closed."""
    for arguments in (dict(use_bias=False), dict(recurrent_activation="tanh")):
        problem = Case("derived-open", Sequential([LSTM(3, **arguments), Dense(2)])).problem()
        assert derived.without_dc_next(problem) is None


def test_symmetric_blocks():
    """Each gate's block equals its transpose, and only the recurrent kernels differ."""
    problem = CASES[1].problem()
    made = derived.with_symmetric_kernel(problem)
    for name, array in made.weights.items():
        if not name.endswith("/recurrent_kernel"):
            assert array is problem.weights[name]
            continue
        for block in np.split(array, 4, axis=1):
            assert (block == block.T).all()


def test_float32_rounds_every_array():
    """The case says so too."""
    made = derived.in_float32(CASES[1].problem())
    arrays = [made.x, made.y, *made.weights.values(), *made.initial_state.values()]
    assert {array.dtype.name for array in arrays} == {made.case.dtype} == {"float32"}


def test_the_given_problem_is_never_written_into():
    """Deriving leaves the arrays of the problem as they are."""
    problem = CASES[1].problem()
    kept = problem.copy()
    derived.without_dh_next(derived.without_dc_next(derived.cut(problem, batch=2)))
    derived.steered(derived.at_rest(problem), 3).x[...] = 0
    assert replace(problem, x=kept.x).weights.keys() == kept.weights.keys()
    assert all((problem.weights[name] == kept.weights[name]).all() for name in kept.weights)
    assert (problem.y == kept.y).all()
