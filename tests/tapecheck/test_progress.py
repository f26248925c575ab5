"""What takes some seconds shows that on a terminal, and nowhere else."""

import io
import sys

import pytest

from tapecheck import progress


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def terminal(monkeypatch):
    """A terminal in place of both of the process's streams; within a test, since pytest sets them before."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Screen())
    monkeypatch.setattr(sys, "stderr", Screen())
    return sys.stderr


def test_a_terminal_shows_the_bar(monkeypatch):
    """The text, and the share that is done."""
    screen = terminal(monkeypatch)
    with progress.bar("looking", shown=True) as advance:
        advance(0.5)
    assert "looking" in screen.getvalue()
    assert "50%" in screen.getvalue()


def test_a_bar_that_is_not_to_be_shown_is_not(monkeypatch):
    """Not even on a terminal."""
    screen = terminal(monkeypatch)
    with progress.bar("looking", shown=False) as advance:
        advance(0.5)
    assert screen.getvalue() == ""


def test_a_terminal_shows_what_is_being_done(monkeypatch):
    """A line that is gone afterwards."""
    screen = terminal(monkeypatch)
    with progress.working("checking"):
        pass
    assert "checking" in screen.getvalue()


@pytest.mark.parametrize("piped", ["stdout", "stderr"])
def test_nothing_is_shown_where_nobody_looks(piped, monkeypatch):
    """With either of the streams in a file."""
    screen = terminal(monkeypatch)
    monkeypatch.setattr(sys, piped, io.StringIO())
    with progress.working("checking"), progress.bar("looking", shown=True) as advance:
        advance(0.5)
    assert progress.terminal() is None
    assert screen.getvalue() == ""
