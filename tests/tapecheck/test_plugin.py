"""The pytest plugin as a user meets it: their test file, their option, their terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tapecheck.catalogue import named
from tapecheck.saved import load

# What is tested here is the plugin, in many short processes: NumPy stands in for TensorFlow in all but one.
STAND_IN = """
import tf_oracle

def numpy_for_tensorflow(model, inputs, loss):
    output, value, gradients = model.run(inputs, loss)
    weights = inputs.weights
    layers = [
        tf_oracle.LayerSummary(
            name, type(layer).__name__, shape,
            sum(weight.size for key, weight in weights.items() if key.startswith(name + "/")),
        )
        for name, layer, _, shape in model.shapes(inputs.x.shape)
    ]
    return tf_oracle.OraclePass(output, value, gradients, weights, layers)

tf_oracle.run = numpy_for_tensorflow
"""
USERS_TEST = """
import tapecheck
from my_lstm import gradients

@tapecheck.cases("thread-sequences", "one-step")
def test_gradients(case, gradient_check):
    gradient_check(case, gradients)
"""
RIGHT = """
def gradients(problem):
    return problem.reference.gradients
"""
WRONG = """
def gradients(problem):
    return {name: 2 * g for name, g in problem.reference.gradients.items()}
"""


@pytest.fixture
def users(pytester, monkeypatch):
    """A folder of the user's with a test file and an implementation, in an activated environment."""
    here = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", here + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def made(implementation, test=USERS_TEST, stand_in=STAND_IN):
        pytester.makeconftest(stand_in)
        pytester.makepyfile(my_lstm=implementation, test_mine=test)
        return pytester

    return made


def test_five_lines_are_a_test(users):
    """A right implementation passes under the cases' names, and the nearest to the limit are listed."""
    result = users(RIGHT, stand_in="").runpytest_subprocess("-v", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*test_gradients[[]thread-sequences[]] PASSED*",
            "*test_gradients[[]one-step[]] PASSED*",
            "*nearest to the limit*",
            "error/limit  tensor*test",
            "*0.*test_mine.py::test_gradients*",
        ]
    )


