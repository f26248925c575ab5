"""Random configurations through `check`: how many pass, and what becomes of the rest.

```
python -m benchmarks.configurations --count 2000 --seed 0
```

So many different cases are drawn by `tapecheck.strategies.cases()`, the same ones for the same seed, and
checked with the shipped implementation. A case is a mismatch where the check fails, and where it says that
TensorFlow is off. Without a mismatch, a check is inconclusive only where nothing can be proven: a dead
gradient, a value that overflows or lies on a kink, a chaotic model in float32.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tapecheck import Case, check
from tapecheck.compare import OFF
from tapecheck.known import known
from tapecheck.report import Report
from tapecheck.strategies import cases


@dataclass
class Tally:
    """What has become of the cases so far."""

    verdicts: Counter[str] = field(default_factory=Counter)
    mismatches: list[Report] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    tensors: int = 0
    worst: float = 0.0
    worst_case: str = ""

    def add(self, report: Report) -> None:
        """Count one report."""
        self.verdicts[report.verdict] += 1
        if report.verdict == "failed" or any(tensor.note == OFF for tensor in report.rows):
            self.mismatches.append(report)
        elif report.verdict == "inconclusive":
            self.reasons[report.doubts[0].partition(": ")[2] or report.doubts[0]] += 1
        passed = [tensor for tensor in report.rows if tensor.passed]
        self.tensors += len(passed)
        for tensor in passed:
            if tensor.share_of_limit > self.worst:
                self.worst, self.worst_case = (
                    tensor.share_of_limit,
                    f"{tensor.name} of {report.problem.case!r}",
                )

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {verdict}" for verdict, number in self.verdicts.most_common())
        lines = [
            f"{sum(self.verdicts.values())} configurations: {counts}; {len(self.mismatches)} mismatches",
            f"{self.tensors} tensors passed; largest error {self.worst:.2f} of its limit: {self.worst_case}",
            *(f"inconclusive {number} x: {reason}" for reason, number in self.reasons.most_common()),
        ]
        for report in self.mismatches:
            case = report.problem.case
            lines += [
                "",
                repr(case),
                *(f"known: {each}" for each in known(case)),
                *str(report).splitlines()[:20],
            ]
        return "\n".join(lines)


def tally(count: int, seed: int) -> Tally:
    """Check so many different random cases, those of a seed."""
    found = Tally()
    drawn: set[str] = set()

    @seeded(seed)
    @settings(
        max_examples=2 * count,  # some are drawn twice
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases())
    def run(case: Case) -> None:
        if len(drawn) < count and case.name not in drawn:
            drawn.add(case.name)
            found.add(check(case))

    run()
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.configurations", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="how many configurations to draw")
    parser.add_argument("--seed", type=int, default=0, help="another number draws others")
    asked = parser.parse_args()
    print(tally(asked.count, asked.seed))


if __name__ == "__main__":
    main()
