"""Reading an LSTM's dz off the gradients that any implementation returns, with no trace.

In a transparent problem every step of every row has an input feature of its own, x[b, t] = e_(b*T + t).
So row b*T + t of dW_x = sum of x_t.T @ dz is dz at (b, t), to the last bit. And the columns of W_x are
orthogonal and of squared length D, so dz = dx @ W_x / D.
"""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from reference_impl import LSTM
from reference_impl.lstm import GATES
from reference_impl.spec import Array, Arrays
from tapecheck.answer import ask
from tapecheck.compare import FAILED, compare
from tapecheck.exact import Exact
from tapecheck.problem import Implementation, Problem


def transparent(problem: Problem) -> Problem | None:
    """The problem with such x and W_x, nothing dropped and no batch before it. None where the model does not
    begin with an LSTM, and where a penalty on its weights is part of its gradients.
    """
    first = problem.model.layers[0]
    if not isinstance(first, LSTM) or first.of_weights("regularizer"):
        return None
    (B, T, _), H = problem.x.shape, first.units
    D = max(B * T, 4 * H)
    rng = np.random.default_rng(zlib.crc32(problem.case.name.encode()))
    W_x = np.linalg.qr(rng.standard_normal((D, 4 * H)))[0] * np.sqrt(D)
    return replace(
        problem,
        case=replace(problem.case, features=D, training=False, batches=1, resets=()),
        x=np.eye(B * T, D, dtype=problem.dtype).reshape(B, T, D),
        weights=problem.weights | {"lstm/kernel": W_x.astype(problem.dtype)},
        dropout={},
        before=(),
    )


class Reading(NamedTuple):
    """dz of the first LSTM, (B, T, 4H) in the order of GATES, read in two ways; None where one cannot be."""

    by_kernel: Array | None
    by_x: Array | None


def read(clear: Problem, gradients: Mapping[str, Any]) -> Reading:
    """dz from the gradients of a transparent problem, its steps in the order in which they are taken."""
    (B, T, D), W_x = clear.x.shape, clear.weights["lstm/kernel"]
    first = clear.model.layers[0]
    assert isinstance(first, LSTM)
    steps = first.time(T)
    dx, dW_x = gradients.get("x"), gradients.get("lstm/kernel")
    by_x = (dx @ W_x / D)[:, steps] if isinstance(dx, np.ndarray) and dx.shape == clear.x.shape else None
    if isinstance(dW_x, np.ndarray) and dW_x.shape == W_x.shape:
        return Reading(dW_x[: B * T].reshape(B, T, -1)[:, steps], by_x)
    return Reading(None, by_x)


def recover_dz(implementation: Implementation, problem: Problem) -> Array | None:
    """The implementation's dz of the first LSTM on `transparent(problem)`, (B, T, 4H): off dx or, where
    that is not returned, off dW_x. None where neither is, and where the model does not begin with an LSTM.
    """
    clear = transparent(problem)
    if clear is None:
        return None
    by_kernel, by_x = read(clear, ask(implementation, clear).result.gradients)
    return by_kernel if by_x is None else by_x


def gatewise(dz: Array, name: str = "lstm") -> Arrays:
    """dz (B, T, 4H) of the LSTM `name` as trace tensors."""
    return {f"{name}/dz_{gate}": part for gate, part in zip(GATES, np.split(dz, 4, axis=2), strict=True)}


def agrees(clear: Problem, by_x: Array, true: Exact) -> bool:
    """Whether dz read off dx is right; all gates have one scale, since reading mixes their roundings."""
    ours = read(clear, clear.reference.gradients).by_x
    assert ours is not None
    dz = np.concatenate([true.trace[f"lstm/dz_{gate}"] for gate in GATES], axis=2)
    return compare("dz", by_x, ours, ours, dz, clear.dtype).verdict != FAILED