def test_failing_diff_is_whole(users):
    """The diff is printed uncut, without frames of ours, with the line that reruns the test."""
    result = users(WRONG).runpytest_subprocess("-n0", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    assert "8 of 8 wrong [thread-sequences]" in text
    assert "lstm/initial_c" in text
    assert "rerun  python -m pytest -n0 'test_mine.py::test_gradients[thread-sequences]'" in text
    assert "tapecheck replay .tapecheck/test_mine.py.test_gradients.thread-sequences.npz" in text
    assert "E       tapecheck.GradientMismatch: gradient mismatch: all gradients times 2; 8" in text
    assert "plugin.py" not in text
    assert "report.py" not in text


def test_diff_is_the_same_under_xdist(users):
    """A worker prints what a single process prints."""

    def diff(result):
        text = result.stdout.str()
        start = text.index("8 of 8 wrong [thread-sequences]")
        return text[start : text.index("replay", start)]

    single = users(WRONG).runpytest_subprocess("-n0", "-p", "no:cacheprovider")
    spread = users(WRONG).runpytest_subprocess("-n1", "-p", "no:cacheprovider")
    assert diff(single) == diff(spread)


def test_short_summary_is_one_line_on_ci(users, monkeypatch):
    """With CI set, where pytest prints whole messages, the summary keeps to the verdict."""
    folder = users(WRONG)
    monkeypatch.setenv("CI", "true")
    result = folder.runpytest_subprocess("-p", "no:cacheprovider", "-k", "one-step")
    summary = result.stdout.str().partition("short test summary info")[2].splitlines()
    assert sum("FAILED" in line for line in summary) == 1
    failed = next(k for k, line in enumerate(summary) if "FAILED" in line)
    assert "7 of 8 wrong [one-step]" in summary[failed]
    assert summary[failed + 1].startswith("====")


def test_implementation_by_option(users):
    """`--implementation` serves every test that names none, and the header says which and against what."""
    naming_none = USERS_TEST.replace("(case, gradients)", "(case)").replace('"thread-sequences", ', "")
    folder = users(WRONG, naming_none)
    shipped = folder.runpytest_subprocess("-p", "no:cacheprovider")
    shipped.assert_outcomes(passed=1)
    given = folder.runpytest_subprocess("-p", "no:cacheprovider", "--implementation", "my_lstm:gradients")
    given.assert_outcomes(failed=1)
    given.stdout.fnmatch_lines(["tapecheck: my_lstm:gradients against tensorflow *, keras *, numpy *"])


def test_bad_option_is_a_usage_error(users):
    """A path that cannot be imported ends with pytest's status for usage errors and one message."""
    result = users(RIGHT).runpytest_subprocess("-p", "no:cacheprovider", "--implementation", "nowhere:f")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*nowhere cannot be imported*"])


def test_junit_properties_are_plain_numbers(users):
    """The share of the limit is in the JUnit file as a plain float, beside the tensor's name."""
    folder = users(RIGHT)
    folder.runpytest_subprocess("-p", "no:cacheprovider", "--junitxml=out.xml", "-k", "one-step")
    xml = (folder.path / "out.xml").read_text()
    assert 'name="tapecheck_share_of_limit" value="0.' in xml
    assert 'name="tapecheck_nearest_to_limit"' in xml


def test_unknown_case_names_are_said_at_once(users):
    """A misspelt name in `tapecheck.cases` is a collection error that suggests the nearest."""
    test = "import tapecheck\n\n@tapecheck.cases('one-stp')\ndef test_it(case):\n    pass\n"
    result = users(RIGHT, test).runpytest_subprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*no case is named 'one-stp'; did you mean 'one-step'?*"])


def test_time_limit_by_option(users):
    """A test whose implementation hangs fails in time, and the next one runs."""
    hanging = """
def gradients(problem):
    while problem.x.shape[1] > 1:
        pass
    return problem.reference.gradients
"""
    result = users(hanging).runpytest_subprocess("-p", "no:cacheprovider", "--time-limit", "0.3")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*the implementation gave no answer within the time limit of 0.3 s*"])


def test_native_code_that_hangs_is_said_on_the_terminal(users):
    """pytest keeps standard error to itself while a test runs; what hangs is said all the same."""
    hanging = """
import collections, itertools

def gradients(problem):
    collections.deque(itertools.repeat(None), maxlen=0)
"""
    stand_in = STAND_IN + "\nimport tapecheck.answer\ntapecheck.answer.GRACE = 0.3\n"
    folder = users(hanging, stand_in=stand_in)
    result = folder.runpytest_subprocess("-p", "no:cacheprovider", "--time-limit", "0.2")
    assert result.ret == 1
    result.stderr.fnmatch_lines(["Timeout (*", "*my_lstm.py*in gradients"])


def test_what_is_not_implemented_is_skipped(users):
    """NotImplementedError skips the test with its reason."""
    modest = """
def gradients(problem):
    if problem.x.shape[1] > 1:
        raise NotImplementedError("one step only")
    return problem.reference.gradients
"""
    result = users(modest).runpytest_subprocess("-p", "no:cacheprovider", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*the implementation does not do this: one step only*"])


def test_misuse_is_one_message(users):
    """What is no implementation fails the test with one line, without frames of ours."""
    result = users("gradients = 3\n").runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*`implementation` is not callable: it is an int*"])
    assert "check.py" not in result.stdout.str()


OWN_CASE_TEST = """
import pytest
import tapecheck
from my_lstm import gradients
from reference_impl import LSTM, Dense, Sequential

MINE = tapecheck.Case("mine", Sequential([LSTM(3), Dense(3)]), batch=4, timesteps=1)

@tapecheck.cases(MINE, "one-step")
def test_gradients(case, gradient_check):
    gradient_check(case, gradients)
"""


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["here", "in a worker"])
def test_a_case_of_the_users_own_is_said_to_be_blind(users, options):
    """What it cannot see stands in the summary, also from a worker; of the catalogue's cases nothing does."""
    result = users(RIGHT, OWN_CASE_TEST).runpytest_subprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*what your own cases cannot see*", "mine: blind to: * (T = 1: no recurrence:*"]
    )
    start = next(k for k, line in enumerate(result.outlines) if line.startswith("mine: blind to"))
    assert max(map(len, result.outlines[start : start + 2])) <= 100
    assert result.outlines[start + 1].startswith("  ")
    result.stdout.no_fnmatch_line("one-step: *")


TWO_WRONG = """
from tapecheck.faults import faults

def gradients(problem):
    known = {fault.wrong: fault for fault in faults(problem)}
    return (known["dz_f = df"] + known["dW_h = dW_h + h.T @ dz"])(problem)
"""


@pytest.mark.parametrize("options", [(), ("--pairs",)], ids=["without", "with"])
def test_two_mistakes_are_looked_for_on_demand(users, options):
    """With --pairs a failed check names both; without, it does not look."""
    test = USERS_TEST.replace('"thread-sequences", "one-step"', '"sequences-tanh-mse"')
    result = users(TWO_WRONG, test).runpytest_subprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(failed=1)
    (first,) = [line for line in result.outlines if "gradient mismatch: " in line][:1]
    assert ("dz_f = df, not df * f * (1 - f) and dW_h" in first) == bool(options)


def pasted(text, folder):
    """Each line to run a test again, run in a shell where pytest was started: its status and output."""
    lines = re.findall(r"rerun  (.*)", text)
    assert lines
    return [subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True) for line in lines]


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize("started", [".", "below"], ids=["above", "below"])
def test_rerun_line_works_when_pasted(users, workers, started):
    """From the folder that pytest was started in, above the tests or below its root, with the option that
    names the implementation, under xdist or not: the line runs that test, and it fails as it did.
    """
    naming_none = USERS_TEST.replace("(case, gradients)", "(case)").replace(
        "from my_lstm import gradients", ""
    )
    folder = users(WRONG, naming_none)
    folder.makefile(".ini", pytest="[pytest]\npythonpath = .\n")
    (folder.path / "below").mkdir()
    (folder.path / "test_mine.py").rename(folder.path / "below" / "test_mine.py")
    here = folder.path / started
    folder.chdir()
    os.chdir(here)
    if started == "below":
        (folder.path / "my_lstm.py").rename(here / "my_lstm.py")
    options = ["-p", "no:cacheprovider", "--implementation", "my_lstm:gradients", "-k", "one-step", workers]
    first = folder.runpytest_subprocess(*options)
    first.assert_outcomes(failed=1)
    verdict = "gradient mismatch: all gradients times 2; 7 of 8 wrong [one-step]"
    assert verdict in first.stdout.str()
    (again,) = pasted(first.stdout.str(), here)
    assert verdict in again.stdout
    assert "1 failed" in again.stdout


