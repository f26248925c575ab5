"""Localization: the first wrong place is named, and what is only contaminated is told from the source."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, RepeatVector, Sequential
from reference_impl.textbook import lstm
from tapecheck import Case
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.exact import exact, run_textbook
from tapecheck.localize import (
    BACKWARD,
    FORWARD,
    Divergence,
    copy_of,
    forced,
    localize,
    order,
    sequential,
    stretches,
    watched_textbook,
)
from tf_oracle import taps

STACKED = Case(
    "localize",
    Sequential([LSTM(3, return_sequences=True), LSTM(4, return_sequences=True), Dense(2)]),
    timesteps=6,
    initial_state="random",
)
SINGLE = Case("localize-single", Sequential([LSTM(4, return_sequences=True), Dense(2)]), timesteps=6)
T = 6
LAST = T - 1


def textbook_trace(problem, *edits):
    """The trace of the textbook in the problem's dtype, pieces of its LSTM's source replaced."""
    source = inspect.getsource(lstm)
    for right, wrong in edits:
        assert source.count(right) == 1, right
        source = source.replace(right, wrong)
    book, edited = copy_of(sequential), copy_of(lstm)
    exec(source, vars(edited))
    vars(book)["lstm"] = edited
    return run_textbook(problem, lambda array: array, book).trace


def located(case, *edits, only=None):
    """The localization of a trace with `edits`, of which `only` some quantities are given."""
    problem = case.problem()
    trace = textbook_trace(problem, *edits)
    given = {name: value for name, value in trace.items() if only is None or name.split("/")[1] in only}
    return localize(problem, given, exact(problem))


def quantities(localization):
    """The quantities that introduce an error."""
    return {place.quantity for place in localization.sources}


# One edit of the textbook, the place where it shows first in a single LSTM, and the quantity it edits.
PLANTED = {
    "gate": (("f = sigma(z_f)", "f = phi(z_f)"), ("forward", 0, "f")),
    "late cell": (("c = f * c_prev + i * g", "c = f * c_prev + i * g * (t != 2)"), ("forward", 2, "c")),
    "output": (("h = o * phi_c", "h = o * (phi_c if t < 4 else c)"), ("forward", 4, "h")),
    "dropped dh_next": (("dh_next = dz @ W_h.T", "dh_next = 0 * dh"), ("backward", LAST - 1, "dh")),
    "exploding": (("dh_next = dz @ W_h.T", "dh_next = dz @ W_h.T * 1e8"), ("backward", LAST - 1, "dh")),
    "dropped dc_next": (("dc_next = dc * f", "dc_next = 0 * dc"), ("backward", LAST - 1, "dc")),
    "no tanh derivative": (("dc = d_phi(dh * o, c, phi_c)", "dc = dh * o"), ("backward", LAST, "dc")),
    "c_t for c_prev": (("df = dc * c_prev", "df = dc * c"), ("backward", LAST, "dz_f")),
    "only at step 1": (("do = dh * phi_c", "do = dh * phi_c * (1 + (t == 1))"), ("backward", 1, "dz_o")),
    "one step's dh_above": (("dh_above = dy[:, t]", "dh_above = dy[:, t] * (t != 3)"), ("backward", 3, "dh")),
    "activated twice": (("d_phi(dg, z_g, g)", "d_phi(dg, z_g, np.tanh(g))"), ("backward", LAST, "dz_g")),
}


BACK = {name: planted for name, planted in PLANTED.items() if planted[1][0] == "backward"}


@pytest.mark.parametrize(("edit", "where"), PLANTED.values(), ids=PLANTED)
def test_planted_edit_is_found_and_nothing_else_blamed(edit, where):
    """The phase, step and quantity of one edited equation; every other wrong value is contaminated only."""
    found = located(SINGLE, edit)
    phase, step, quantity = where
    assert found.first_divergence == Divergence(phase, "lstm", step, quantity)
    assert quantities(found) == {quantity}


@pytest.mark.parametrize(("edit", "where"), BACK.values(), ids=BACK)
def test_planted_edit_is_found_from_dz_alone(edit, where):
    """With no other tensor traced, a backward edit is still traced to its own quantity and step."""
    found = located(SINGLE, edit, only=("dz_i", "dz_f", "dz_g", "dz_o"))
    assert found.first_divergence == Divergence("backward", "lstm", *where[1:])


def test_every_part_of_a_trace_will_do():
    """Whatever is left out, a first divergence is never before the edit, and on the edit if it is traced."""
    edit, where = PLANTED["dropped dc_next"]
    for only in (("dc",), ("dh", "dc"), ("dh",), ("dz_f",), ("dz_i", "dz_o"), (*FORWARD, "dz_g")):
        found = located(SINGLE, edit, only=only).first_divergence
        assert found.phase == "backward"
        assert found.step == (LAST - 2 if only == ("dh",) else LAST - 1), only
        assert ("dc" not in only) or found.quantity == where[2]


def test_layers_come_in_the_order_of_the_pass():
    """The same edit in both layers: forward the first layer is named first, backward the last one."""
    forward = located(STACKED, PLANTED["late cell"][0])
    assert forward.first_divergence == Divergence("forward", "lstm", 2, "c")
    assert {place.layer for place in forward.sources} == {"lstm", "lstm_1"}
    backward = located(STACKED, PLANTED["c_t for c_prev"][0])
    assert backward.first_divergence == Divergence("backward", "lstm_1", LAST, "dz_f")
    assert {(place.layer, place.quantity) for place in backward.sources} == {
        ("lstm", "dz_f"),
        ("lstm_1", "dz_f"),
    }
    assert len(backward.sources) == 2 * T


def test_forward_comes_before_backward():
    """A wrong backward pass behind a wrong forward pass: the forward place first, both blamed."""
    found = located(SINGLE, PLANTED["output"][0], PLANTED["c_t for c_prev"][0])
    assert found.first_divergence == Divergence("forward", "lstm", 4, "h")
    assert quantities(found) == {"h", "dz_f"}


def test_two_edits_are_two_sources():
    """The second fault, behind the first and drowned in its contamination, is still seen."""
    found = located(SINGLE, PLANTED["dropped dh_next"][0], PLANTED["only at step 1"][0])
    assert found.first_divergence == Divergence("backward", "lstm", LAST - 1, "dh")
    assert [place.step for place in found.sources if place.quantity == "dz_o"] == [1]
    assert quantities(found) == {"dh", "dz_o"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", [STACKED.model, Sequential([LSTM(3, activation="relu"), Dense(2)])])
def test_right_traces_have_no_divergence(model, dtype):
    """TensorFlow's own trace, and the textbook's in floats, have no divergence, on many draws."""
    for seed in range(5):
        p = Case(
            "localize-right", model, timesteps=7, dtype=dtype, initial_state="random", seed=seed
        ).problem()
        oracle = taps.run(p.model, p, p.loss)
        for trace in (oracle, textbook_trace(p)):
            found = localize(p, trace, exact(p), oracle)
            assert found.first_divergence is None
            assert (found.sources, found.problems) == ((), ())
        assert localize(p, oracle, exact(p)).first_divergence is None


def test_the_oracle_sets_the_limit():
    """An error of 100 eps passes where TensorFlow's is as large, and not where TensorFlow is far off."""
    p = SINGLE.problem()
    trace, truth, eps = textbook_trace(p), exact(p), np.finfo(SINGLE.dtype).eps

    def off(by):
        return trace | {"lstm/f": trace["lstm/f"] * (1 + by * eps)}

    first = Divergence("forward", "lstm", 0, "f")
    assert localize(p, off(100), truth).first_divergence == first
    assert localize(p, off(100), truth, off(100)).first_divergence is None
    assert localize(p, off(100), truth, off(1e6)).first_divergence == first


