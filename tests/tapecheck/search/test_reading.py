"""The gradients of a roomy problem give away the values that they were made of."""

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.exact import run_textbook
from tapecheck.questions import sizes_of
from tapecheck.search.reading import roomy, solver

STACKED = Case("read-stacked", Sequential([LSTM(3, return_sequences=True), LSTM(4), Dense(2)]))
CASES = [
    Case("read", Sequential([LSTM(4, return_sequences=True), Dense(2)]), initial_state="random"),
    Case("read-last", Sequential([LSTM(4), Dense(2)])),
    STACKED,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_way_of_reading_gives_back_the_true_dz(case, room_of):
    """Off dx, dW_x or dW_h: the same dz of every step, where one is known at all, and the same dlogits."""
    room = room_of(case)
    right = run_textbook(room.problem, np.asarray)
    ways = list(room.reader.ways(right.gradients))
    assert len(ways) >= 6
    for way in ways:
        for name, values in room.reader.read(right.gradients, way).items():
            if name.startswith("dense"):
                continue
            true = np.concatenate([right.trace[f"{name}/dz_{gate}"] for gate in "ifgo"], axis=2)
            known = np.isfinite(values)
            assert known.mean() >= 0.75
            top = np.abs(true).max()
            # solved for, which costs digits by the condition of the kernel: 1e-12 are left here at worst
            np.testing.assert_allclose(values[known], true[known], rtol=1e-9, atol=1e-12 * top)


def test_no_gradient_no_value(room):
    """What an implementation does not return gives nothing away, nor does NaN."""
    nothing = {"dense/kernel": room.problem.weights["dense/kernel"] * np.nan}
    assert list(room.reader.ways(nothing)) == [("", "")]
    assert list(room.reader.ways({})) == [("", "")]
    assert room.reader.read({}, ("", "")) == {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rooms_keep_equal_sizes_equal(case):
    """Fewer rows than units in the first room, and sizes that were apart stay apart."""
    first = next(roomy(case))
    before, after = sizes_of(case), sizes_of(first)
    assert min(after) > first.batch * first.timesteps
    assert len({*zip(before, after, strict=True)}) == len({*before}) == len({*after})


def test_rows_that_depend_on_each_other_are_not_believed():
    """Two equal rows, or more rows than columns: the gradient has no one answer."""
    rows = np.random.default_rng(0).standard_normal((3, 5))
    assert solver(rows) is not None
    assert solver(np.vstack([rows, rows[:1]])) is None
    assert solver(rows.T) is None
