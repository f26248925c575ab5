"""docs/adequacy.md: what published test designs cannot see, run again."""

import re

import pytest

from benchmarks.designs import DESIGNS, missed
from tapecheck.faults import faults

# The share of mistakes that a design misses moves a little with every mistake that is added to the list.
POINTS = 2


@pytest.fixture
def rows(page):
    """The cells of the page's table by design."""
    lines = re.findall(r"^\| (.+) \|$", page, flags=re.MULTILINE)
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return {name: rest for name, *rest in cells if name in DESIGNS}


@pytest.mark.parametrize("name", DESIGNS)
def test_share_that_a_design_misses(figures, name):
    """The shares on the page are those of a run, to two points; ours misses next to nothing."""
    line = next(line for line in figures("Published designs").splitlines() if line.startswith(name))
    shown = [int(number) for number in re.findall(r"(\d+) %", line)]
    found = missed(DESIGNS[name].design)
    assert len(shown) == len(found)
    assert all(abs(a - b) <= POINTS for a, b in zip(shown, found, strict=True)), found
    assert found.free_sizes < 0.5  # a limit that one draw reaches and another does not


@pytest.mark.parametrize("name", DESIGNS)
def test_examples_of_what_a_design_misses(rows, name):
    """Each is described as in the code, and misses every example that the page gives."""
    what, design = DESIGNS[name]
    said, examples = rows[name]
    assert said == what
    wrong = re.findall(r"`(.+?)`", examples)
    known = [fault for fault in faults(design.case.problem()) if fault.wrong in wrong]
    assert {fault.wrong for fault in known} == set(wrong)
    assert wrong
    assert design.sees(known) == set()
