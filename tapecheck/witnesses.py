"""What a failed tensor shows: how it lies to the exact one, where it is worst, and who is outvoted there."""

import math

from reference_impl import GATES
from tapecheck.case import Problem
from tapecheck.compare import FAILED, TensorReport


def shape_of_error(tensor: TensorReport) -> str:
    """What kind of wrong a failed tensor is: its note, or how it lies to the exact one."""
    if tensor.verdict != FAILED:
        return ""
    if tensor.note:
        return tensor.note
    if math.isnan(tensor.cosine):
        return ""
    if abs(tensor.cosine) > 1 - 1e-6:
        return f"{tensor.factor:.6g} x exact"
    return f"cos {tensor.cosine:.3f} ({tensor.factor:.2f}x)"


def place(problem: Problem, name: str, index: tuple[int, ...]) -> str:
    """An element by name and index, with the gate or the time step that it belongs to."""
    element = f"{name}[{', '.join(map(str, index))}]"
    layer = name.split("/")[0]
    if name == "x":
        return f"{element} step {index[1]}"
    if layer.startswith("lstm") and "initial" not in name:
        units = len(problem.weights[f"{layer}/recurrent_kernel"])
        return f"{element} gate {GATES[index[-1] // units]}"
    return element


def outvoted_of_three(yours: float, oracle: float, step: float, apart: float) -> str:
    """Who is wrong by two votes of three; values up to `apart` from each other agree."""
    if abs(oracle - step) <= apart:
        return "TensorFlow and the complex step agree: this implementation is wrong"
    if abs(yours - step) <= apart:
        return "this implementation and the complex step agree: TensorFlow is wrong"
    if abs(yours - oracle) <= apart:
        return "this implementation and TensorFlow agree against the complex step: another model?"
    return "no two witnesses agree"
