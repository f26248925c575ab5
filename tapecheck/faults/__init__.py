"""Faults: every single edit of the textbook's equations, and the conventions that scale or reorder results.

A fault is an implementation: call it with a Problem and it answers what a person who made that mistake
would get. The edits are made from the source of `reference_impl/textbook`, so a fault names the
equation, what was computed instead, and the line where the right one stands.
"""

from tapecheck.faults.every import faults, further
from tapecheck.faults.fault import BROKEN, RANK, WHY, Fault, slope
from tapecheck.faults.fitted import clipped_by_norm, clipped_by_value, fitted, times
from tapecheck.faults.forwards import other_forwards
from tapecheck.faults.places import equation_of, forward_equation_of

__all__ = [
    "BROKEN",
    "RANK",
    "WHY",
    "Fault",
    "clipped_by_norm",
    "clipped_by_value",
    "equation_of",
    "faults",
    "fitted",
    "forward_equation_of",
    "further",
    "other_forwards",
    "slope",
    "times",
]
