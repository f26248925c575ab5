"""Faults that act on results: the gradients are right, and then scaled, reordered, clipped or rounded."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from reference_impl.spec import Array, Arrays
from tapecheck.faults.edits import GATES
from tapecheck.faults.fault import Fault
from tapecheck.problem import Problem

SIZES: dict[str, Callable[[Problem], int]] = {
    "B": lambda problem: problem.x.shape[0],
    "T": lambda problem: problem.x.shape[1],
    "K": lambda problem: problem.y.shape[-1],
}


def factors() -> dict[str, Callable[[Problem], float]]:
    """Factors that people put in or leave out, by what they are called."""
    found: dict[str, Callable[[Problem], float]] = {"2": lambda _: 2.0, "1/2": lambda _: 0.5}

    def product(names: tuple[str, ...], number: float, power: float) -> Callable[[Problem], float]:
        return lambda problem: number * math.prod(SIZES[name](problem) for name in names) ** power

    for length in (1, 2, 3):
        for names in itertools.combinations(SIZES, length):
            said = "*".join(names)
            found[said] = product(names, 1, 1)
            found[f"2*{said}"] = product(names, 2, 1)
            found[f"{said}/2"] = product(names, 0.5, 1)
            under = f"({said})" if length > 1 else said
            found[f"1/{under}"] = product(names, 1, -1)
            found[f"2/{under}"] = product(names, 2, -1)
            found[f"1/(2*{said})"] = product(names, 0.5, -1)
    return found


def is_weight(name: str) -> bool:
    """Whether the tensor is a weight: no input, no initial state."""
    return "/" in name and "initial" not in name


# Which gradients a factor is on: the quantity it is told by, and the tensors.
PLACES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "all gradients": ("scale", lambda name: True),
    "all weights": ("scale", is_weight),
    "all biases": ("db", lambda name: name.endswith("bias")),
    "the LSTM's bias": ("db", lambda name: name.startswith("lstm") and name.endswith("/bias")),
    "the Dense bias": ("db_y", lambda name: name.startswith("dense") and name.endswith("/bias")),
    "the LSTM's kernel": ("dW_x", lambda name: name.startswith("lstm") and name.endswith("/kernel")),
    "the recurrent kernel": ("dW_h", lambda name: name.endswith("/recurrent_kernel")),
    "the Dense kernel": ("dW_y", lambda name: name.startswith("dense") and name.endswith("/kernel")),
    "the LSTM's weights": ("dW_x", lambda name: name.startswith("lstm") and is_weight(name)),
    "the Dense weights": ("dW_y", lambda name: name.startswith("dense") and is_weight(name)),
    "all below the head": ("dh_above", lambda name: not name.startswith("dense")),
    "x": ("dx", lambda name: name == "x"),
}


def scaled(factor: Callable[[Problem], float], where: Callable[[str], bool]) -> Any:
    """An `after` that multiplies the gradients chosen by `where`."""
    return lambda problem, gradients: {
        name: gradient * factor(problem) if where(name) else gradient for name, gradient in gradients.items()
    }


def permuted(order: tuple[int, ...], array: Array) -> Array:
    """The gate blocks of the last axis in another order."""
    return np.concatenate([np.split(array, 4, axis=-1)[k] for k in order], axis=-1)


LSTM_WEIGHTS = ("kernel", "recurrent_kernel", "bias")


def reordered(order: tuple[int, ...], which: tuple[str, ...]) -> Callable[[Arrays], Arrays]:
    """A function that permutes the gates of the LSTM tensors named in `which`."""
    return lambda arrays: {
        name: permuted(order, array) if name.startswith("lstm") and name.split("/")[-1] in which else array
        for name, array in arrays.items()
    }


def transposed(name: str) -> Callable[[Problem, Arrays], Arrays]:
    """An `after` that reads the transposed gradient of `name` in the layout of the right one."""
    return lambda problem, gradients: {
        key: gradient.T.reshape(gradient.shape)
        if key.split("/")[-1] == name and gradient.ndim == 2
        else gradient
        for key, gradient in gradients.items()
    }


def untransposed(name: str) -> Callable[[Problem, Arrays], Arrays]:
    """What undoes `transposed`."""
    return lambda problem, gradients: {
        key: gradient.reshape(gradient.shape[::-1]).T
        if key.split("/")[-1] == name and gradient.ndim == 2
        else gradient
        for key, gradient in gradients.items()
    }


def x_reversed(problem: Problem, gradients: Arrays) -> Arrays:
    """The steps of dx from the last to the first."""
    return {name: gradient[:, ::-1] if name == "x" else gradient for name, gradient in gradients.items()}


def inverse(factor: Callable[[Problem], float]) -> Callable[[Problem], float]:
    """1 over the factor."""
    return lambda problem: 1 / factor(problem)


def transposed_blocks(problem: Problem, gradients: Arrays) -> Arrays:
    """Each gate's block of the recurrent kernel's gradient, transposed."""
    return {
        name: np.concatenate([block.T for block in np.split(gradient, 4, axis=1)], axis=1)
        if name.endswith("recurrent_kernel")
        else gradient
        for name, gradient in gradients.items()
    }


def through_float32(problem: Problem, gradients: Arrays) -> Arrays:
    """Rounded to float32 and back."""
    return {name: gradient.astype(np.float32).astype(gradient.dtype) for name, gradient in gradients.items()}


@cache
def conventions() -> tuple[Fault, ...]:
    """The faults that act on results."""

    def convention(quantity: str, kind: str, right: str, wrong: str, **how: Any) -> Fault:
        return Fault(quantity, kind, right, wrong, phase="convention", **how)

    found = []
    for place, (quantity, where) in PLACES.items():
        for said, factor in factors().items():
            found.append(
                convention(
                    quantity,
                    "normalisation",
                    f"{place} times 1",
                    f"{place} times {said}",
                    after=scaled(factor, where),
                    undo=scaled(inverse(factor), where),
                )
            )
        turned = scaled(lambda _: -1.0, where)
        name = "sign" if place == "all gradients" else quantity
        found.append(
            convention(name, "sign", f"{place} times 1", f"{place} times -1", after=turned, undo=turned)
        )
    for order in list(itertools.permutations(range(4)))[1:]:
        said = ", ".join(GATES[k] for k in order)
        for which in (LSTM_WEIGHTS, *((name,) for name in LSTM_WEIGHTS)):
            what = "gradients" if len(which) == 3 else f"{which[0]} gradient"
            move, back = reordered(order, which), reordered(tuple(np.argsort(order)), which)
            found.append(
                convention(
                    *("layout", "layout", f"{what} in the order i, f, g, o", f"{what} in the order {said}"),
                    after=lambda problem, gradients, move=move: move(gradients),
                    undo=lambda problem, gradients, back=back: back(gradients),
                )
            )
            found.append(
                convention(
                    *("layout", "layout", "gates in the order i, f, g, o"),
                    f"gates of {', '.join(which)} read in the order {said}",
                    before=lambda problem, move=move: replace(problem, weights=move(problem.weights)),
                    after=lambda problem, gradients, back=back: back(gradients),
                )
            )
    for name in ("kernel", "recurrent_kernel"):
        found.append(
            convention(
                *("layout", "layout", f"{name} gradient", f"{name} gradient transposed and reshaped"),
                after=transposed(name),
                undo=untransposed(name),
            )
        )
    found.append(
        convention(
            *("layout", "layout", "dW_h = h_prev.T @ dz", "dW_h of each gate transposed"),
            after=transposed_blocks,
            undo=transposed_blocks,
        )
    )
    found.append(
        convention(
            *("layout", "layout", "dx in the order of x", "dx with its time axis reversed"),
            after=x_reversed,
            undo=x_reversed,
        )
    )
    found.append(
        convention(
            *("precision", "float32 buffers", "float64 throughout", "rounded to float32"),
            after=through_float32,
        )
    )
    return tuple(found)
