"""Checks a training run: the weights after every step, against Keras's own optimizer and the exact run.

Rounding grows with the steps, by as much as the run itself amplifies it, so no fixed allowance a step is
right. The limit is that of a single gradient (compare.py), measured anew after each step:

    error(candidate, step k) <= 16 * max(error(TensorFlow, step k), error(textbook, step k), 2)

All start from the same floats, and errors are measured against the exact run from there: the textbook's
gradients and the optimizer's rule in ball arithmetic or longdouble. What two right programs have lost to
rounding by step k says what any right program may have lost; where a weight would fail, the textbook's run
is repeated from starts that are one rounding away, as for a single gradient. docs/calibration.md has figures.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np

import tf_oracle
from reference_impl.optimizers import optimizer_problems
from reference_impl.spec import Arrays, BadInput, Named, positive_int
from tapecheck.answer import Limited, hear
from tapecheck.case import Case
from tapecheck.catalogue import taken
from tapecheck.compare import FAILED, TensorReport, compare
from tapecheck.exact import NotEnclosed
from tapecheck.imports import name_of
from tapecheck.problem import Problem
from tapecheck.rounding import farther, neighbours
from tapecheck.training.report import TrainingReport
from tapecheck.training.runs import Training, collected, exact_run, shipped, textbook_run


def check_training(
    case: Case | Problem | str,
    optimizer: str | Named,
    steps: int,
    implementation: Training | None = None,
    *,
    time_limit: float | None = None,
) -> TrainingReport:
    """Train for so many steps in NumPy and in Keras, from the same weights, and compare after each.

    `case` is what to train, its name in the catalogue, or a problem drawn from it; every step sees the same
    batch. `optimizer` is a name of `reference_impl.optimizers.OPTIMIZERS`, with arguments as in
    `Named("sgd", momentum=0.9)`, where `learning_rate` may be a schedule by name. `implementation` is a
    training loop: a callable that is given the problem, the optimizer and the number of steps and returns,
    or yields, the weights by tensor name after each step; None is the shipped one. It is given arrays of its
    own. `time_limit` is in seconds, for the whole loop (see `tapecheck.answer.Limited`).

    Raises BadInput, and `tf_oracle.OracleUnavailable` where TensorFlow cannot be used.
    """
    said = optimizer_problems(optimizer) + positive_int("steps", steps)
    if implementation is not None and not callable(implementation):
        said.append(f"`implementation` = {implementation!r}, but should be a training loop, a callable")
    try:
        case = taken(case)
    except BadInput as refused:
        raise BadInput("this training run", refused.problems + said) from None
    if said:
        raise BadInput("this training run", said)
    problem = case.problem() if isinstance(case, Case) else case
    loop = implementation or shipped
    with np.errstate(over="ignore", invalid="ignore"):
        book = list(textbook_run(problem, optimizer, steps))
    for step, weights in enumerate(book, 1):
        if not all(np.isfinite(w).all() for w in weights.values()):
            said = [f"weights overflow at step {step}: the learning rate is too large"]
            raise BadInput("this training run", said)
    given: list[Mapping[str, Any]] = []

    def run(problem: Problem) -> Mapping[str, Any]:
        given.extend(collected(loop(problem, optimizer, steps), steps))
        return {}

    limited = run if time_limit is None else Limited(run, time_limit)
    heard = hear(partial(limited, problem.copy()))
    oracle = list(tf_oracle.train(problem.model, problem, problem.loss, optimizer, steps))
    truth, unknown = None, ""
    try:
        truth = exact_run(problem, optimizer, steps)
    except NotEnclosed as reason:
        unknown = str(reason)

    @cache
    def worst() -> list[Arrays]:
        """After each step the textbook's weights that are farthest off, from starts one rounding away too."""
        assert truth is not None
        found = book
        for neighbour in neighbours(problem):
            runs = zip(found, textbook_run(neighbour, optimizer, steps), truth.steps, strict=True)
            found = [farther(one, other, true, problem.dtype) for one, other, true in runs]
        return found

    def row(k: int, name: str) -> TensorReport:
        candidate = given[k].get(name) if given else None
        true = truth.steps[k][name] if truth else None
        first = compare(name, candidate, oracle[k][name], book[k][name], true, problem.dtype)
        if first.verdict != FAILED or first.note or truth is None:
            return first
        return compare(name, candidate, oracle[k][name], worst()[k][name], true, problem.dtype)

    return TrainingReport(
        problem=problem,
        optimizer=optimizer,
        implementation=name_of(implementation) if implementation else "reference_impl",
        heard=heard,
        weights=given,
        exact=truth,
        unknown=unknown,
        steps=tuple({name: row(k, name) for name in problem.weights} for k in range(steps)),
    )
