"""Several mistakes are peeled off one by one."""

import pytest

from tapecheck.faults import faults, program
from tapecheck.search.peel import DEPTH, Search


def search(room, fault):
    """A search for the mistakes of `fault` among all known ones."""
    return Search(room.problem, room.kept, fault(room.problem).gradients, faults(room.problem), {})


def complete(found, depth=DEPTH):
    """The first lot of states in which everything holds."""
    return next(found.complete(depth, lambda share: None), [])


def said(found, state):
    """What the faults of a state, and all that come to the same, compute."""
    return {fault.wrong for group in found.equals(state) for fault in group}


SETS = [
    [("df", "df = dc * c"), ("dh_next", "dh_next = dz @ W_h")],
    [("dc_next", "dc_next = dc"), ("db", "db = db + dz.mean(axis=0)")],
    [("scale", "all gradients times B"), ("dz_g", "dz_g = dg")],
    [("df", "df = dc * c"), ("dz_g", "dz_g = dg"), ("dW_h", "dW_h = dW_h + h.T @ dz")],
]


@pytest.mark.parametrize("planted", SETS, ids=lambda planted: "+".join(wrong for _, wrong in planted))
def test_all_of_them_are_found(planted, room):
    """Two, a convention among them, and three."""
    every = [room.fault(*one) for one in planted]
    together = sum(every[1:], every[0])
    quantities = {quantity for quantity, _ in planted}
    known = [fault for fault in faults(room.problem) if fault.quantity in quantities]
    found = Search(room.problem, room.kept, together(room.problem).gradients, known, {})
    states = complete(found)
    assert {len(state.faults) for state in states} == {len(planted)}
    assert {wrong for _, wrong in planted} <= said(found, states[0])


def test_a_wrong_gradient_of_the_head_does_not_poison_what_is_read(room):
    """dW_y gives a wrong dlogits away where it is wrong itself: then an answer is also read without it."""
    wrong = room.fault("dW_y", "the Dense kernel times 1/(B*T)")
    below = room.fault("dh_above", "all below the head times 2/T")
    found = search(room, wrong + below)
    assert not found.roots[-1].has("dlogits")
    assert {fault.wrong for fault in (wrong, below)} <= set[str]().union(
        *(said(found, state) for states in found.complete(2, lambda share: None) for state in states)
    )


def test_it_ends_when_its_runs_are_used_up(room):
    """With too few runs of the textbook nothing is found, and no error is made of that."""
    fault = room.fault("df", "df = dc * c") + room.fault("db", "db = db + dz.mean(axis=0)")
    gradients = fault(room.problem).gradients
    found = Search(room.problem, room.kept, gradients, faults(room.problem), {}, runs=3)
    assert complete(found) == []
    assert found.runs <= 0


def test_no_deeper_than_it_is_asked(room):
    """With one mistake at most, two are not found."""
    two = room.fault("dc_next", "dc_next = dc") + room.fault("db", "db = db + dz.mean(axis=0)")
    assert complete(search(room, two), depth=1) == []


def test_what_comes_to_the_same_is_said_with_it(room):
    """Every gradient of the LSTM's weights over B: with nothing below them the same as all below the head."""
    halved = room.fault("dW_x", "the LSTM's weights times 1/B") + room.fault("df", "df = dc * c")
    gradients = halved(room.problem).gradients
    weights = {name: array for name, array in gradients.items() if name != "x" and "initial" not in name}
    found = Search(room.problem, room.kept, weights, faults(room.problem), {})
    wrong = set[str]().union(*(said(found, state) for state in complete(found)))
    assert {"the LSTM's weights times 1/B", "all below the head times 1/B", "df = dc * c"} <= wrong


def test_the_share_of_the_work_grows_to_all_of_it(room):
    """What a bar is told, where nothing is found."""
    gradients = room.edited("dc_next", "dc_next = dc * f**1.5")
    shares = []
    found = Search(room.problem, room.kept, gradients, faults(room.problem), {})
    assert list(found.complete(2, shares.append)) == []
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


def test_what_is_mended_for_good_is_told_apart_from_the_rest(room):
    """A known mistake beside one that nobody can name: the known one, and what remains broken."""
    known = room.fault("df", "df = dc * c")
    line = program.compiled_lines("dc_next = dc * f**1.5")
    code = {**known.code, program.LSTM_BACKWARD.lines["dc_next"].key: line}
    gradients = program.backpropagate(room.problem, code, room.kept).gradients
    found = Search(room.problem, room.kept, gradients, faults(room.problem), {})
    assert complete(found, depth=2) == []
    state = found.partial()
    assert [fault.wrong for fault in state.faults] == ["df = dc * c"]
    assert [residual.quantity for residual in state.broken] == ["dc_next"]
