"""Right on the first call alone: what an implementation keeps between calls may not read "passed" either."""

from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, check

CASE = Case("trap", Sequential([LSTM(5, return_sequences=True), Dense(1)]), 3, 6, 4)


def counting(later):
    """An implementation whose first answer is right, and whose next ones are `later(problem, call)`."""
    calls = []

    def implementation(problem):
        calls.append(None)
        return problem.reference if len(calls) == 1 else later(problem, len(calls))

    return implementation


def accumulating():
    """An implementation whose gradient buffers live across calls and are never cleared."""
    kept = {}

    def implementation(problem):
        for name, gradient in problem.reference.gradients.items():
            kept.setdefault((name, gradient.shape), np.zeros_like(gradient))[...] += gradient
        return {name: kept[name, array.shape] for name, array in problem.tensors.items()}

    return implementation


def test_buffers_that_are_never_cleared_fail():
    """Right on the first call and twice as large on the second: failed, and the first line says how."""
    report = check(CASE, accumulating())
    assert report.verdict == "failed"
    assert report.headline == "gradient mismatch: the answer changes from call to call; 8 of 8 wrong [trap]"
    assert "2 x exact" in str(report)
    assert "- repeat: the second answer differs in" in str(report)
    assert "something is kept between calls" in " ".join(str(report).split())


LATER = {
    "stale from the second call on": (
        lambda p, call: p.reference.gradients | {"lstm/bias": p.reference.gradients["lstm/bias"] * 1.001},
        "gradient mismatch: the answer changes from call to call; 1 of 8 wrong [trap]",
    ),
    "NaN": (
        lambda p, call: p.reference.gradients | {"dense/bias": np.full(1, np.nan)},
        "gradient mismatch: the answer changes from call to call; 1 of 8 wrong [trap]",
    ),
    "another output": (
        lambda p, call: replace(p.reference, output=p.reference.output + 1),
        "failed: the answer changes from call to call; all 8 gradients are right [trap]",
    ),
    "a tensor less": (
        lambda p, call: {name: p.reference.gradients[name] for name in p.weights},
        "failed: the answer changes from call to call: right when first asked, not the second time [trap]",
    ),
    "raises": (
        lambda p, call: {}["cache"],
        "failed: the implementation answered once and, asked again, raised KeyError: 'cache' [trap]",
    ),
    "nothing": (
        lambda p, call: None,
        "failed: the implementation answered once and, asked again, returned ",
    ),
}


@pytest.mark.parametrize(("later", "first_line"), LATER.values(), ids=LATER)
def test_an_answer_that_is_right_only_once_fails(later, first_line):
    """Whatever the second answer lacks, it is failed: wrong, missing, not finite, or no answer at all."""
    report = check(CASE, counting(later))
    assert report.verdict == "failed"
    assert report.headline.startswith(first_line)


def test_a_refusal_after_an_answer_is_no_refusal():
    """NotImplementedError for a problem that it has done already is no word on what it does."""

    def later(problem, call):
        raise NotImplementedError("never again")

    report = check(CASE, counting(later))
    assert (report.verdict, report.answer.not_done) == ("failed", False)
    assert "asked again, does not do this: never again" in report.answer.failure


def test_rounding_that_changes_from_call_to_call_passes():
    """Threads add up in another order each time: below the limit that is no change."""

    def later(problem, call):
        eps = np.finfo(problem.dtype).eps
        answer = problem.reference
        return replace(answer, gradients={n: g * (1 + call * eps) for n, g in answer.gradients.items()})

    assert check(CASE, counting(later)).passed
