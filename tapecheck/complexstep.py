"""The third witness: the complex step, for every entry of a model in one vectorised pass.

Im loss(w + i*step) / step is the derivative of the loss with respect to w, exact to rounding in float64: no
difference is taken, so nothing cancels. Only the textbook's *forward* pass is run; it knows nothing of any
backward. One entry is moved by running the pass on complex numbers. Many are moved at once, each in a
direction of its own (see `moved.py`): there it is each operation of the pass that takes the step.

Source: Squire and Trapp, SIAM Review 40 (1998).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from reference_impl import textbook
from reference_impl.spec import Array, Arrays
from tapecheck.moved import STEP, Moved, NotMoved
from tapecheck.problem import Problem

# Numbers that the directions of one block keep at most; a single one may keep more.
BLOCK = 2**20


def complex_gradient(problem: Problem) -> Arrays:
    """The derivative of the loss with respect to every entry of every weight, `x` and initial state, as
    float64 tensors by name. At a kink, as relu's, the real part says which branch is taken.
    """
    tensors = problem.tensors
    found = derivatives(problem, {name: np.arange(tensor.size) for name, tensor in tensors.items()})
    return {name: found[name].reshape(tensor.shape) for name, tensor in tensors.items()}


def complex_steps(problem: Problem, name: str, entries: Sequence[int] | Array | None = None) -> Array:
    """The derivative with respect to `entries`, (N,) positions in the flattened tensor `name`, as (N,); None
    is all of them, as a tensor of its shape.
    """
    tensor = problem.tensors[name]
    if entries is None:
        return complex_steps(problem, name, np.arange(tensor.size)).reshape(tensor.shape)
    return derivatives(problem, {name: np.asarray(entries)})[name]


def derivatives(problem: Problem, entries: Arrays) -> Arrays:
    """The derivative with respect to the entries at some positions of each tensor, block by block."""
    wide = problem.map(lambda array: array.astype(np.float64)).settled
    names, counts = list(entries), [len(positions) for positions in entries.values()]
    which, position = np.repeat(range(len(names)), counts), np.concatenate([*entries.values()])
    size = max(1, BLOCK // (numbers(problem) + max(wide.tensors[name].size for name in names)))
    found = [
        one_pass(wide, names, which[k : k + size], position[k : k + size]) for k in range(0, len(which), size)
    ]
    return dict(zip(names, np.split(np.concatenate(found), np.cumsum(counts)[:-1]), strict=True))


def one_pass(problem: Problem, names: Sequence[str], which: Array, position: Array) -> Array:
    """The derivatives of one block, (N,): direction n moves one entry of the tensor `names[which[n]]`."""
    N, moved = len(which), {}
    for number in np.unique(which):
        name, here = names[number], np.flatnonzero(which == number)
        tensor = problem.tensors[name]
        moves = np.zeros((tensor.size, N))
        moves[position[here], here] = 1
        moved[name] = Moved(tensor, moves.reshape(*tensor.shape, N))

    def loss_of(moved: Any) -> Any:
        return textbook.forward(problem.model, problem.with_tensors(moved), problem.loss)[1]

    def alone(n: int) -> Any:
        return {name: each.real + STEP * 1j * each.moves[..., n] for name, each in moved.items()}

    if N > 1:
        try:
            return loss_of(moved).moves
        except NotMoved:  # a loss or an activation that asks for more than `Moved` is: one entry at a time
            pass
    return np.array([np.imag(loss_of(alone(n))) / STEP for n in range(N)])


def numbers(problem: Problem) -> int:
    """Roughly how many numbers the pass keeps for one direction: a dozen for each of a layer's outputs."""
    outputs = [shape[-1] for *_, shape in problem.model.shapes(problem.x.shape)]
    return 12 * math.prod(problem.x.shape[:2]) * sum(outputs)