def test_nothing_is_blamed_behind_nan():
    """NaN is where it first appears; what NaN came into cannot be judged and is not blamed."""
    found = located(SINGLE, ("g = phi(z_g)", "g = phi(z_g) * (np.nan if t == 2 else 1)"))
    assert found.first_divergence == Divergence("forward", "lstm", 2, "g")
    assert [(place.step, place.quantity) for place in found.sources] == [(2, "g")]


def test_unusable_tensors_are_named():
    """A misspelt name with the nearest one, a wrong shape or dtype, no array: said, and not compared."""
    p = SINGLE.problem()
    trace = {
        "lstm/dzf": np.zeros((3, 6, 4)),
        "lstm/f": np.zeros((6, 3, 4)),
        "lstm/i": np.zeros((3, 6, 4), np.float32),
        "lstm/g": [1.0],
    }
    found = localize(p, trace, exact(p))
    assert found.problems == (
        "trace 'lstm/dzf' is no tensor of this model; did you mean 'lstm/dz_f'?",
        "trace 'lstm/f' has shape (6, 3, 4), but should be (3, 6, 4)",
        "trace 'lstm/i' is float32, but should be float64: precision was lost on the way",
        "trace 'lstm/g' is a list, but should be a NumPy array of shape (3, 6, 4)",
    )
    assert found.first_divergence is None
    assert found.lines[-1] == "no trace tensor could be compared"


def test_gate_of_a_divergence():
    """Gates have one, with dz or without; states have none."""
    gates = {q: Divergence("backward", "lstm", 0, q).gate for q in (*FORWARD, *BACKWARD)}
    assert [gates[q] for q in ("i", "f", "g", "o", "dz_i", "dz_f", "dz_g", "dz_o")] == list("ifgoifgo")
    assert {gates[q] for q in ("c", "h", "dc", "dh")} == {None}


