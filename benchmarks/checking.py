"""What a check costs beside TensorFlow: `python -m benchmarks.checking`, some two minutes.

Processor time of one thread, in one process, each time on a case that was not run before. What is spent in
the functions of `tf_oracle` is TensorFlow's: the Keras twin, its dropout and initial weights, one eager pass
on the tape. The rest is this project's: drawing, both handwritten passes, the exact values, comparing.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing import get_context
from statistics import median
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

import tf_oracle
from benchmarks.report import DOCS, cells, digits, paste
from reference_impl.spec import Array
from tapecheck import CATALOGUE, Case, Problem, check, cli
from tapecheck.problem import Implementation
from tf_oracle.start import load

TURNS = 5
# Cases shown, of those with the largest share.
SHOWN = 5
# What tapecheck asks TensorFlow for.
ORACLE = ("run", "draw_dropout", "initial_weights")


class Cost(NamedTuple):
    """Seconds of a check, or of many."""

    oracle: float
    rest: float

    @property
    def share(self) -> float:
        """The rest as a share of TensorFlow's own time."""
        return self.rest / self.oracle


@contextlib.contextmanager
def oracle_seconds() -> Iterator[list[float]]:
    """The seconds of every call of `tf_oracle` in the body."""
    seconds: list[float] = []
    given = {name: getattr(tf_oracle, name) for name in ORACLE}

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def timed_call(*arguments: Any) -> Any:
            started = time.process_time()
            found = call(*arguments)
            seconds.append(time.process_time() - started)
            return found

        return timed_call

    try:
        for name, call in given.items():
            setattr(tf_oracle, name, watched(call))
        yield seconds
    finally:
        for name, call in given.items():
            setattr(tf_oracle, name, call)


def seconds_of(call: Callable[..., object], *arguments: object) -> float:
    """Seconds of one call."""
    started = time.process_time()
    call(*arguments)
    return time.process_time() - started


def passing(case: Case, implementation: Implementation | None = None) -> None:
    """A check that passes."""
    check(case, implementation).assert_passed()


def failing(case: Case, implementation: Implementation) -> None:
    """A check that does not, with its report and so every experiment."""
    if "mismatch" not in str(check(case, implementation)):
        raise AssertionError("the mistake was not found")


def cost(case: Case) -> Cost:
    """Of a check of the shipped implementation. The draw may be one that proves nothing."""
    with oracle_seconds() as seconds:
        whole = seconds_of(check, case)
    return Cost(sum(seconds), whole - sum(seconds))


def command(*arguments: str) -> Cost:
    """Of `tapecheck`, in a process started for it, from its start; importing TensorFlow is TensorFlow's."""
    loading = seconds_of(load)
    with oracle_seconds() as seconds, contextlib.redirect_stdout(io.StringIO()):
        if cli.main([*arguments]):
            raise AssertionError("a case does not pass")
    oracle = loading + sum(seconds)
    return Cost(oracle, time.process_time() - oracle)


def right(problem: Problem) -> dict[str, Array]:
    """The shipped implementation, as anyone's."""
    return dict(problem.reference.gradients)


def doubled(problem: Problem) -> dict[str, Array]:
    """A mistake that is known."""
    return {name: 2 * gradient for name, gradient in right(problem).items()}


def unknown(problem: Problem) -> dict[str, Array]:
    """A mistake that is not, so that every one is tried."""
    return {name: g * (1.01 if "recurrent" in name else 1) for name, g in right(problem).items()}


def table(costs: dict[str, Cost], title: str) -> str:
    """The shares, median and all in all, and the cases with the largest."""
    largest = sorted(costs, key=lambda name: costs[name].share, reverse=True)[:SHOWN]
    together = Cost(*(sum(parts) for parts in zip(*costs.values(), strict=True)))
    lines = [cells(title, "TensorFlow, ms", "the rest, ms", "share"), cells("---", "---:", "---:", "---:")]
    lines.append(cells("median of the shares", "", "", f"{median(c.share for c in costs.values()):.0%}"))
    for name, spent in {"all together": together, **{name: costs[name] for name in largest}}.items():
        lines.append(cells(name, digits(spent.oracle), digits(spent.rest), f"{spent.share:.0%}"))
    return "\n".join(lines)


def single(turns: int, fresh: Callable[[], Case]) -> str:
    """The other figures, of one case."""
    case = fresh()
    check(case)
    again = [seconds_of(passing, case, right) for _ in range(8 * turns)]
    known, strange = (
        [seconds_of(failing, fresh(), wrong) for _ in range(turns)] for wrong in (doubled, unknown)
    )
    rows = {
        "another implementation on the same case": again,
        "a failing check with a known mistake, all experiments and the report": known,
        "with a mistake that is not known, so that every known one is tried": strange,
    }
    lines = [cells(f"one more check, of `{case.name}`", "ms"), cells("---", "---:")]
    return "\n".join(lines + [cells(title, digits(median(seconds))) for title, seconds in rows.items()])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checking", description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS, help="of each case; default %(default)s")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="default: the catalogue")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/performance.md")
    given = parser.parse_args(argv)
    threadpool_limits(1)
    cases = [case for case in CATALOGUE if case.name in (given.cases or [case.name])]

    passing(CATALOGUE[0])  # loads TensorFlow
    costs = {}
    for case in cases:
        turns = [cost(replace(case, seed=turn)) for turn in range(1, given.turns + 1)]
        costs[case.name] = sorted(turns, key=lambda spent: spent.share)[len(turns) // 2]
    text = [table(costs, f"{len(cases)} cases, each newly drawn, median of {given.turns}")]

    seeds = iter(range(1000, 10_000))
    text.append(single(given.turns, lambda: replace(cases[0], seed=next(seeds))))

    with get_context("spawn").Pool(1) as pool:
        whole = pool.apply(command, ["check", *given.cases] if given.cases else [])
    text.append(
        f"`tapecheck`, from the start of the process to its end: {whole.oracle + whole.rest:.1f} s, "
        f"{1 + whole.share:.2f} times the {whole.oracle:.1f} s of importing and running TensorFlow."
    )
    print(*text, sep="\n\n")
    if given.docs:
        paste(DOCS / "performance.md", "checking", "\n\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
