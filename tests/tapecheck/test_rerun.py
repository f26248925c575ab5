"""The lines to paste: they fit, name one file for each test, and are read by a shell as they are meant."""

import subprocess
from pathlib import Path

import pytest

from tapecheck.rerun import RUN, Run, arrays_file, called, quoted, run_of_test


@pytest.fixture
def running():
    """Makes a run the one that is running, until the test ends."""
    before = RUN.set(Run())
    yield RUN.set
    RUN.reset(before)


@pytest.mark.parametrize("text", ["plain", "a b", "it's", "größe [x]", "back\\slash", "█ 'q' \\"])
def test_a_shell_reads_what_was_quoted(text):
    """Any argument reaches a program as it was, and is written in ASCII."""
    assert quoted(text).isascii()
    read = subprocess.run(["bash", "-c", f"printf %s {quoted(text)}"], capture_output=True, check=True)
    assert read.stdout.decode() == text


def test_a_test_is_selected_by_its_node():
    """The node in one argument, and a file name without what a shell would read."""
    run = run_of_test("tests/test_a.py::TestB::test_c[one-step]", Path("here"), "pytest -n0")
    assert run.command == "pytest -n0 'tests/test_a.py::TestB::test_c[one-step]'"
    assert run.name == "tests.test_a.py.TestB.test_c.one-step"
    assert run.started == Path("here")


def test_a_long_selection_is_whole():
    """However long its parameters are, the line selects this test and no other."""
    node = f"test_a.py::test_b[{'a' * 90}-b]"
    assert run_of_test(node, Path(), "pytest -n0").command == f"pytest -n0 '{node}'"


def test_files_of_arrays(running):
    """A script's by the case, a test's by the test, with the case where that does not name it; long names
    are cut and stay different.
    """
    assert arrays_file("one-step")[1] == Path(".tapecheck/one-step.npz")
    running(Run(name="test_a.py.test_b.one-step", started=Path("/somewhere")))
    path, said = arrays_file("one-step")
    assert said == Path(".tapecheck/test_a.py.test_b.one-step.npz")
    assert path == Path("/somewhere") / said
    assert arrays_file("two-steps")[1].name == "test_a.py.test_b.one-step.two-steps.npz"
    running(Run(name="x" * 80 + "a"))
    one = arrays_file("y")[1].name
    running(Run(name="x" * 80 + "b"))
    assert one != arrays_file("y")[1].name
    assert len(one) <= 60


def test_programs_are_called_as_the_shell_finds_them(tmp_path, monkeypatch):
    """By name in an activated environment; by a path from here, or in full, where the shell would find
    another or none; by python -m where it was called so.
    """
    environment = tmp_path / "venv" / "bin"
    environment.mkdir(parents=True)
    for program in ("python", "tapecheck"):
        (environment / program).touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(environment / "python"))
    monkeypatch.setenv("PATH", str(environment))
    assert called("tapecheck") == "tapecheck"
    assert called("pytest", ["/x/pytest/__main__.py"]) == "python -m pytest"
    monkeypatch.setenv("PATH", "/bin")
    assert called("tapecheck") == str(environment / "tapecheck")
    monkeypatch.chdir(tmp_path)
    assert called("tapecheck") == "venv/bin/tapecheck"
    assert called("pytest", ["/x/pytest/__main__.py"]) == "venv/bin/python -m pytest"
