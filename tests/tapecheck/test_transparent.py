"""Transparent problems: dz read off the gradients is the implementation's own, step by step."""

from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Dropout, Sequential
from reference_impl.lstm import GATES
from reference_impl.textbook import backpropagate
from tapecheck import Case
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.transparent import gatewise, read, recover_dz, transparent

BACKWARDS = LSTM(3, go_backwards=True, return_sequences=True)
STACKED = Sequential([LSTM(2, return_sequences=True), LSTM(3), Dense(2)])
CASES = [
    Case("transparent", Sequential([LSTM(3, return_sequences=True), Dense(2)]), 3, 5, 2),
    Case("transparent-wide", Sequential([LSTM(8), Dense(2)]), 2, 4, 3, initial_state="random"),
    Case("transparent-stacked", STACKED, dtype="float32"),
    Case("transparent-backwards", Sequential([BACKWARDS, Dense(2)]), 3, 5, 2, initial_state="random"),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def textbook(problem):
    """The textbook's pass, with its trace."""
    p = problem
    return backpropagate(p.model, p, p.loss)


def packed(trace):
    """The dz of a trace as (B, T, 4H)."""
    return np.concatenate([trace[f"lstm/dz_{gate}"] for gate in GATES], axis=2)


@every_case
def test_both_readings_are_the_trace(case):
    """Off the kernel to the last bit, off dx to rounding: what the code computed, whether right or not."""
    clear = transparent(case.problem())
    run = textbook(clear)
    reading = read(clear, run.gradients)
    assert (reading.by_kernel == packed(run.trace)).all()
    wide = packed(run.trace).astype(np.longdouble)
    assert errors("dz", reading.by_x, wide, clear.dtype).max() <= FACTOR * FLOOR


@every_case
def test_wide_enough_and_otherwise_the_same(case):
    """D is enough for both readings; all but x and the first kernel is the problem's own."""
    problem = case.problem()
    clear = transparent(problem)
    B, T, D = clear.x.shape
    H = problem.model.layers[0].units
    assert D == clear.case.features == max(B * T, 4 * H)
    assert clear.y is problem.y
    assert clear.initial_state is problem.initial_state
    for name, array in clear.weights.items():
        assert (array is problem.weights[name]) == (name != "lstm/kernel")
    z = clear.x.reshape(B * T, D) @ clear.weights["lstm/kernel"]
    assert 0.5 < z.std() < 2  # neither saturated nor nearly linear


def test_recover_dz_takes_what_is_returned():
    """Off dx where it is returned, off the kernel where it is not, None with neither or without an LSTM."""
    problem = CASES[0].problem()
    true = packed(textbook(transparent(problem)).trace).astype(np.longdouble)

    def only(*names):
        return lambda p: {name: g for name, g in p.reference.gradients.items() if name in names}

    for names in (("x",), ("lstm/kernel",), ("x", "lstm/kernel")):
        found = recover_dz(only(*names), problem)
        assert errors("dz", found, true, problem.dtype).max() <= FACTOR * FLOOR
    assert recover_dz(only("lstm/bias"), problem) is None
    assert recover_dz(lambda p: 1 / 0, problem) is None
    headed = Case("transparent-not", Sequential([Dense(3), LSTM(2), Dense(2)]))
    assert recover_dz(only("x"), headed.problem()) is None


def test_gradients_of_another_shape_are_not_read():
    """None, rather than a reading of something else."""
    clear = transparent(CASES[0].problem())
    gradients = clear.reference.gradients
    assert read(clear, {"x": gradients["x"][:1], "lstm/kernel": gradients["lstm/kernel"].T}) == (None, None)
    assert read(clear, {"x": gradients["x"].tolist()}) == (None, None)


def test_gatewise_splits_in_keras_order():
    """The columns of dz by trace name."""
    dz = np.arange(2 * 3 * 8).reshape(2, 3, 8)
    parts = gatewise(dz)
    assert list(parts) == ["lstm/dz_i", "lstm/dz_f", "lstm/dz_g", "lstm/dz_o"]
    assert (np.concatenate(list(parts.values()), axis=2) == dz).all()


def test_a_case_name_draws_one_kernel():
    """The same kernel every time, and another for another case."""
    problem = CASES[0].problem()
    first = transparent(problem).weights["lstm/kernel"]
    assert (first == transparent(problem).weights["lstm/kernel"]).all()
    renamed = replace(problem, case=replace(problem.case, name="transparent-other"))
    assert (first != transparent(renamed).weights["lstm/kernel"]).any()


@pytest.mark.parametrize(
    "case",
    [
        Case("clear-dropout", Sequential([LSTM(3, dropout=0.5, recurrent_dropout=0.5)]), training=True),
        Case("clear-dropped-above", Sequential([LSTM(3), Dropout(0.5), Dense(2)]), training=True),
        Case("clear-stateful", Sequential([LSTM(3, stateful=True), Dense(2)]), batches=3, resets=(1,)),
    ],
    ids=lambda case: case.name,
)
def test_what_belongs_to_other_features_is_left_out(case):
    """Factors of dropout and earlier batches were drawn for the features that x had."""
    clear = transparent(case.problem())
    assert clear.case.problem().dropout == clear.dropout == {}
    assert clear.before == ()
    run = textbook(clear)
    assert (read(clear, run.gradients).by_kernel == packed(run.trace)).all()


@pytest.mark.parametrize("tensor", ["kernel", "recurrent", "bias"])
def test_a_penalty_would_be_read_as_dz(tensor):
    """Its gradient is added to that of the weights, so nothing is read."""
    layer = LSTM(3, **{f"{tensor}_regularizer": "l2"})
    assert transparent(Case("clear-not", Sequential([layer, Dense(2)])).problem()) is None
