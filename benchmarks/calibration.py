"""Where FACTOR = 16 and FLOOR = 2 come from: `python -m benchmarks.calibration`; with `--alarms`, how often
the whole check accuses the shipped implementation.

Random LSTM → Dense configurations, well- and ill-conditioned, in both dtypes. For every gradient
tensor: the error of the fast form, of the textbook form and of TensorFlow, in eps of scale against the
exact gradient, and the share of its limit that a right implementation uses up. FACTOR is right when no
right implementation comes near 1 in any of them.
"""

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import tf_oracle
from reference_impl import LSTM, Dense, Sequential
from reference_impl.spec import Array
from tapecheck.case import Case
from tapecheck.check import check
from tapecheck.compare import FACTOR, FAILED, FLOOR, INCONCLUSIVE, MEANINGLESS, PASSED, errors
from tapecheck.exact import NotEnclosed, exact, named, run_textbook
from tapecheck.problem import Problem
from tapecheck.text import figure, table

HEADS = [
    (None, "mean_squared_error"),
    (None, "mean_absolute_error"),
    ("relu", "mean_squared_error"),
    ("tanh", "mean_squared_error"),
    ("sigmoid", "binary_crossentropy"),
    ("softmax", "categorical_crossentropy"),
    ("softmax", None),
]
# Factors on the drawn weights: nearly linear, as drawn, saturated, chaotic.
SPREADS = (0.3, 1.0, 2.0, 4.0)


class Row(NamedTuple):
    """One gradient tensor of one configuration."""

    dtype: str
    spread: float
    tensor: str
    fast: float
    textbook: float
    tensorflow: float


def random_problem(number: int, dtype: str) -> tuple[float, Problem]:
    """The configuration of that number, and the factor on its weights."""
    rng = np.random.default_rng([20, number])
    activation, loss = HEADS[rng.integers(len(HEADS))]
    spread = SPREADS[number % len(SPREADS)]
    B, T, D, H, K = rng.integers([1, 1, 1, 1, 1], [7, 41, 9, 13, 6])
    if loss == "categorical_crossentropy":
        K = max(K, 2)  # of one class alone it is constant
    layers = [
        LSTM(int(H), return_sequences=bool(rng.integers(2)), use_bias=bool(rng.integers(4))),
        Dense(int(K), activation=activation),
    ]
    if rng.integers(4) == 0:
        layers.insert(0, LSTM(int(rng.integers(1, 9)), return_sequences=True))
    state = "random" if rng.integers(2) else "zeros"
    name = f"calibration-{number}"
    case = Case(name, Sequential(layers), int(B), int(T), int(D), loss, dtype, state)
    problem = case.problem()
    weights = {key: (w * spread).astype(dtype) if "lstm" in key else w for key, w in problem.weights.items()}
    return spread, replace(problem, weights=weights)


def measured(number: int, dtype: str) -> Iterator[Row]:
    """The rows of one configuration; none where its exact gradient is not known or all zero."""
    spread, problem = random_problem(number, dtype)
    try:
        true = exact(problem).tensors
    except NotEnclosed:
        return
    oracle = tf_oracle.run(problem.model, problem, problem.loss)
    book = named(run_textbook(problem, np.asarray))[0]
    for name in problem.tensors:
        sides = (problem.reference.gradients[name], book[name], oracle.gradients[name])
        found = [float(errors(name, side, true[name], problem.dtype).max()) for side in sides]
        yield Row(dtype, spread, name, *found)


def summarize(rows: list[Row]) -> str:
    """The tables of docs/calibration.md."""
    lines = []
    for dtype, spread in itertools.product(("float32", "float64"), SPREADS):
        here = [row for row in rows if (row.dtype, row.spread) == (dtype, spread)]
        if not here:
            continue
        columns = np.array([row[3:] for row in here])
        lines.append(
            [
                dtype,
                f"{spread:g}",
                str(len(here)),
                *(figure(float(np.median(column))) for column in columns.T),
                *(figure(float(column.max())) for column in columns.T),
            ]
        )
    header = ["dtype", "weights x", "tensors", "fast", "textbook", "TF", "fast max", "textbook max", "TF max"]
    sides: list[tuple[str, list[float], list[float]]] = [
        ("fast / TensorFlow", [row.fast for row in rows], [row.tensorflow for row in rows]),
        ("textbook / TensorFlow", [row.textbook for row in rows], [row.tensorflow for row in rows]),
        (
            "fast / larger of TensorFlow and textbook",
            [row.fast for row in rows],
            [max(row.tensorflow, row.textbook) for row in rows],
        ),
        ("TensorFlow / textbook", [row.tensorflow for row in rows], [row.textbook for row in rows]),
    ]
    ratios = [[words, *spectrum(np.array(a) / np.maximum(b, FLOOR))] for words, a, b in sides]
    meaningless = sum(
        FACTOR * max(row.tensorflow, row.textbook, FLOOR) * np.finfo(row.dtype).eps > MEANINGLESS
        for row in rows
    )
    return "\n".join(
        [
            *table(header, lines, left=(0,)),
            "",
            *table(
                ["a / max(b, 2)", "median", "99 %", "99.9 %", "largest"],
                ratios,
                left=(0,),
            ),
            "",
            f"{len(rows)} tensors; the limit is above {MEANINGLESS} of scale for {meaningless} of them",
        ]
    )


def spectrum(ratios: Array) -> list[str]:
    """Median, upper quantiles and maximum."""
    return [f"{value:.2f}" for value in np.quantile(ratios, [0.5, 0.99, 0.999, 1])]


def alarms(count: int) -> tuple[str, list[str]]:
    """The verdicts of `check` on the shipped implementation over `count` configurations in each dtype, as a
    table, and the first line of every report that accuses it.
    """
    lines: list[list[str]] = []
    failed: list[str] = []
    for dtype in ("float32", "float64"):
        verdicts: Counter[str] = Counter()
        nearest = tensors = 0.0
        for number in range(count):
            report = check(random_problem(number, dtype)[1])
            verdicts[report.verdict] += 1
            tensors += sum(row.passed for row in report.rows)
            nearest = max([nearest, *(row.share_of_limit for row in report.rows if row.passed)])
            if report.verdict == FAILED:
                failed.append(report.headline)
        counts = [str(verdicts[verdict]) for verdict in (PASSED, INCONCLUSIVE, FAILED)]
        lines.append([dtype, str(count), *counts, f"{tensors:.0f}", f"{nearest:.2f}"])
    header = ["dtype", "checked", PASSED, INCONCLUSIVE, FAILED, "tensors passed", "largest error / limit"]
    return "\n".join(table(header, lines, left=(0,))), failed


def main() -> int:
    """Run, and print the tables. Exit status 1 where a right implementation was accused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400, help="configurations a dtype (default: 400)")
    parser.add_argument("--alarms", action="store_true", help="count the verdicts of the whole check")
    arguments = parser.parse_args()
    count = arguments.count
    if arguments.alarms:
        text, failed = alarms(count)
        print(text, *failed, sep="\n")
        return int(bool(failed))
    rows = [
        row for dtype in ("float32", "float64") for number in range(count) for row in measured(number, dtype)
    ]
    print(f"{count} configurations in each dtype")
    print(summarize(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
