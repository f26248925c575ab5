"""The first line of a report: the verdict, and what matters most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tapecheck.compare import FAILED, INCONCLUSIVE, UNCHECKED, errors
from tapecheck.text import WIDTH, listed, plain, shortened

if TYPE_CHECKING:
    from tapecheck.report import Report

# Columns that the name of a case may have.
CASE_WIDTH = 40


def headline(report: Report) -> str:
    """The verdict in one line: what is most wrong, how much of it, and the case."""
    kind, what, count = verdict_in_words(report)
    end = f"{'; ' if count and what else ''}{count} [{shortened(report.problem.case.name, CASE_WIDTH)}]"
    room = WIDTH - len(f"{kind}: ") - len(end)
    what = plain(what)
    return f"{kind}: {what if len(what) <= room else what[: room - 3] + '...'}{end}"


def verdict_in_words(report: Report) -> tuple[str, str, str]:
    """The kind of verdict, what it is about, and a count."""
    checked = [row for row in report.tensors.values() if row.verdict != UNCHECKED]
    wrong = [row for row in report.tensors.values() if row.verdict == FAILED]
    if report.passed:
        left = [row.name for row in report.tensors.values() if row.verdict == UNCHECKED]
        agree = f"{len(checked)} of {len(report.tensors)} gradients agree"
        return "passed", agree, f"unchecked: {', '.join(left)}" if left else ""
    if report.verdict == INCONCLUSIVE:
        return "inconclusive", report.doubts[0], ""
    if report.answer.failure or not any(row.verdict == FAILED for row in report.rows):
        return "failed", report.wrongs[0], ""
    count = f"{len(wrong)} of {len(checked)} wrong" if wrong else f"all {len(checked)} gradients are right"
    found = report.investigation
    if report.answer.unlike_first:
        return "gradient mismatch" if wrong else "failed", found.whole, count
    if said := report.unusable:
        more = f"{len(said) - 1} more like it" if len(said) > 1 else ""
        return "failed", said[0], more
    if any(row.verdict == FAILED for row in report.forward.values()) or found.is_forward:
        return "forward mismatch", forward_in_words(report), count
    if not any(row.name in report.problem.weights for row in wrong):
        alone = f"{listed([row.name for row in wrong])} alone, every weight is right"
        return "gradient mismatch", found.certainty or alone, count
    return "gradient mismatch", found.certainty or found.lead, count


def forward_in_words(report: Report) -> str:
    """Which equation is wrong, where the output goes wrong, or that only the loss does."""
    output, loss, found = report.forward.get("output"), report.forward.get("loss"), report.investigation
    if found.is_forward or (output and output.verdict == FAILED and found.certainty):
        return found.certainty
    if found.localization and (first := found.localization.first_divergence) and first.phase == "forward":
        return found.lead
    if output and output.verdict == FAILED:
        assert report.exact is not None
        true = report.exact.tensors["output"]
        theirs = np.asarray(report.answer.result.output)
        wrong = errors("output", theirs, true, report.problem.dtype) > output.limit
        if wrong.ndim == 3:
            return f"output wrong from step {np.argmax(wrong.any(axis=(0, 2)))} on"
        return "output wrong"
    assert loss is not None
    rest = found.certainty or ("the output is right" if output else "")
    return f"loss is {loss.factor:.6g} x Keras's" + (f", {rest}" if rest else "")
