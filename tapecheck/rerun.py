"""Where a report is read: the command that makes it again, and the file that its arrays go to.

Both must work when they are pasted where the run was started, so a test's path is relative to that
folder and not to pytest's root, and a program is called as it was called.
"""

import os
import re
import shlex
import shutil
import sys
import zlib
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(".tapecheck")
# Characters of a file's name.
LONGEST_NAME = 50


@dataclass(frozen=True)
class Run:
    """What is running: the `command` that runs it again, its `name` where a case's own is not enough to tell
    its arrays from others, and the folder in which it was `started`.
    """

    command: str = ""
    name: str = ""
    started: Path = Path()


NOTHING = Run()
RUN: ContextVar[Run] = ContextVar("what is running", default=NOTHING)


def run_of_test(node: str, started: Path, call: str) -> Run:
    """The run of the test `node`, as it is named from the folder in which pytest was started by `call`, such
    as "pytest -n0". However long the node is, it is given whole: part of it may select others as well.
    """
    return Run(f"{call} {quoted(node)}", re.sub(r"[^\w.+-]+", ".", node, flags=re.ASCII).strip("."), started)


def arrays_file(case: str) -> tuple[Path, Path]:
    """Where the arrays of a check go, and the path to say. Each test has a file of its own."""
    run = RUN.get()
    name = case if not run.name else run.name if case in run.name else f"{run.name}.{case}"
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 9]}-{zlib.crc32(name.encode()):08x}"
    said = FOLDER / f"{name}.npz"
    return run.started / said, said


def quoted(argument: str) -> str:
    """The argument for a shell, in ASCII: bash and zsh read any byte as $'\\xff'."""
    if argument.isascii():
        return shlex.quote(argument)
    keep = {ord(c) for c in map(chr, range(32, 127)) if c not in "'\\"}
    return "$'" + "".join(chr(b) if b in keep else f"\\x{b:02x}" for b in argument.encode()) + "'"


def called(program: str, argv: Sequence[str] = ()) -> str:
    """What calls the program of this environment: its name where the shell finds it by that, else a path.
    `argv` is how it was called; `python -m pytest` finds other modules than `pytest`.
    """
    if argv and Path(argv[0]).name == "__main__.py":
        return f"{as_found('python', Path(sys.executable).with_name('python'))} -m {program}"
    return as_found(program, Path(sys.executable).with_name(program))


def as_found(name: str, path: Path) -> str:
    """The name where the shell finds `path` by it, else the path, from here where it lies below."""
    if not path.exists() or shutil.which(name) == str(path):
        return name
    near = os.path.relpath(path)
    return quoted(str(path) if near.startswith("..") else near)
