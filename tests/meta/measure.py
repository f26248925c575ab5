"""How well mistakes are named: the figures of docs/faults.md. Run as `python tests/meta/measure.py`."""

import importlib.util
import itertools
import sys
import time
from pathlib import Path

import numpy as np

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Result
from tapecheck.diagnose import diagnose
from tapecheck.fit import ROUNDING, Seen

HERE = Path(__file__).parent / "wrong"
HELD_OUT = ("inplace", "samples")
# Written after the matcher was finished, and run once before anything more was changed.
LATE = ("scan",)
# Classes that are not planted together with another: a forward pass of its own, and rounding.
ALONE = ("a different forward", "float32 buffers")


def load(name):
    """A module of wrong implementations."""
    spec = importlib.util.spec_from_file_location(f"wrong_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULES = {path.stem: load(path.stem) for path in sorted(HERE.glob("*.py"))}
CASES = {
    "sequences": Case(
        "wrong-sequences",
        Sequential([LSTM(4, return_sequences=True), Dense(2)]),
        batch=3,
        timesteps=5,
        initial_state="random",
    ),
    "last": Case("wrong-last", Sequential([LSTM(4), Dense(2)]), batch=3, timesteps=5, initial_state="random"),
    "relu": Case(
        "wrong-relu", Sequential([LSTM(4, return_sequences=True), Dense(2, activation="relu")]), timesteps=5
    ),
}


def planted(module, *bugs):
    """The implementation with these bugs."""

    def implementation(problem):
        output, gradients = MODULES[module].run(problem, frozenset(bugs))
        return Result(gradients, output)

    return implementation


def visible(implementation, problem):
    """Whether the bug changes anything there."""
    return not Seen(problem, implementation(problem)).is_right


def named(diagnosis, expected):
    """Whether a diagnosis says what was planted: the quantity, and the class."""
    quantities, kind = expected
    return diagnosis.quantity in quantities, diagnosis.fault == kind


def same(diagnosis, expected):
    """Whether it says so in other words: `di` in place of `df` where that is the same function."""
    return any(wrong.split(" = ")[0] in expected[0] for wrong in (diagnosis.equation, *diagnosis.same))


def case_of(module, bug):
    """The case that shows the bug."""
    if bug == "relu slope forgotten":
        return CASES["relu"]
    last = planted(module, bug)
    return CASES["sequences" if visible(last, CASES["sequences"].problem()) else "last"]


def singles(modules):
    """(module, bug, expected, diagnoses, seconds) of every planted bug."""
    for name in modules:
        for bug, expected in MODULES[name].BUGS.items():
            problem = case_of(name, bug).problem()
            implementation = planted(name, bug)
            result = implementation(problem)
            start = time.perf_counter()
            found = diagnose(implementation, problem, result)
            yield name, bug, expected, found, time.perf_counter() - start


def pairs(modules, count):
    """`count` random pairs of bugs of one module that both leave a trace, drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    problem = CASES["sequences"].problem()
    every = [
        (name, *two)
        for name in modules
        for two in itertools.combinations([b for b, e in MODULES[name].BUGS.items() if e[1] not in ALONE], 2)
    ]
    drawn = 0
    for place in rng.permutation(len(every)):
        name, one, other = every[place]
        both = planted(name, one, other)
        alone = [Seen(problem, planted(name, bug)(problem)) for bug in (one, other)]
        answer = Seen(problem, both(problem)).truth._replace(gradients=both(problem).gradients)
        if any(each.is_right or each.error(answer) <= ROUNDING for each in alone):
            continue  # one of them hides the other
        drawn += 1
        start = time.perf_counter()
        found = diagnose(both, problem, both(problem), pairs=True)
        expected = [MODULES[name].BUGS[bug] for bug in (one, other)]
        yield name, one, other, expected, found, time.perf_counter() - start
        if drawn == count:
            return


def report_singles(title, modules):
    """Print the figures for single bugs."""
    rows = list(singles(modules))
    hits = [[named(d, expected) for d in found[:3]] for _, _, expected, found, _ in rows]
    for (name, bug, expected, found, _), hit in zip(rows, hits, strict=True):
        if not hit or not all(hit[0]) or not found[0].certain:
            print(f"  {name}: {bug}: expected {expected}", *map(str, found[:3]), sep="\n      ")
    seconds = sorted(row[-1] for row in rows)
    sure = [hit for hit, row in zip(hits, rows, strict=True) if row[3] and row[3][0].certain]
    print(f"{title}: {len(rows)} wrong implementations, one mistake each")
    print(f"  quantity and class named first: {sum(bool(h) and all(h[0]) for h in hits)}")
    print(f"  quantity and class among the first three: {sum(any(map(all, h)) for h in hits)}")
    equal = sum(bool(row[3]) and (named(row[3][0], row[2])[0] or same(row[3][0], row[2])) for row in rows)
    print(f"  quantity named first, or one that gives the same numbers: {equal}")
    print(f"  quantity named first: {sum(bool(h) and h[0][0] for h in hits)}")
    print(
        f"  said to be certain: {len(sure)}, of these with another quantity: {sum(not h[0][0] for h in sure)}"
    )
    print(f"  seconds: median {seconds[len(seconds) // 2]:.2f}, worst {seconds[-1]:.2f}")


def report_pairs(title, modules, count):
    """Print the figures for pairs of bugs."""
    rows = list(pairs(modules, count))
    strict = named_both = one = sure_wrong = 0
    for name, first, other, expected, found, seconds in rows:
        hits = [any(named(d, e)[0] for d in found[:3]) for e in expected]
        strict += all(hits)
        hits = [any(named(d, e)[0] or same(d, e) for d in found[:3]) for e in expected]
        named_both += all(hits)
        one += any(hits)
        sure_wrong += any(
            d.certain and not any(named(d, e)[0] or same(d, e) for e in expected) for d in found
        )
        if not all(hits):
            print(
                f"  {name}: {first} + {other} ({seconds:.1f} s): expected {expected}", *found, sep="\n      "
            )
    seconds = sorted(row[-1] for row in rows)
    print(f"{title}: {len(rows)} wrong implementations, two mistakes each")
    print(
        f"  both quantities among the first three: {strict}; or ones that give the same numbers: {named_both}"
    )
    print(f"  one of them: {one}")
    print(f"  with a certain diagnosis of another quantity: {sure_wrong}")
    print(f"  seconds: median {seconds[len(seconds) // 2]:.2f}, worst {seconds[-1]:.2f}")


if __name__ == "__main__":
    tuned = [name for name in MODULES if name not in HELD_OUT + LATE]
    wanted = sys.argv[1:] or ["singles", "pairs"]
    if "singles" in wanted:
        report_singles("tuned on", tuned)
        report_singles("held out", HELD_OUT)
        report_singles("written late", LATE)
    if "pairs" in wanted:
        report_pairs("tuned on", tuned, 60)
        report_pairs("held out", HELD_OUT, 40)
        report_pairs("written late", LATE, 40)
