"""How rounding grows over a training run: `python -m benchmarks.training`.

Random LSTM → Dense configurations and optimizers, in both dtypes, up to twenty steps. After each step, and
for every weight: the error of the shipped loop, of the textbook's and of Keras's, in eps of scale against
the exact run. The limit of a training run is right when no right loop comes near it.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import tf_oracle
from benchmarks.calibration import SPREADS, random_problem, spectrum
from reference_impl.spec import Named
from tapecheck.compare import FACTOR, FLOOR, MEANINGLESS, errors
from tapecheck.exact import NotEnclosed
from tapecheck.text import figure, table
from tapecheck.training.runs import exact_run, shipped, textbook_run

STEPS = 20
SHOWN = (1, 5, 20)
OPTIMIZERS = (
    Named("sgd", learning_rate=0.1),
    Named("sgd", learning_rate=0.1, momentum=0.9, nesterov=True),
    Named("rmsprop", learning_rate=0.01),
    Named("adam", learning_rate=0.01),
    Named("adamw", learning_rate=0.01, weight_decay=0.1),
    Named("adagrad", learning_rate=0.1),
    Named("adamax", learning_rate=0.01),
    Named("lamb", learning_rate=0.01),
)


class Row(NamedTuple):
    """One weight after one step of one run."""

    dtype: str
    optimizer: Named
    step: int
    shipped: float
    textbook: float
    tensorflow: float

    @property
    def limit(self) -> float:
        return FACTOR * max(self.textbook, self.tensorflow, FLOOR)


def measured(number: int, dtype: str) -> Iterator[Row]:
    """The rows of one run; none where it is not known exactly or overflows."""
    _, problem = random_problem(number, dtype)
    optimizer = OPTIMIZERS[number // len(SPREADS) % len(OPTIMIZERS)]
    with np.errstate(over="ignore", invalid="ignore"):
        book = list(textbook_run(problem, optimizer, STEPS))
    if not all(np.isfinite(w).all() for w in book[-1].values()):
        return
    try:
        true = exact_run(problem, optimizer, STEPS).steps
    except NotEnclosed:
        return
    ours = list(shipped(problem, optimizer, STEPS))
    theirs = list(tf_oracle.train(problem.model, problem, problem.loss, optimizer, STEPS))
    for step in range(STEPS):
        for name, right in true[step].items():
            found = [
                errors(name, run[step][name], right, problem.dtype).max() for run in (ours, book, theirs)
            ]
            yield Row(dtype, optimizer, step + 1, *map(float, found))


def summarize(rows: list[Row]) -> str:
    """The tables of docs/calibration.md."""
    lines = []
    for dtype in ("float32", "float64"):
        for optimizer in OPTIMIZERS:
            cells = [dtype, optimizer.name + " nesterov" * ("nesterov" in optimizer.arguments)]
            for step in SHOWN:
                here = [
                    row for row in rows if (row.dtype, row.optimizer, row.step) == (dtype, optimizer, step)
                ]
                worst = [max(row.textbook, row.tensorflow) for row in here]
                cells += [figure(float(np.median(worst))), figure(max(worst))] if here else ["-", "-"]
            lines.append(cells)
    header = ["dtype", "optimizer", *(f"{word} {step}" for step in SHOWN for word in ("step", "max"))]
    known = [row for row in rows if row.limit * np.finfo(row.dtype).eps <= MEANINGLESS]
    ours, book, theirs = np.array([row[3:] for row in known]).T
    ratios = [
        [words, *spectrum(above / np.maximum(below, FLOOR))]
        for words, above, below in (
            ("shipped / TensorFlow", ours, theirs),
            ("shipped / larger of TensorFlow and textbook", ours, np.maximum(theirs, book)),
            ("TensorFlow / textbook", theirs, book),
        )
    ]
    return "\n".join(
        [
            *table(header, lines, left=(0, 1)),
            "",
            *table(["a / max(b, 2)", "median", "99 %", "99.9 %", "largest"], ratios, left=(0,)),
            "",
            f"{len(rows)} weights after a step; the limit is above {MEANINGLESS} of scale for "
            f"{len(rows) - len(known)} of them",
        ]
    )


def main() -> int:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=64, help="runs a dtype (default: 64)")
    count = parser.parse_args().count
    rows = [
        row for dtype in ("float32", "float64") for number in range(count) for row in measured(number, dtype)
    ]
    print(f"{count} runs of {STEPS} steps in each dtype")
    print(summarize(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
