"""Conventions with a number in them that no list can have: a limit or a factor, read off the answer."""

from collections.abc import Iterable, Iterator

import numpy as np

from reference_impl.spec import Arrays
from tapecheck.faults.conventions import is_weight, scaled
from tapecheck.faults.fault import Fault
from tapecheck.problem import Problem
from tapecheck.text import listed

CLIPPING = "clipping", "clipping inside backward", "gradients as they are"


def fitted(gradients: Arrays, right: Arrays, values: Arrays) -> Iterator[Fault]:
    """The conventions by which the `right` gradients may have become these; `values` are the weights."""
    weights = [name for name in gradients if is_weight(name)]
    with_x = [*weights, *(name for name in gradients if name not in weights)]
    for names in (with_x, weights):
        if not names:
            continue
        top = max(float(np.abs(gradients[name]).max()) for name in names)
        if sum(int(np.sum(np.abs(gradients[name]) == top)) for name in names) > 1:
            yield clipped_by_value(top, names)
        yield from (clipped_by_norm(norm(gradients, names), names, scaled) for scaled in (gradients, names))
    for shrink_only in (True, False):
        yield each_to_norm(max((norm(gradients, [name]) for name in weights), default=1.0), shrink_only)
    yield from decayed(gradients, right, values)
    largest = max(gradients, key=lambda name: gradients[name].size)
    square = float(np.sum(right[largest] ** 2))
    if square:
        yield times(float(np.sum(gradients[largest] * right[largest])) / square)


def norm(gradients: Arrays, names: Iterable[str]) -> float:
    """The common norm of some gradients."""
    return float(np.sqrt(sum(float(np.sum(gradients[name] ** 2)) for name in names)))


def which(names: Iterable[str]) -> str:
    """What some gradients are called."""
    return "every weight's gradient" if all(map(is_weight, names)) else "every gradient"


def clipped_by_value(limit: float, names: Iterable[str]) -> Fault:
    """The gradients `names` clipped to ±limit."""
    names = frozenset(names)
    return Fault(
        *CLIPPING,
        f"{which(names)} clipped to +-{limit:.6g}",
        phase="convention",
        after=lambda problem, gradients: {
            name: np.clip(gradient, -limit, limit) if name in names else gradient
            for name, gradient in gradients.items()
        },
    )


def clipped_by_norm(limit: float, names: Iterable[str], scaled: Iterable[str] | None = None) -> Fault:
    """The gradients `scaled`, of None all, scaled so that the norm of `names` together is at most `limit`."""
    names, scaled = tuple(names), None if scaled is None else frozenset(scaled)

    def clip(problem: Problem, gradients: Arrays) -> Arrays:
        factor = min(1.0, limit / norm(gradients, names))
        return {
            name: gradient * factor if scaled is None or name in scaled else gradient
            for name, gradient in gradients.items()
        }

    whose = "the weights'" if scaled and all(map(is_weight, scaled)) else "all"
    return Fault(
        *CLIPPING,
        f"{whose} gradients scaled down to a common norm of {limit:.6g}",
        phase="convention",
        after=clip,
    )


def each_to_norm(limit: float, shrink_only: bool) -> Fault:
    """Every weight's gradient brought to a norm by itself; with `shrink_only` none that is below it."""

    def brought(problem: Problem, gradients: Arrays) -> Arrays:
        lengths = {name: norm(gradients, [name]) for name in gradients if is_weight(name)}
        change = {name for name, length in lengths.items() if length > limit or not shrink_only}
        return {
            name: gradient * (limit / lengths[name]) if name in change else gradient
            for name, gradient in gradients.items()
        }

    said = "clipped to" if shrink_only else "scaled to"
    return Fault(
        *CLIPPING,
        f"every weight's gradient {said} a norm of {limit:.6g}",
        phase="convention",
        after=brought,
    )


def times(number: float) -> Fault:
    """All gradients times a number."""
    return Fault(
        *("scale", "normalisation", "all gradients times 1", f"all gradients times {number:.9g}"),
        phase="convention",
        after=scaled(lambda _: number, lambda _: True),
    )


# Of the gradient's norm: rounding leaves some 1e-15, and a share of the weights that is added 1e-5 or more.
SAME = 1e-9
# What the gradient of a weight is called.
QUANTITIES = {
    "lstm": {"kernel": "dW_x", "recurrent_kernel": "dW_h", "bias": "db"},
    "dense": {"kernel": "dW_y", "bias": "db_y"},
}


def decayed(gradients: Arrays, right: Arrays, values: Arrays) -> Iterator[Fault]:
    """The same share of the weights added to every gradient that is off."""
    off = {
        name: (gradients[name] - right[name], values[name])
        for name in gradients.keys() & values.keys()
        if np.abs(gradients[name] - right[name]).max() > SAME * norm(right, [name])
    }
    if off and all(value.any() for _, value in off.values()):
        added, of = off[max(off, key=lambda name: values[name].size)]
        yield decay(float(np.sum(added * of) / np.sum(of * of)), off)


def decay(share: float, names: Iterable[str]) -> Fault:
    """A share of the weights added to their gradients `names`."""
    names = sorted(names)
    layer, _, tensor = names[0].rpartition("/")
    quantity = QUANTITIES["lstm" if layer.startswith("lstm") else "dense"][tensor]
    of_all = f"{quantity} + {share:.6g} * {quantity.removeprefix('d')}"
    said = of_all if len(names) == 1 else f"{of_all}, and so in {listed(names[1:])}"
    return Fault(
        *(quantity, "term added", quantity, said),
        phase="convention",
        note="weight decay is no part of this loss",
        after=lambda problem, gradients: {
            name: gradient + share * problem.weights[name] if name in names else gradient
            for name, gradient in gradients.items()
        },
    )
