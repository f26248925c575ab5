"""Clipping shows in the numbers, and what is wrong behind it is still named."""

import numpy as np
import pytest

from tapecheck import Result
from tapecheck.diagnose import diagnose
from tapecheck.faults import clipped_by_norm, clipped_by_value, program
from tapecheck.fit import Seen
from tapecheck.questions import elsewhere
from tapecheck.search.clipping import shown


def clipping(how, problem):
    """The clipping of every gradient to a limit that they reach."""
    return how(0.01, problem.tensors)


@pytest.mark.parametrize("how", [clipped_by_value, clipped_by_norm])
def test_a_mistake_behind_clipping_is_named(how, room):
    """Both are said, and for certain: the equation and the limit."""
    problem, fault = room.problem, room.fault("df", "df = dc * c")
    both = fault + clipping(how, problem)
    found = diagnose(both, problem, both(problem))
    assert [diagnosis.quantity for diagnosis in found] == ["df", "clipping"]
    assert all(diagnosis.certain for diagnosis in found)
    assert found[0].equation == "df = dc * c"
    assert "0.01" in found[1].equation


def test_clipping_that_is_not_reached_beside_a_mistake(room):
    """A limit that no gradient of these problems reaches shows with larger targets, and both are named."""
    problem, fault = room.problem, room.fault("df", "df = dc * c")
    both = fault + clipped_by_value(50, problem.tensors)
    assert both.run(problem).gradients["lstm/kernel"].max() < 10
    found = diagnose(both, problem, both(problem))
    assert [(each.quantity, each.certain) for each in found] == [("df", True), ("clipping", True)]
    assert found[1].equation == "every gradient clipped to +-50"


def test_clipping_before_something_unknown_is_a_lead(room):
    """Where no known mistake is behind it the clipping is said, and not as the whole truth."""

    code = {program.LSTM_BACKWARD.lines["di"].key: program.compiled_lines("di = dc * np.sin(g)")}

    def implementation(problem):
        wrong = program.backpropagate(problem, code).gradients
        return Result({name: np.clip(gradient, -0.01, 0.01) for name, gradient in wrong.items()})

    (found,) = diagnose(implementation, room.problem, implementation(room.problem))
    assert (found.quantity, found.certain) == ("clipping", False)


def test_a_largest_entry_that_stands_alone_is_no_limit(room):
    """Gradients that are not clipped show no clipping."""
    problem = room.problem
    wrong = room.fault("df", "df = dc * c")
    seen = [Seen(each, wrong(each)) for each in (problem, elsewhere(problem.case))]
    assert list(shown(seen)) == []
