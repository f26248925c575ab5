"""On forced values a mistake shows where it was made and nowhere else."""

import numpy as np

from tapecheck.faults import program
from tapecheck.search.forced import near


def failing(forced, code=()):
    """The cells that do not hold, once each for all steps."""
    run = forced.run(dict(code))
    cells = zip(forced.cells, run.holds, strict=True)
    return {(cell.name, cell.part) for cell, holds in cells if not holds}


def test_everything_holds_for_the_textbook(room):
    """Its own values follow from each other."""
    forced = room.forced(room.edited("dc", "dc = d_phi(dh * o, c, phi_c) + dc_next"))
    assert forced.run({}).holds.all()
    assert len(forced.cells) == 4 * 4 + 1 + 4 + 3 * 4 + 2 + 2  # dz, dlogits, x, LSTM, states, head


def test_a_wrong_carry_leaves_what_comes_after_it_alone(room):
    """dh_next wrong at every step: each dz is told to be wrong, and nothing that is made of dz alone is."""
    forced = room.forced(room.edited("dh_next", "dh_next = -dz @ W_h.T"))
    states = {("lstm/initial_h", ""), ("lstm/initial_c", "")}
    assert failing(forced) == {*(("lstm", f"dz_{gate}") for gate in "ifgo"), *states}


def test_a_wrong_gate_is_wrong_alone(room):
    """df of c: dz_f at every step, no other gate, no sum."""
    forced = room.forced(room.edited("df", "df = dc * c"))
    assert failing(forced) == {("lstm", "dz_f")}


def test_with_the_mistake_in_it_everything_holds(room):
    """A fault mends what it broke, and another one of two is left as it is."""
    transposed = room.fault("dh_next", "dh_next = dz @ W_h")
    state = room.fault("df", "df = dc * c")
    forced = room.forced((transposed + state)(room.problem).gradients)
    assert failing(forced, transposed.code) == {("lstm", "dz_f")}
    assert failing(forced, {**transposed.code, **state.code}) == set()


def test_two_runs_that_compute_the_same_have_one_print(room):
    """And two that do not have two."""
    forced = room.forced(room.edited("df", "df = dc * c"))
    prints = {
        name: forced.run(room.fault(*name).code).print
        for name in [("di", "di = dc"), ("dc_next", "dc_next = dc"), ("df", "df = dc * c")]
    }
    assert len({*prints.values()}) == 3
    assert forced.run(room.fault("di", "di = dc").code).print == prints["di", "di = dc"]


def test_code_that_cannot_run_is_no_answer(room):
    """An error in an exchanged line gives None."""
    forced = room.forced(room.edited("df", "df = dc * c"))
    code = {program.LSTM_BACKWARD.lines["di"].key: program.compiled_lines("di = dc * nowhere")}
    assert forced.run(code) is None


def test_near_measures_what_vanishes_by_its_source():
    """1e-13 beside 1 is zero where it is read off values of 1, and not by itself."""
    small = np.array([1e-13])
    assert not near(small, 2 * small)
    assert near(small, 2 * small, top=1.0)
    assert not near(np.array([1e-9]), np.array([2e-9]), top=1.0)
