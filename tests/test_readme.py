"""The README's pasted output is what the commands print; its two commands stand there as they should."""

import inspect
import re
import sys
from pathlib import Path

import pytest

from reference_impl.textbook import lstm
from tapecheck.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text()

# The implementation of "Read a failing diff": the textbook with one line written wrong.
RIGHT, WRONG = "df = dc * c_prev", "df = dc * c\n"
ADAPTER = """
from reference_impl.textbook import sequential
from mypackage import wrong_lstm

def gradients(problem):
    p, right = problem, sequential.lstm
    sequential.lstm = wrong_lstm
    try:
        return sequential.backpropagate(p.model, p, p.loss).gradients
    finally:
        sequential.lstm = right
"""


def pasted(name):
    """The text block under `<!-- output: NAME -->`."""
    found = re.search(rf"<!-- output: {re.escape(name)} -->\n```text\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no output {name!r}"
    return found[1]


def without_figures(text):
    """The text with what differs from machine to machine masked: rounding errors and versions.

    Factors, counts, shapes, names and the values of gradients stay.
    """
    masked = []
    for line in text.rstrip().splitlines():
        if re.match(r" +(ok|FAIL|--|t=\d+) ", line):  # the columns of errors and limits
            line = re.sub(r"(?<=  )(inf|-|\d+(\.\d+)?(e\d+)?\*?)(?=  |$)", "#", line)
        line = re.sub(
            r"\d+\.\d+\.\d+|2\^-\d+|0\.\d\d of its limit|limit of \d+|largest error \d\.\d\d", "#", line
        )
        masked.append(re.sub(r" +", " ", line))
    return masked


def printed(capsys, *argv):
    """What the command prints."""
    main(argv)
    return capsys.readouterr().out


def test_output_of_a_passing_check(capsys):
    """The README shows what `tapecheck check thread-sequences` prints."""
    name = "tapecheck check thread-sequences"
    assert without_figures(pasted(name)) == without_figures(printed(capsys, *name.split()[1:]))


def test_output_of_a_failing_check(capsys, tmp_path, monkeypatch):
    """The README shows what a `df` with the wrong cell state really gives, as someone's own package."""
    source = inspect.getsource(lstm)
    assert source.count(RIGHT) == 1
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").touch()
    (tmp_path / "mypackage" / "wrong_lstm.py").write_text(source.replace(RIGHT, WRONG))
    (tmp_path / "mypackage" / "lstm.py").write_text(ADAPTER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    name = "tapecheck check sequences-linear-mse --implementation mypackage.lstm:gradients"
    try:
        text = printed(capsys, *name.split()[1:])
    finally:
        for module in ("mypackage", "mypackage.lstm", "mypackage.wrong_lstm"):
            sys.modules.pop(module, None)
    assert without_figures(pasted(name)) == without_figures(text)


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/tapecheck",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest -n auto",
    ],
)
def test_the_two_commands(command):
    """Each of the two commands stands in the README on a line of its own, where the gate reads it."""
    assert f"\n{command}\n" in README


def test_every_dependency_has_its_line():
    """Whatever pyproject.toml asks for is in the README's table with what it is for."""
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    listed = re.findall(r'"([a-z-]+)>=', project)
    table = README.partition("## Dependencies")[2]
    assert {name for name in listed if name not in table} == {"setuptools"}


def test_links_lead_somewhere():
    """Every relative link of the README names a file that exists."""
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (Path(__file__).parent.parent / target).exists(), target
