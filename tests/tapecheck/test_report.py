"""The report's text: the verdict first, ASCII, narrow, and true."""

from dataclasses import replace

import numpy as np
import pytest

import tapecheck.report
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Result, check
from tapecheck.catalogue import CATALOGUE
from tapecheck.rerun import RUN, Run
from tapecheck.text import figure, fitted, shortened, table
from tapecheck.witnesses import outvoted_of_three

CASE = Case("report", Sequential([LSTM(4, return_sequences=True), Dense(2)]), 3, 6, 5)


def doubled(problem):
    """The right gradients times two."""
    return {name: 2 * gradient for name, gradient in problem.reference.gradients.items()}


def test_passing_report_says_so_first():
    """The first line is the verdict with the case's id."""
    assert str(check(CASE)).splitlines()[0] == "passed: 8 of 8 gradients agree [report]"


def test_a_passed_case_of_the_users_own_says_what_it_cannot_see():
    """In a line of the printed report, not before it is asked for; a case of the catalogue does not."""
    report = check(replace(CASE, timesteps=1))
    assert "blind_to" not in vars(report)
    assert "\n  blind to: " in str(report)
    assert "T = 1: no recurrence: " in str(report)
    assert all(len(line) <= 100 for line in str(report).splitlines())
    assert "blind to" not in str(check(CATALOGUE[0]))
    assert "blind to" not in str(check(CASE, doubled))


def test_a_search_that_breaks_off_leaves_the_verdict(monkeypatch):
    """A mistake of ours in looking for theirs is told below the verdict, and no traceback ends the run."""

    def breaks(*_, **__):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(tapecheck.report, "BREAKS", (Exception,))
    monkeypatch.setattr(tapecheck.report, "investigate", breaks)
    report = check(CASE, doubled)
    first, *rest = str(report).splitlines()
    assert first == "gradient mismatch: 8 of 8 wrong [report]"
    assert "  tapecheck's search for the cause broke off: ZeroDivisionError: of ours" in rest
    assert report.first_divergence is None


@pytest.fixture
def script(tmp_path):
    """No test and no command runs, and what is saved goes to a folder of its own."""
    before = RUN.set(Run(started=tmp_path))
    yield tmp_path
    RUN.reset(before)


def test_assert_passed_raises_the_text(script):
    """The AssertionError's text is the report, then the command that replays its arrays."""
    report = check(CASE, doubled)
    with pytest.raises(AssertionError) as raised:
        report.assert_passed()
    *text, last = str(raised.value).splitlines()
    assert text == str(report).splitlines()
    assert last == "  arrays tapecheck replay .tapecheck/report.npz"
    assert (script / ".tapecheck" / "report.npz").is_file()
    assert (script / ".tapecheck" / ".gitignore").read_text() == "*\n"
    assert str(report).startswith("gradient mismatch: all gradients times 2; 8 of 8 wrong")


def test_failing_report_shows_every_witness():
    """Errors, limit, scale factor, and the worst element as yours, TensorFlow's, exact and complex step."""
    text = str(check(CASE, doubled))
    assert text.count("FAIL") == 8
    assert text.count("2 x exact") == 8
    assert "complex step" in text
    assert "this implementation is wrong" in text
    again = "pytest -n0 tests/tapecheck/test_report.py::test_failing_report_shows_every_witness"
    assert again in text


def test_complex_step_stands_beside_the_exact_value():
    """On the worst element the complex step repeats the exact value, not the implementation's."""
    line = next(
        line for line in str(check(CASE, doubled)).splitlines() if line.strip().startswith("lstm/kernel[")
    )
    *_, yours, tensorflow, exact, step = line.split()
    assert float(yours) == pytest.approx(2 * float(exact), rel=1e-5)
    assert tensorflow == exact == step


