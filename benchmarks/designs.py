"""What published LSTM tests cannot see: `python -m benchmarks.designs` prints the table of docs/adequacy.md.

Each design is rebuilt from the test that it is taken from: its sizes, its arrays, what it compares and to
which tolerance. Every known mistake is then run through it. The same model in our own design, with the
same sizes and then with sizes left free, stands beside it.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from reference_impl import LSTM, Sequential
from tapecheck.adequacy import rich
from tapecheck.case import Case
from tapecheck.design import Design, Tolerance
from tapecheck.faults import Fault, faults
from tapecheck.problem import Problem
from tapecheck.text import table


def model(units: int, return_sequences: bool = False) -> Sequential:
    """An LSTM alone, as all of these tests have it."""
    return Sequential([LSTM(units, return_sequences=return_sequences)])


def filled(kernel: float, recurrent: float, bias: float, forget: float) -> Callable[[Problem], Problem]:
    """A draw in which every weight of a kind is the same number."""

    def draw(problem: Problem) -> Problem:
        weights = {
            "lstm/kernel": np.full_like(problem.weights["lstm/kernel"], kernel),
            "lstm/recurrent_kernel": np.full_like(problem.weights["lstm/recurrent_kernel"], recurrent),
            "lstm/bias": np.repeat([bias, forget, bias, bias], len(problem.weights["lstm/bias"]) // 4),
        }
        return replace(problem, weights=weights)

    return draw


def counting(start: int, then: Callable[[Problem], Problem]) -> Callable[[Problem], Problem]:
    """`then`, and x is start, start + 1, start + 2 and so on."""

    def draw(problem: Problem) -> Problem:
        return replace(
            then(problem), x=start + np.arange(problem.x.size, dtype=float).reshape(problem.x.shape)
        )

    return draw


def small(scale: float, uniform: bool = False) -> Callable[[Problem], Problem]:
    """Weights drawn anew, normal or uniform, times `scale`; biases of zero."""

    def draw(problem: Problem) -> Problem:
        rng = np.random.default_rng(0)
        drawn = {
            name: scale * (rng.uniform(-1, 1, array.shape) if uniform else rng.standard_normal(array.shape))
            for name, array in problem.weights.items()
        }
        return replace(problem, weights=drawn | {"lstm/bias": 0 * problem.weights["lstm/bias"]})

    return draw


def two_steps(problem: Problem) -> Problem:
    """x = [1, 2, 3], [2, 3, 4], weights within 1e-4 and the sum of the last h as the loss."""
    drawn = small(1e-4, uniform=True)(problem)
    return replace(drawn, x=np.array([[[1.0, 2, 3], [2, 3, 4]]]), y=np.ones_like(problem.y))


def sum_as_loss(problem: Problem) -> Problem:
    """Biases of zero, and a gradient of the output that is 1 everywhere."""
    return replace(
        problem,
        weights=problem.weights | {"lstm/bias": 0 * problem.weights["lstm/bias"]},
        y=np.ones_like(problem.y),
    )


def only(*names: str) -> Callable[[str], bool]:
    """Whether a name is one of these."""
    return lambda name: name in names


class Published(NamedTuple):
    """A published design, in words and as one."""

    what: str
    design: Design


KERAS = counting(0, filled(0.01, 0.02, 0.03, 1.0))
ONNX = counting(1, filled(0.1, 0.1, 0.0, 0.0))
DESIGNS = {
    "constant initialisers, forward only": Published(
        "Keras's lstm_test: kernels of 0.01 and 0.02 throughout, x counting up, the output to 1e-5",
        Design(Case("keras", model(3), 3, 6, 4, loss=None), KERAS, only("output"), Tolerance(1e-5, 1e-5)),
    ),
    "scale * ones": Published(
        "ONNX's LSTM cases: every weight 0.1, no bias, T = 1, the output to 1e-3",
        Design(Case("onnx", model(3), 3, 1, 2, loss=None), ONNX, only("output"), Tolerance(1e-3, 1e-7)),
    ),
    "0.01 * randn, atol 1e-5": Published(
        "a public test of a NumPy LSTM against Keras: weights of 0.01, no bias, nearly all gradients",
        Design(
            Case("against-keras", model(5, True), 4, 6, 3, loss=None),
            lambda problem: replace(
                small(0.01)(problem),
                initial_state={
                    "lstm/initial_h": np.random.default_rng(1).standard_normal((4, 5)),
                    "lstm/initial_c": np.zeros((4, 5)),
                },
            ),
            lambda name: name not in ("output", "lstm/initial_c"),
            Tolerance(1e-7, 1e-5),
        ),
    ),
    "T = 2, weights within 1e-4": Published(
        "a public tutorial's gradient check: B = 1, the sum of the last h, one weight matrix, four digits",
        Design(
            Case("tutorial", model(2), 1, 2, 3, loss=None),
            two_steps,
            only("lstm/recurrent_kernel"),
            Tolerance(1e-4, 0.0),
        ),
    ),
    "zero bias, dY = 1": Published(
        "weights at random, no bias, the sum of the output as the loss, all gradients to 1e-5",
        Design(
            Case("sum-as-loss", model(5, True), 3, 5, 4, loss=None),
            sum_as_loss,
            lambda name: name != "output",
            Tolerance(1e-5, 1e-8),
        ),
    ),
}


class Missed(NamedTuple):
    """Shares of the mistakes that can be seen in a model at all, in percent."""

    mistakes: float  # that the design misses, of all
    equations: float  # that it misses, of wrong equations alone
    same_sizes: float  # that our design misses at the same sizes
    free_sizes: float  # that our design misses at the sizes that it takes


def missed(design: Design) -> Missed:
    """What the design misses of all that anything can see in its model, and what ours does."""
    every = faults(design.case.problem())
    ours, large = Design(design.case), Design(rich(design.case))
    visible = ours.sees(every) | large.sees(every)
    equations = {fault for fault in visible if fault.phase != "convention"}

    def share(of: set[Fault], seen: set[Fault]) -> float:
        return 100 * len(of - seen) / len(of)

    seen = design.sees(visible)
    return Missed(
        share(visible, seen),
        share(equations, seen),
        share(visible, ours.sees(visible)),
        share(visible, large.sees(visible)),
    )


def main() -> int:
    """Print the table."""
    rows = []
    for name, (_, design) in DESIGNS.items():
        rows.append([name, *(f"{share:.0f} %" for share in missed(design))])
    header = ["design", "mistakes missed", "equations", "ours, same sizes", "ours"]
    print("\n".join(table(header, rows, left=(0,))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
