"""The derivation as code: one equation a line, one time step at a time, generic in its arithmetic.

float32, float64, longdouble, complex and object arrays of balls all run through the same lines.
"""

from reference_impl.textbook.sequential import Pass, backpropagate, carried, forward

__all__ = ["Pass", "backpropagate", "carried", "forward"]
