"""Where an equation stands in the textbook: its line by what it gives, and the equation by its line."""

import ast
from collections.abc import Sequence

from tapecheck.faults import program
from tapecheck.faults.program import Assignment

BACKWARDS = (program.LSTM_BACKWARD, program.DENSE_BACKWARD)
FIRST = {"start": program.LSTM_BACKWARD, "loss": program.BACKPROPAGATE}


def place(target: str) -> Assignment:
    """The line of a target of `specials`: Dense's where the LSTM has one too, but for "lstm dh_above"; that
    of the stack's loop for "stack dy", and the first of several for "start dc_next", of the LSTM's loop, and
    for "loss dy".
    """
    prefix, _, name = target.partition(" ")
    if prefix in FIRST:
        return next(line for line in FIRST[prefix].assignments if line.target == name)
    within = {"lstm": program.LSTM_BACKWARD, "stack": program.BACKPROPAGATE}
    if prefix in within:
        return within[prefix].lines[name]
    return [each for each in BACKWARDS if target in each.lines][-1].lines[target]


def location_of(line: Assignment) -> str:
    """ "textbook/lstm.py:88"."""
    module, number, _ = line.key
    return f"{'/'.join(module.split('.')[1:])}.py:{number}"


def is_start(line: Assignment) -> bool:
    """Whether the line gives what the loop carries its first value."""
    return any(
        line.target == other.target and line.key < other.key for other in program.LSTM_BACKWARD.assignments
    ) and line.target in ("dh_next", "dc_next")


def equation_of(quantity: str) -> tuple[str, str]:
    """The textbook's backward equation for a quantity, and where it stands."""
    if quantity == "dy":
        line = place("loss dy")
        return f"dy = {ast.unparse(line.value)}", location_of(line)
    return written({"dx": "dx_t"}.get(quantity, quantity), BACKWARDS[:: -1 if quantity == "dh_above" else 1])


def forward_equation_of(quantity: str) -> tuple[str, str]:
    """The same for a quantity of the forward pass."""
    return written(quantity, (program.LSTM_FORWARD, program.DENSE_FORWARD))


def written(target: str, programs: Sequence[program.Program]) -> tuple[str, str]:
    """The equation of the first of the programs that has one for `target`."""
    for line in (each.lines[target] for each in programs if target in each.lines):
        return f"{target} = {ast.unparse(line.value)}", location_of(line)
    return "", ""
