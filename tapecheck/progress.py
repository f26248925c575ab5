"""What a terminal shows of something that takes some seconds; nothing where nobody looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich takes a while to import, and most runs never show anything
    from rich.console import Console


def terminal() -> "Console | None":
    """The terminal, if there is one that is looked at."""
    from rich.console import Console

    console = Console(stderr=True)
    return console if console.is_terminal and sys.stdout.isatty() else None


@contextmanager
def working(text: str) -> Iterator[None]:
    """A line that says what is being done."""
    if console := terminal():
        with console.status(text):
            yield
    else:
        yield


@contextmanager
def bar(text: str, shown: bool) -> Iterator[Callable[[float], None]]:
    """A bar, where it is to be `shown`: a function that takes the share that is done, from 0 to 1."""
    console = terminal() if shown else None
    if console is None:
        yield lambda share: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as shares:
        task = shares.add_task(text, total=1.0)
        yield lambda share: shares.update(task, completed=share)