def test_rerun_line_of_a_plain_check(users):
    """A test that calls check itself, in a class, with parameters that need quotes, is run again as well."""
    test = """
import pytest, tapecheck
from my_lstm import gradients

class TestMine:
    @pytest.mark.parametrize("what", ["it's a 'name'", "plain" * 30])
    def test_it(self, what):
        tapecheck.check("one-step", gradients).assert_passed()
"""
    first = users(WRONG, test).runpytest_subprocess("-p", "no:cacheprovider", "-n0")
    first.assert_outcomes(failed=2)
    for again in pasted(first.stdout.str(), users(WRONG, test).path):
        assert "1 failed" in again.stdout
        assert "7 of 8 wrong [one-step]" in again.stdout


def test_each_test_has_its_own_arrays(users):
    """Tests of one case, told apart by a parameter, by their function or by their file, overwrite nothing;
    what is saved can be replayed where pytest was started, even if the test works in another folder.
    """
    test = """
import pytest, tapecheck
from my_lstm import gradients

@tapecheck.cases("one-step")
@pytest.mark.parametrize("factor", [3, 4])
def test_factors(case, factor, gradient_check, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    gradient_check(case, lambda p: {name: factor * g for name, g in p.reference.gradients.items()})

def test_another(gradient_check):
    gradient_check("one-step", gradients)
"""
    folder = users(WRONG, test)
    result = folder.runpytest_subprocess("-p", "no:cacheprovider", "-n2")
    result.assert_outcomes(failed=3)
    files = sorted(path.name for path in (folder.path / ".tapecheck").glob("*.npz"))
    assert files == [
        "test_mine.py.test_another.one-step.npz",
        "test_mine.py.test_factors.3-one-step.npz",
        "test_mine.py.test_factors.4-one-step.npz",
    ]
    for factor in (3, 4):
        path = folder.path / ".tapecheck" / f"test_mine.py.test_factors.{factor}-one-step.npz"
        _, result, _ = load(path)
        assert np.allclose(
            result.gradients["x"], factor * named(["one-step"])[0].problem().reference.gradients["x"]
        )
    assert f".tapecheck/{files[1]}" in folder.runpytest_subprocess("-p", "no:cacheprovider").stdout.str()


def test_a_refusal_is_said_once(users):
    """What `check` refuses fails the test in one message, without the exception that carried it."""
    test = """
def test_gradients(gradient_check):
    gradient_check("no-such-case")
"""
    result = users(RIGHT, test).runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    said = result.stdout.str()
    assert said.count("no case is named 'no-such-case'") == 1
    assert "During handling" not in said
