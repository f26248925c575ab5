"""What the tests of the search share: a mistake as it shows on a problem with room to read it."""

import pytest

from tapecheck.catalogue import named
from tapecheck.faults import faults, program
from tapecheck.search.peel import Search
from tapecheck.search.reading import Reader, roomy

(CASE,) = named(["random-state"])


class Room:
    """A roomy problem of a case."""

    def __init__(self, case=CASE):
        self.problem = next(roomy(case)).problem()
        self.kept = program.forward(self.problem, {})
        self.reader = Reader(self.problem, self.kept)

    def fault(self, quantity, wrong):
        """The one known fault that computes `wrong`."""
        (fault,) = [f for f in faults(self.problem) if (f.quantity, f.wrong) == (quantity, wrong)]
        return fault

    def edited(self, target, line):
        """The gradients with one line of the LSTM's backward pass exchanged."""
        code = {program.LSTM_BACKWARD.lines[target].key: program.compiled_lines(line)}
        return program.backpropagate(self.problem, code, self.kept).gradients

    def forced(self, gradients):
        """These gradients, read in the best way."""
        return Search(self.problem, self.kept, gradients, (), {}).roots[0].forced


@pytest.fixture(scope="package")
def room():
    """A roomy problem of one LSTM under a Dense."""
    return Room()


@pytest.fixture(scope="package")
def room_of():
    """What makes a roomy problem of any case."""
    return Room
