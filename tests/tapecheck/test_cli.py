"""The command: its exit status, its output, and what it says to bad input."""

import sys

import pytest

from tapecheck.catalogue import CATALOGUE
from tapecheck.cli import main


def run(capsys, *argv):
    """Exit status, standard output and standard error of `tapecheck ARGV`."""
    try:
        status = main(argv)
    except SystemExit as stopped:  # argparse
        status = stopped.code
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    """A module of the user's in the working directory, with a right and a wrong implementation."""
    (tmp_path / "mine_for_cli.py").write_text(
        "def right(problem):\n"
        "    return problem.reference.gradients\n"
        "def wrong(problem):\n"
        "    return {name: -g for name, g in problem.reference.gradients.items()}\n"
        "class Mine:\n"
        "    def gradients(self, problem):\n"
        "        return problem.reference.gradients\n"
        "mine = Mine()\n"
        "def modest(problem):\n"
        "    if problem.x.shape[1] > 1:\n"
        "        raise NotImplementedError('one step only')\n"
        "    return problem.reference.gradients\n"
        "def one_step_only(problem):\n"
        "    assert problem.x.shape[1] == 1\n"
        "    return problem.reference.gradients\n"
        "def hanging(problem):\n"
        "    while problem.x.shape[1] == 1: pass\n"
        "    return problem.reference.gradients\n"
        "number = 3\n"
    )
    (tmp_path / "broken_for_cli.py").write_text("def f(:\n")
    (tmp_path / "lost_for_cli.py").write_text("import no_such_library\n")
    (tmp_path / "raising_for_cli.py").write_text("raise SystemExit('no data')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "mine_for_cli"
    sys.modules.pop("mine_for_cli", None)


def test_list_shows_every_case(capsys):
    """`tapecheck list` prints a line a case, thread first."""
    status, out, _ = run(capsys, "list")
    assert status == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["name", *(case.name for case in CATALOGUE)]


def test_check_by_name_prints_in_full_and_sums_up(capsys):
    """A named case is shown in full; the last line sums up; status 0."""
    status, out, err = run(capsys, "check", "thread-sequences", "one-step")
    assert (status, err) == (0, "")
    assert "passed: 8 of 8 gradients agree [thread-sequences]" in out
    assert "Keras output" in out
    assert out.splitlines()[-1].startswith("2 cases passed, 20 tensors; largest error 0.")


def test_whole_catalogue(capsys):
    """`tapecheck` alone shows the thread's three models in full and every other case in one line."""
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert out.count("Keras output") == 3
    assert out.count("\nok  ") == len(CATALOGUE) - 3
    assert out.splitlines()[-1].startswith(f"{len(CATALOGUE)} cases passed")
    assert max(map(len, out.splitlines())) <= 80


def test_wrong_implementation_has_status_1(capsys, my_module):
    """A mismatch prints the failing report with the line that reruns it, and ends with 1."""
    status, out, _ = run(capsys, "check", "one-step", "--implementation", f"{my_module}:wrong")
    assert status == 1
    assert "7 of 8 wrong [one-step]" in out
    assert "1 of 1 case did not pass: one-step" in out


def test_right_implementation_has_status_0(capsys, my_module):
    """Anyone's callable can be checked by its import path."""
    status, out, _ = run(capsys, "check", "one-step", "--implementation", f"{my_module}:right")
    assert status == 0
    assert "mine_for_cli:right against TensorFlow" in out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["check", "thread-flaten"], "no case is named 'thread-flaten'; did you mean 'thread-flatten'?"),
        (["check", "one-step", "--implementation", "mine_for_cli"], "should be PACKAGE.MODULE:FUNCTION"),
        (["check", "--implementation", "no_such_module:f"], "no_such_module cannot be imported"),
        (["check", "--implementation", "mine_for_cli:rigth"], "does not exist; did you mean 'right'?"),
        (["check", "--implementation", "mine_for_cli:number"], "number in mine_for_cli is not callable"),
        (["check", "--implementation", "mine_for_cli.right"], "did you mean 'mine_for_cli:right'?"),
        (["check", "--implementation", "./mine_for_cli.py:right"], "did you mean 'mine_for_cli:right'?"),
        (["check", "--implementation", "broken_for_cli:f"], "broken_for_cli cannot be imported: SyntaxError"),
        (["check", "--implementation", "lost_for_cli:f"], "No module named 'no_such_library'"),
        (["check", "--implementation", "raising_for_cli:f"], 'raising_for_cli.py", line 1, in <module>'),
        (["check", "--time-limit", "soon"], "invalid seconds value: 'soon'"),
        (["chek"], "invalid choice: 'chek'"),
        (["check", "--no-such-option"], "unrecognized arguments"),
    ],
)
def test_bad_usage_has_status_2(capsys, my_module, argv, said):
    """Each misuse is one clear message on standard error, nothing on standard output, status 2."""
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert "".join(said.split()) in "".join(err.split())  # however it is wrapped
    assert "Traceback" not in err


