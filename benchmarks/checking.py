"""What a check costs: `python -m benchmarks.checking` prints the figures of docs/performance.md.

Processor time of one thread, in turns in one process, each time on a case that was not run before.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from threadpoolctl import threadpool_limits

import tf_oracle
from reference_impl.spec import Array
from tapecheck import CATALOGUE, Case, Problem, check
from tapecheck.case import Implementation
from tapecheck.exact import run_textbook

TURNS = 40
FAILING_TURNS = 5


def timed(call: Callable[..., object], *arguments: object) -> float:
    """Milliseconds of one call."""
    started = time.process_time()
    call(*arguments)
    return 1000 * (time.process_time() - started)


def right(problem: Problem) -> dict[str, Array]:
    """The shipped implementation, as anyone's."""
    return dict(problem.reference.gradients)


def textbook(problem: Problem) -> dict[str, Array]:
    """The textbook in the problem's dtype, as anyone's."""
    return run_textbook(problem, lambda array: array).gradients


def doubled(problem: Problem) -> dict[str, Array]:
    """A mistake that is known."""
    return {name: 2 * gradient for name, gradient in right(problem).items()}


def unknown(problem: Problem) -> dict[str, Array]:
    """A mistake that is not, so that every one is tried."""
    return {name: g * (1.01 if "recurrent" in name else 1) for name, g in right(problem).items()}


def passing(case: Case) -> None:
    """A check that passes, with an implementation that takes little time itself."""
    check(case, textbook).assert_passed()


def failing(case: Case, implementation: Implementation) -> None:
    """A check that does not, with its report and so every experiment."""
    if "mismatch" not in str(check(case, implementation)):
        raise AssertionError("the mistake was not found")


def main(turns: int = TURNS, failing_turns: int = FAILING_TURNS) -> int:
    """Measure and print."""
    threadpool_limits(1)
    case, seeds = CATALOGUE[0], iter(range(1, 10_000))

    def fresh() -> Case:
        return replace(case, seed=next(seeds))

    check(fresh(), right)
    alone, whole = [], []
    for _ in range(turns):
        problem = fresh().problem()
        alone.append(timed(tf_oracle.run, problem.model, problem, problem.loss))
        whole.append(timed(passing, fresh()))
    ratio = median(b / a for a, b in zip(alone, whole, strict=True))
    print(f"{case.name}: TensorFlow alone {median(alone):.1f} ms, a passing check {median(whole):.1f} ms")
    print(f"  {ratio:.2f} times, median of {turns}")
    again = median(timed(passing, case) for _ in range(turns))
    print(f"  another implementation on the same case: {again:.1f} ms")
    for title, implementation in (("known", doubled), ("unknown", unknown)):
        spent = median(timed(failing, fresh(), implementation) for _ in range(failing_turns))
        print(f"  a failing check, {title} mistake, its whole report: {spent / 1000:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
