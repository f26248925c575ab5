"""Reading the dz of an LSTM that is not the first layer, with no trace.

Its dW_x = sum of h_below.T @ dz, so dz can be read off dW_x where each step of each row has an input of
its own from below. The layers below are made to let such inputs through: with x[b, t] = e_(b*T + t),
kernels of identity, no recurrence, the gates i and o open and f closed, an LSTM returns phi(phi(1)) at that
one unit and nothing at the others. So row b*T + t of dW_x is that number times dz at (b, t).
"""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from reference_impl import LSTM, Dense, Sequential
from reference_impl.lstm import GATES
from reference_impl.spec import Array, Arrays, Layer
from tapecheck.exact import Exact, run_textbook, to
from tapecheck.problem import Problem

# A bias that opens or closes a sigmoid gate for good, and what may be left of other inputs.
OPEN = 60.0
NOTHING_LEFT = 1e-20


class Window(NamedTuple):
    """A problem in which the LSTM `name` has an input of its own from each step of each row: `size` (B*T,) is
    how large that is.
    """

    problem: Problem
    name: str
    size: Array

    def read(self, gradients: Mapping[str, Any], true: Exact) -> Array | None:
        """The LSTM's dz, (B, T, 4H) in the order of GATES and of its steps; None where its dW_x is not there.

        A closed gate lets 1e-26 through, which is not taken for a dz where none is due.
        """
        dW_x, (B, T, _) = gradients.get(f"{self.name}/kernel"), self.problem.x.shape
        shape = self.problem.weights[f"{self.name}/kernel"].shape
        if not isinstance(dW_x, np.ndarray) or dW_x.shape != shape:
            return None
        layer = dict(self.problem.model.named_layers())[self.name]
        assert isinstance(layer, LSTM)
        dz = (dW_x.astype(np.longdouble) / self.size[:, None]).reshape(B, T, -1)[:, layer.time(T)]
        due = np.concatenate([true.trace[f"{self.name}/dz_{gate}"] for gate in GATES], axis=2)
        dz[(due == 0) & (np.abs(dz) < NOTHING_LEFT * np.abs(due).max())] = 0
        return dz.astype(dW_x.dtype)


def window(problem: Problem, name: str) -> Window | None:
    """The problem as above, with as many units below as there are steps in all rows; None where the layers
    below cannot be made so, and where a penalty on the LSTM's weights is part of their gradients.
    """
    B, T, _ = problem.x.shape
    n = B * T
    layers = dict(problem.model.named_layers())
    if layers[name].of_weights("regularizer"):
        return None
    below = list(layers)[: list(layers).index(name)]
    changed: dict[str, Layer] = {}
    weights: Arrays = {}
    for each in below:
        layer = layers[each]
        if isinstance(layer, LSTM) and layer.use_bias and layer.return_sequences:
            changed[each] = replace(layer, units=n)
            weights |= named(each, kernel=np.tile(np.eye(n), (1, 4)), recurrent_kernel=np.zeros((n, 4 * n)))
            weights |= named(each, bias=open_gates(n))
        elif isinstance(layer, Dense):
            changed[each] = replace(layer, units=n)
            weights |= named(each, kernel=np.eye(n), **({"bias": np.zeros(n)} if layer.use_bias else {}))
        else:
            return None
    rng = np.random.default_rng(zlib.crc32(problem.case.name.encode()))
    columns = problem.weights[f"{name}/kernel"].shape[1]
    weights |= named(name, kernel=rng.standard_normal((n, columns)) / np.sqrt(n))
    states = {
        tensor: np.zeros((B, n)) if tensor.split("/")[0] in below else array
        for tensor, array in problem.initial_state.items()
    }
    clear = replace(
        problem,
        case=replace(
            problem.case,
            model=Sequential([changed.get(each, layer) for each, layer in layers.items()]),
            features=n,
            training=False,
            batches=1,
            resets=(),
        ),
        x=np.eye(n).reshape(B, T, n),
        weights=problem.weights | weights,
        initial_state=states,
        dropout={},
        before=(),
    ).map(lambda array: array.astype(problem.dtype))
    size = inputs_of(clear, below)
    return None if size is None else Window(clear, name, size)


def named(layer: str, **tensors: Array) -> Arrays:
    """The tensors of a layer by tensor name."""
    return {f"{layer}/{tensor}": array for tensor, array in tensors.items()}


def open_gates(units: int) -> Array:
    """A bias (4H,) with which i and o are 1, and f is 0."""
    of_gate = {"i": OPEN, "f": -OPEN, "g": 0, "o": OPEN}
    return np.repeat([of_gate[gate] for gate in GATES], units).astype(float)


def inputs_of(clear: Problem, below: list[str]) -> Array | None:
    """How large each one's own input is, (B*T,), after the layers below; None where others come through."""
    under = Sequential([layer for name, layer in clear.model.named_layers() if name in below])
    case = replace(clear.case, model=under, loss=None)
    rows = np.asarray(
        run_textbook(replace(clear, case=case, upstream={}, y=0 * clear.x), to(np.longdouble)).output
    )
    rows = rows.reshape(len(rows) * rows.shape[1], -1)  # (B*T, B*T)
    size: Array = np.diag(rows)
    others = rows - np.diag(size)
    return size if np.abs(others).max() < NOTHING_LEFT < np.abs(size).min() else None
