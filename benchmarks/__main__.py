"""`python -m benchmarks`: the handwritten pass against every installed peer, and how its cost grows.

Every library runs in a process of its own, in turn with the others, so that a busy machine slows all of
them alike; what is compared is the ratio of medians. Before anything is timed, the gradients are.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks import report
from benchmarks.checks import CHECKS
from benchmarks.checks import QUICK as QUICK_CHECKS
from benchmarks.checks import compare as compare_checks
from benchmarks.checks import table as checks_table
from benchmarks.measure import compare
from benchmarks.peers import PEERS, installed
from benchmarks.worker import Worker
from benchmarks.workloads import GROWTH, WORKLOADS

# Those that are grown; the others take too long. With --quick, what compiles for long is left out.
GROWN: Sequence[str] = ("NumPy", "PyTorch", "JAX jit", "tf.function")
QUICK = ("NumPy", "PyTorch", "JAX jit", "tf.function")
QUICK_GROWN = ("NumPy", "PyTorch")
# Turns of the gradient checks, of which the slowest takes seconds.
CHECK_ROUNDS = 4


def main(argv: list[str] | None = None) -> int:
    """Exit status 0; 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small sizes only, in under a minute")
    parser.add_argument(
        "--peers", nargs="+", metavar="NAME", help=f"of {', '.join(PEERS)}; default: all installed"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="default: one a core, %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=10, help="turns of every peer; default %(default)s")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample there")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="write the growth picture there")
    parser.add_argument("--no-growth", action="store_true", help="the comparison only")
    parser.add_argument("--docs", action="store_true", help="put the tables and the picture into docs/")
    given = parser.parse_args(argv)

    here = installed()
    unknown = [name for name in given.peers or () if name not in here]
    if unknown:
        parser.error(f"not installed, or no peer: {', '.join(unknown)}; here are {', '.join(here)}")
    peers = ["NumPy", *(name for name in given.peers or here if name != "NumPy")]
    rounds, budget, workloads, growth, grows = given.rounds, 10.0, WORKLOADS, GROWTH, GROWN
    if given.quick:
        peers = [name for name in peers if given.peers or name in QUICK]
        rounds, budget, workloads, grows = min(rounds, 4), 0.5, WORKLOADS[:4], QUICK_GROWN
        growth = {size: sizes[:3] for size, sizes in GROWTH.items()}

    with closing(Worker(given.threads)) as worker:
        kernel = worker.call("kernel")
    libraries = dict.fromkeys(PEERS[name].library for name in peers)
    text = [report.heading(given.threads, kernel, list(libraries))]
    print(text[0], flush=True)

    rows = compare(workloads, peers, given.threads, rounds, budget)
    text += [report.table(rows), report.conclusion(rows)]
    print(*text[1:], sep="\n\n", flush=True)

    checks = compare_checks(given.threads, min(rounds, CHECK_ROUNDS), QUICK_CHECKS if given.quick else CHECKS)
    text.append(checks_table(*checks))
    print(text[-1], sep="\n\n", flush=True)

    grown = {}
    if not given.no_growth:
        grown_peers = [name for name in peers if name in grows]
        for size, sizes in growth.items():
            grown[size] = compare(sizes, grown_peers, given.threads, 3, budget / 4, products=False)
        text.append(report.growth_table(grown))
        print(text[-1], sep="\n\n", flush=True)

    pictures = [path for path in (given.picture, report.DOCS / "growth.png" if given.docs else None) if path]
    for path in pictures if grown else ():
        report.picture(grown, path)
    if given.json:
        report.dump(
            given.json, threads=given.threads, kernel=kernel, comparison=rows, checks=checks, growth=grown
        )
    if given.docs:
        report.paste(report.DOCS / "performance.md", "measured", "\n\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