def test_method_of_an_object(capsys, my_module):
    """What stands behind the colon may have dots in it."""
    status, _, _ = run(capsys, "check", "one-step", "--implementation", f"{my_module}:mine.gradients")
    assert status == 0


def test_what_is_not_implemented_is_passed_over(capsys, my_module):
    """Cases that the implementation does not do are listed with its reason, and neither pass nor fail."""
    status, out, _ = run(capsys, "check", "--implementation", f"{my_module}:modest")
    assert status == 0
    assert "\n--  two-steps" in out
    assert "does not do this: one step only" in out
    assert out.splitlines()[-1].startswith("2 cases passed, ")
    assert out.splitlines()[-1].endswith(f"; {len(CATALOGUE) - 2} not done by this implementation")


def test_many_failures_beside_some_that_pass_may_be_cases_that_are_not_done(capsys, my_module):
    """Where most cases fail and some pass, the last line says how to leave out what the code does not do."""
    names = ["one-step", "two-steps", "square"]
    _, out, _ = run(capsys, "check", *names, "--implementation", f"{my_module}:one_step_only")
    assert out.splitlines()[-2:] == [
        "2 of 3 cases did not pass: two-steps, square",
        "What an implementation does not do, it says with NotImplementedError.",
    ]
    _, out, _ = run(capsys, "check", *names, "--implementation", f"{my_module}:wrong")
    assert "NotImplementedError" not in out


def test_nothing_done_is_no_success(capsys, my_module):
    """Where the implementation does none of the cases, nothing is proven, and the status is 1."""
    status, out, _ = run(capsys, "check", "two-steps", "--implementation", f"{my_module}:modest")
    assert status == 1
    assert out.splitlines()[-1] == "nothing was checked; 1 not done by this implementation"


def test_a_case_that_hangs_does_not_end_the_run(capsys, my_module):
    """With a time limit the next case is checked all the same, and the status is 1."""
    arguments = ["one-step", "two-steps", "--time-limit", "0.3"]
    status, out, _ = run(capsys, "check", *arguments, "--implementation", f"{my_module}:hanging")
    assert status == 1
    assert "failed: the implementation gave no answer within the time limit of 0.3 s [one-step]" in out
    assert out.splitlines()[-1] == "1 of 2 cases did not pass: one-step"


def test_a_long_refusal_is_wrapped(capsys):
    """No line of it has more than 100 columns, and what goes on is indented."""
    status, _, err = run(capsys, "model", "nowhere.keras", "--loss", f"huber(delta={'1' * 200},)(")
    assert status == 2
    lines = err.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("tapecheck: ")
    assert all(line.startswith(("  - ", "    ")) for line in lines[1:])


def test_all_unknown_names_are_said_at_once(capsys):
    """Two unknown names give two lines."""
    _, _, err = run(capsys, "check", "nope", "neither")
    assert err.count("no case is named") == 2