def test_text_shows_the_source_and_the_contamination():
    """Last step first, the first divergence marked, its own errors starred, in ASCII and 100 columns."""
    found = located(SINGLE, PLANTED["only at step 1"][0])
    lines = found.lines
    assert lines[0] == "first divergence: dz_o of lstm at step 1 (backward)"
    rows = {line.split()[0]: line for line in lines if line.startswith("t=")}
    assert list(rows) == ["t=4", "t=3", "t=2", "t=1", "t=0"]  # three steps before the first divergence
    assert rows["t=1"].endswith("<- first divergence: gate o")
    assert rows["t=0"].endswith("(contaminated from here on)")
    assert [row.count("*") for row in rows.values()] == [0, 0, 0, 1, 0]
    assert "* lstm/dz_o does not follow from the values before it, at step 1" in lines
    assert all(len(line) <= 100 and line.isascii() for line in lines)
    assert str(found) == "\n".join(lines)


def test_text_of_a_right_trace():
    """How many tensors agree, and which is the furthest off."""
    assert located(SINGLE).lines[0].startswith("all 12 trace tensors agree at every step (worst lstm/")


def test_long_sequences_are_cut():
    """A table of 60 steps shows those around the first divergence, and says that it does."""
    case = replace(SINGLE, timesteps=60)
    edit = ("do = dh * phi_c", "do = dh * phi_c * (1 + (t == 30))")
    lines = located(case, edit).lines
    assert [line.split()[0] for line in lines if line.startswith("t=")] == [
        f"t={t}" for t in range(33, 22, -1)
    ]
    assert lines[2] == "per step, error of lstm in eps of scale (last step first, 11 of 60 steps)"


# ---- teacher forcing


def test_forcing_nothing_is_the_textbook():
    """With no trace the watched textbook is the textbook: all quantities, all steps, to longdouble."""
    p = STACKED.problem()
    due, true = forced(p, {}), exact(p).trace
    assert set(due) == set(true)
    for name, value in due.items():
        assert errors(name, value, true[name], np.dtype(np.longdouble)).max() <= FACTOR * FLOOR, name


def test_forced_values_are_carried_on():
    """A value put in place of h at step 2 reaches the gates of step 3, and no earlier one."""
    p = SINGLE.problem()
    plain = forced(p, {})
    moved = plain["lstm/h"].astype(float)
    moved[:, 2] += 1
    due = forced(p, {"lstm/h": moved})
    apart = np.abs(due["lstm/i"] - plain["lstm/i"]).max(axis=(0, 2))
    assert list(apart > 1e-3) == [False, False, False, True, False, False]


def test_every_quantity_is_seen_once_a_step_in_order():
    """The textbook's own order is the order of divergences: 12 quantities, T steps, forward then backward."""
    p, seen = SINGLE.problem(), []

    def see(quantity, value):
        seen.append(quantity)
        return value

    run_textbook(p, lambda array: array, watched_textbook(see))
    forward, backward = seen[: T * len(FORWARD)], seen[T * len(FORWARD) :]
    assert forward == [*FORWARD] * T
    steps = [set(backward[k : k + len(BACKWARD)]) for k in range(0, len(backward), len(BACKWARD))]
    assert steps == [set(BACKWARD)] * T
    assert len(list(order({"lstm": T}))) == len(seen)


def below(units, **arguments):
    """An LSTM that hands on all its steps."""
    return LSTM(units, return_sequences=True, **arguments)


OTHER_STEPS = [
    Case("localize-repeat", Sequential([LSTM(3), RepeatVector(5), below(2), Dense(2)]), 2, 3, 2),
    Case("localize-backwards", Sequential([below(3, go_backwards=True), LSTM(2), Dense(2)]), 2, 4, 2),
    Case("localize-stateful", Sequential([below(3, stateful=True), LSTM(2), Dense(2)]), 2, 4, 2, batches=3),
]


@pytest.mark.parametrize("case", OTHER_STEPS, ids=lambda case: case.name)
def test_layers_of_other_steps(case):
    """Where two LSTMs take different numbers of steps, one starts at the end, or batches came before: a
    right trace has no divergence, and an error is introduced at the one place where it was put.
    """
    p = case.problem()
    true, trace = exact(p), run_textbook(p, np.asarray).trace
    assert localize(p, trace, true).first_divergence is None
    for name in ("lstm/f", "lstm_1/dz_g"):
        wrong = trace | {name: trace[name].copy()}
        wrong[name][:, 2] += 0.5
        found = localize(p, wrong, true)
        layer, _, quantity = name.partition("/")
        assert found.first_divergence[1:] == (layer, 2, quantity)
        assert [place[1:] for place in found.sources] == [(layer, 2, quantity)]


def test_stretches():
    """Steps in words."""
    assert stretches([3]) == "step 3"
    assert stretches([5, 0, 1, 2]) == "steps 0-2, 5"
