"""Each gate of a forward pass by itself, read off the output alone: where the output is wrong and no known
forward pass gives it, which equation is another one?

One step, W_h = 0, and large biases that open or shut the other gates: what is left of the output is one
gate's activation, or the cell's. A c_prev of zero shuts the forget gate, whatever it is. The biases go
through the implementation's own activations, so a wrong gate shows in its own experiment and, while it is
only open or shut, in no other.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reference_impl import LSTM, Dense, Named
from reference_impl.lstm import GATES
from reference_impl.spec import Array
from tapecheck.answer import ask
from tapecheck.case import Case
from tapecheck.fit import Seen
from tapecheck.problem import Implementation, Problem
from tapecheck.questions import sizes_of, with_sizes
from tapecheck.search.forced import near

# A bias that opens or shuts a gate to the last bit, and one that keeps a relu head open.
LARGE, OPEN_HEAD = 40.0, 50.0
ROWS = 12
# By the gate that is asked: the other gates' biases, in units of LARGE.
SETTINGS = {
    "o": {"i": 1, "f": -1, "g": 1},
    "g": {"i": 1, "f": -1, "o": 1},
    "i": {"f": -1, "g": 1, "o": 1},
    "f": {"i": -1, "g": 0, "o": 1},
}
INVERSES: dict[str | None, Callable[[Array], Array]] = {
    **dict.fromkeys((None, "linear", "relu"), lambda y: y),
    "tanh": np.arctanh,
    "sigmoid": lambda y: np.log(y) - np.log1p(-y),
    "softmax": np.log,
}


def wrong_gates(implementation: Implementation, case: Case) -> list[str]:
    """The forward quantities among i, f, g, o and h that are not Keras's; ["z"] where each gate is, so that
    what goes into them is another; [] where nothing can be said.
    """
    match case.model.layers:
        case [LSTM(use_bias=True), Dense(use_bias=True, activation=None | str() as top)] if top in INVERSES:
            pass
        case _:
            return []
    base = one_step(case)
    wrong: dict[str, Array] = {}
    for gate in SETTINGS:
        if gate == "f" and case.initial_state != "random":
            continue  # it would be asked with a c_prev of zero
        problem = asking(base, gate)
        answer = ask(implementation, problem)
        if answer.failure:
            return []
        seen = Seen(problem, answer.result)
        if "output" not in seen.tensors:  # missing, or of another shape
            return []
        own, due = (hidden(problem, y) for y in (seen.tensors["output"], seen.truth.output))
        if not near(own, due):
            wrong[gate] = own / due
    if "o" in wrong and np.ptp(wrong["o"]) <= 1e-9 and wrong.keys() >= {"g", "i"}:
        return ["h"]  # o is its own but for a number: it is the cell's activation that is another
    return [gate for gate in GATES if gate in wrong] or ["z"]


def one_step(case: Case) -> Case:
    """One step of a few rows, with more outputs than units."""
    units, outputs, _ = sizes_of(case)
    sizes = {units: 3, outputs: 5} if units != outputs else {units: 3}
    sizes.setdefault(case.features or 0, 4)
    return with_sizes(case, ROWS, 1, sizes)


def asking(case: Case, gate: str) -> Problem:
    """The problem in which all gates but one are open or shut, and that one is moved by x."""
    problem = case.problem()
    kernel, bias = (np.zeros_like(problem.weights[f"lstm/{name}"]) for name in ("kernel", "bias"))
    H = len(bias) // 4
    for k, other in enumerate(GATES):
        block = slice(k * H, (k + 1) * H)
        if other == gate:
            kernel[:, block] = problem.weights["lstm/kernel"][:, block]
        else:
            bias[block] = LARGE * SETTINGS[gate][other]
    weights = {
        "lstm/kernel": kernel,
        "lstm/recurrent_kernel": 0 * problem.weights["lstm/recurrent_kernel"],
        "lstm/bias": bias,
    }
    if head_of(problem) == "relu":
        weights["dense/bias"] = problem.weights["dense/bias"] + OPEN_HEAD
    states = problem.initial_state if gate == "f" else {n: 0 * a for n, a in problem.initial_state.items()}
    return replace(problem, weights=problem.weights | weights, initial_state=states)


def hidden(problem: Problem, output: Array) -> Array:
    """The h (B, H) that gives this output, solved through the head."""
    top = head_of(problem)
    with np.errstate(all="ignore"):  # an output that no h gives
        logits = INVERSES[top](output.reshape(len(problem.x), -1)) - problem.weights["dense/bias"]
    W_y = problem.weights["dense/kernel"]
    if top == "softmax":  # known up to one number a row
        logits, W_y = (array - array.mean(axis=1, keepdims=True) for array in (logits, W_y))
    found: Array = logits @ np.linalg.pinv(W_y)
    return found


def head_of(problem: Problem) -> str | None:
    """The head's activation."""
    head = problem.model.layers[1]
    assert isinstance(head, Dense)
    assert not isinstance(head.activation, Named)
    return head.activation
