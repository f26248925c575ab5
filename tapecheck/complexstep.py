"""The third witness: the complex step, for every entry of a model in one vectorised pass.

Im loss(w + i*step) / step is the derivative of the loss with respect to w, exact to rounding in float64: no
difference is taken, so nothing cancels. Only the textbook's *forward* pass is run; it knows nothing of any
backward. Each entry is moved in a copy of its own, and the pass is run on all copies at once.

Source: Squire and Trapp, SIAM Review 40 (1998).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from reference_impl import textbook
from reference_impl.spec import Array, Arrays
from tapecheck.case import Problem
from tapecheck.copies import Copies, NoCopies

STEP = 1e-100
# Numbers that the copies of one block keep at most, some 16 bytes each; a single copy may keep more.
BLOCK = 2**20


def complex_gradient(problem: Problem) -> Arrays:
    """The derivative of the loss with respect to every entry of every weight, `x` and initial state, as
    float64 tensors by name. At a kink, as relu's, the real part says which branch is taken.
    """
    return {name: complex_steps(problem, name) for name in problem.tensors}


def complex_steps(problem: Problem, name: str, entries: Sequence[int] | Array | None = None) -> Array:
    """The derivative with respect to `entries`, (N,) positions in the flattened tensor `name`, as (N,).

    None is all of them, as a tensor of its shape. They are taken in blocks that fit memory.
    """
    tensor = problem.tensors[name]
    if entries is None:
        return complex_steps(problem, name, np.arange(tensor.size)).reshape(tensor.shape)
    size = max(1, BLOCK // (numbers(problem) + tensor.size))
    blocks = [one_pass(problem, name, entries[k : k + size]) for k in range(0, len(entries), size)]
    return np.concatenate(blocks)


def one_pass(problem: Problem, name: str, entries: Sequence[int] | Array) -> Array:
    """The derivatives of one block: (N,) for N copies of the tensor, each moved in its own entry."""
    wide = problem.map(lambda array: array.astype(np.float64)).settled
    tensor = wide.tensors[name]
    copies = np.tile(tensor.ravel().astype(np.complex128), (len(entries), 1))
    copies[np.arange(len(entries)), entries] += STEP * 1j
    moved = copies.reshape(-1, *tensor.shape)

    def loss_of(value: Any) -> Any:
        return textbook.forward(problem.model, wide.with_tensors({name: value}), problem.loss)[1]

    if len(entries) > 1:
        try:
            return loss_of(Copies(moved)).stack.imag / STEP
        except NoCopies:  # a loss or an activation that sorts, say: one entry at a time
            pass
    return np.array([np.imag(loss_of(one)) / STEP for one in moved])


def numbers(problem: Problem) -> int:
    """Roughly how many numbers one copy of the pass keeps: a dozen for each of a layer's outputs."""
    outputs = [shape[-1] for *_, shape in problem.model.shapes(problem.x.shape)]
    return 12 * math.prod(problem.x.shape[:2]) * sum(outputs)