@pytest.mark.parametrize("case", [CATALOGUE[0], CATALOGUE[2], CASE], ids=lambda case: case.name)
def test_reports_fit(case, script):
    """Plain ASCII; 80 columns for a full report, 100 for a failing one."""
    full = check(case).full()
    assert full.isascii()
    assert max(map(len, full.splitlines())) <= 80
    failing = str(check(case, doubled))
    assert failing.isascii()
    assert max(map(len, failing.splitlines())) <= 100


def test_full_report_shows_both_models():
    """Keras's and NumPy's output shapes and parameter counts stand side by side, and the weights."""
    full = check(CATALOGUE[0]).full()
    assert "lstm      (4, 3, 8)     (4, 3, 8)           352           352" in full
    assert "dense     (4, 3, 1)     (4, 3, 1)             9             9" in full
    assert "weights: 5 tensors, equal bit for bit in Keras and NumPy" in full


def test_forward_values_are_reported_where_given():
    """A result with output and loss has them checked first; one without says nothing of them."""
    with_forward = check(CASE, lambda p: Result(p.reference.gradients, p.reference.output, p.reference.loss))
    assert list(with_forward.forward) == ["output", "loss"]
    assert check(CASE, lambda p: p.reference.gradients).forward == {}


def test_report_is_an_object_too():
    """The public fields hold what the text says."""
    report = check(CASE, doubled)
    tensor = report.tensors["lstm/kernel"]
    assert not report.passed
    assert report.verdict == "failed"
    assert tensor.shape == (5, 16)
    assert tensor.error > tensor.limit >= 32
    assert tensor.oracle_error < tensor.limit
    assert not tensor.passed
    assert (
        np.unravel_index(np.abs(report.exact.tensors["lstm/kernel"]).argmax(), (5, 16)) == tensor.worst_index
    )
    assert tensor.factor == pytest.approx(2)


def test_arrays_that_cannot_be_saved_do_not_hide_the_mismatch(script):
    """Where the folder cannot be written, the report says so and is raised all the same."""
    (script / ".tapecheck").write_text("a file, not a folder")
    with pytest.raises(AssertionError, match="arrays not saved"):
        check(CASE, doubled).assert_passed()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0"),
        (1.25, "1.2"),
        (31.7, "32"),
        (5.94e14, "5.9e14"),
        (1e4, "1.0e4"),
        (np.inf, "inf"),
        (np.nan, "-"),
    ],
)
def test_figures(value, text):
    """Errors are printed short, without padding zeros in the exponent."""
    assert figure(value) == text


def test_table_aligns_and_keeps_brackets():
    """Columns line up, and text in square brackets is not taken for markup."""
    assert table(["name", "n"], [["a[3]", "1"], ["[b]", "22"]], left=(0,)) == [
        "name   n",
        "a[3]   1",
        "[b]   22",
    ]


def test_shortened_and_broken_lines():
    """A long word is cut in its middle; a long line goes on below, indented, and loses nothing."""
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abc...hijk"
    assert fitted(["  - one two three"], 10) == ["  - one", "    two", "    three"]
    assert fitted(["", "\u00e9"]) == ["", "\\xe9"]


def test_table_gives_way_in_its_widest_column_on_the_left():
    """What does not fit is shortened where it is words, never where it is a figure."""
    rows = [["lstm/recurrent_kernel", "123456789012"]]
    assert table(["tensor", "n"], rows, left=(0,), width=26) == [
        "tensor                   n",
        "lstm...ernel  123456789012",
    ]


def test_who_is_outvoted():
    """Two votes of three name the loser, TensorFlow included; values within the limit agree."""
    step = "the complex step"
    assert outvoted_of_three(2.0, 1.0, 1.01, 0.1, step).endswith("this implementation is wrong")
    assert outvoted_of_three(1.0, 2.0, 1.01, 0.1, step).endswith("TensorFlow is wrong")
    assert "another model" in outvoted_of_three(1.0, 1.01, 2.0, 0.1, step)
    assert outvoted_of_three(1.0, 2.0, 3.0, 0.1, step) == "no two witnesses agree"
