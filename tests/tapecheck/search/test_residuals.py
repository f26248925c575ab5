"""Without any list of mistakes, the broken equation is named from the implementation's own values."""

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.search.residuals import residuals

BROKEN = [
    ("do", "do = dh * c", ["dz_o"]),
    ("df", "df = dc * c", ["dz_f"]),
    ("dz_g", "dz_g = dg", ["dz_g"]),
    ("dc", "dc = dh * (1 - phi_c * phi_c) + dc_next", ["dc"]),
    ("dc_next", "dc_next = dc * f * f", ["dc_next"]),
    ("dh_next", "dh_next = -dz @ W_h.T", ["dh_next"]),
    ("dh_above", "dh_above = 2 * dy[:, t]", ["dh_above"]),
    ("dW_x", "dW_x = x_t.T @ dz", ["dW_x"]),
    ("dW_h", "dW_h = dW_h + h.T @ dz", ["dW_h"]),
    ("db", "db = db + dz.mean(axis=0)", ["db"]),
    ("dx_t", "dx_t = -dz @ W_x.T", ["dx"]),
]


@pytest.mark.parametrize(("target", "line", "broken"), BROKEN, ids=[line for _, line, _ in BROKEN])
def test_the_one_broken_equation(target, line, broken, room):
    """One line wrong: its equation, and no other."""
    forced = room.forced(room.edited(target, line))
    assert [each.quantity for each in residuals(forced, {})] == broken


def test_the_head(room):
    """A sum of the head is broken by itself; dlogits through what it makes."""
    right = room.edited("di", "di = dc * g")
    gradients = right | {"dense/bias": right["dense/bias"] / 2}
    assert [each.quantity for each in residuals(room.forced(gradients), {})] == ["db_y"]


def test_several_broken_equations_do_not_hide_each_other(room):
    """Of a gate, a carry and a sum each is named, and the first step at which it is seen."""
    fault = room.fault("df", "df = dc * c") + room.fault("dh_next", "dh_next = dz @ W_h")
    fault += room.fault("db", "db = db + dz.mean(axis=0)")
    found = residuals(room.forced(fault(room.problem).gradients), {})
    assert {each.quantity: each.step for each in found} == {"dz_f": 3, "dh_next": 2, "db": None}


def test_nothing_is_broken_where_all_is_right(room):
    """The textbook breaks none of its equations."""
    assert residuals(room.forced(room.edited("di", "di = dc * g")), {}) == []


def test_a_layer_of_a_stack_is_named(room_of):
    """The same mistake in the upper layer alone is found there."""
    model = Sequential([LSTM(3, return_sequences=True), LSTM(4, return_sequences=True), Dense(2)])
    room = room_of(Case("residuals-stacked", model))
    fault = room.fault("df", "df = dc * c in lstm_1")
    (found,) = residuals(room.forced(fault(room.problem).gradients), {})
    assert (found.layer, found.quantity) == ("lstm_1", "dz_f")


def test_samples_are_both_sides_of_the_equation(room):
    """At every step what the implementation has, and what it should have: c / c_prev apart for df of c."""
    (found,) = residuals(room.forced(room.edited("df", "df = dc * c")), {})
    assert [sample.step for sample in found.samples] == [3, 2, 1, 0]
    for sample in found.samples:
        ratio = sample.values["c"] / sample.values["c_prev"]
        np.testing.assert_allclose(sample.own, sample.due * ratio, rtol=1e-9)  # solved for: 1e-11 here
