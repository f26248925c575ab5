"""What a failed tensor shows: how it lies to the exact one, where it is worst, and who is outvoted there."""

import math

import numpy as np

from reference_impl import GATES
from tapecheck.compare import FAILED, TensorReport
from tapecheck.problem import Problem

# Cosines this near to 1 are called 1.
ALIKE = 1e-6


def shape_of_error(tensor: TensorReport, eps: float) -> str:
    """What kind of wrong a failed tensor is: its note, or how it lies to the exact one."""
    if tensor.verdict != FAILED:
        return ""
    if tensor.note:
        return tensor.note.partition(", but ")[0].removeprefix("has ").partition(":")[0]
    if math.isnan(tensor.cosine):
        return ""
    if abs(tensor.cosine) < 1 - ALIKE:
        return f"cos {tensor.cosine:.3f} ({tensor.factor:.2f}x)"
    if abs(tensor.factor - 1) < ALIKE:
        return f"off by {tensor.error * eps:.0e}"
    return f"{tensor.factor:.6g} x exact"


def place(problem: Problem, name: str, index: tuple[int, ...]) -> str:
    """An element by name and index, with the gate and unit, or the time step, that it belongs to."""
    element = f"{name}[{', '.join(map(str, index))}]" if index else name
    layer, _, tensor = name.partition("/")
    recurrent = problem.weights.get(f"{layer}/recurrent_kernel")
    if name == "x" or (name == "output" and len(index) == 3):
        return f"{element} step {index[1]}"
    if recurrent is None or np.shape(recurrent)[1:] != (4 * len(recurrent),):
        return element
    if tensor.startswith("initial"):
        return f"{element} unit {index[-1]}"
    gate, unit = divmod(index[-1], len(recurrent))
    return f"{element} gate {GATES[gate]} unit {unit}"


def outvoted_of_three(yours: float, oracle: float, third: float, apart: float, witness: str) -> str:
    """Who is wrong by two votes of three, the third being of `witness`; values up to `apart` from each
    other agree.
    """
    if abs(oracle - third) <= apart:
        return f"TensorFlow and {witness} agree: this implementation is wrong"
    if abs(yours - third) <= apart:
        return f"this implementation and {witness} agree: TensorFlow is wrong"
    if abs(yours - oracle) <= apart:
        return f"this implementation and TensorFlow agree against {witness}: another model?"
    return "no two witnesses agree"
