"""Asking someone's implementation for its gradients, whatever it does."""

import contextlib
import faulthandler
import io
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from reference_impl.arguments import POSITIVE
from reference_impl.spec import Array, BadInput, kind_of
from tapecheck.problem import Implementation, Problem, Result

# The folders whose frames are this project's own, and of no interest to whoever wrote the implementation.
OURS = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "reference_impl"))

# Seconds past the time limit after which native code is taken to hang.
GRACE = 10


class TooSlow(BaseException):
    """The time limit is over. Not an Exception, so that whatever their code catches, it goes through."""


@dataclass(frozen=True)
class Answer:
    """What came back. `failure` says why there is no result; `traceback` is the implementation's own.

    `not_done` is True where it raised NotImplementedError: it does not claim to do such a problem.
    `unlike_first` names what was right in the first answer to this problem and is not in this, the second.
    """

    result: Result = field(default_factory=lambda: Result({}))
    failure: str = ""
    traceback: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # names of input arrays that it wrote into
    not_done: bool = False
    unlike_first: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heard:
    """What came of calling someone's code: what it `returned`, or why not, and what it did besides."""

    returned: object = None
    failure: str = ""
    traceback: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    not_done: bool = False  # it raised NotImplementedError


class Kept(io.StringIO):
    """What is printed, also by code that closes the streams which it was given."""

    def close(self) -> None:
        """Nothing: it is read afterwards."""


def hear(call: Callable[[], object]) -> Heard:
    """Call anyone's code. Nothing that it raises or prints gets past this function."""
    output = Kept()
    returned: object = None
    failure = ""
    frames: tuple[str, ...] = ()
    not_done = False
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), settings_restored():
            returned = call()
    except (Exception, SystemExit, TooSlow) as error:  # anyone's code: whatever it raises is its answer
        said = "; ".join(error.problems) if isinstance(error, BadInput) else str(error)
        not_done = isinstance(error, NotImplementedError)
        verb = "does not do this" if not_done else f"raised {type(error).__name__}"
        failure = (said if isinstance(error, TooSlow) else f"{verb}: {said}").splitlines()[0].rstrip(": ")
        frames = () if not_done else its_own_frames(error)
    return Heard(returned, failure, frames, tuple(output.getvalue().splitlines()), not_done)


@contextlib.contextmanager
def settings_restored() -> Iterator[None]:
    """What code may set for the whole process, NumPy's error handling and warning filters, ends with it."""
    with np.errstate(), warnings.catch_warnings():
        yield


def ask(implementation: Implementation, problem: Problem) -> Answer:
    """Call the implementation on a copy of the problem, which it may write into; see `hear`."""
    given = problem.copy()
    heard = hear(lambda: implementation(given))
    result, failure = as_result(heard.returned), heard.failure
    if result is None and not failure:
        kind = kind_of(heard.returned)
        if isinstance(heard.returned, Result):
            kind = f"a Result whose `gradients` are {kind_of(heard.returned.gradients)}"
        failure = (
            f"returned {kind}, but should return a tapecheck.Result or a dict of gradients by tensor name"
        )
    changed = differing(problem, given)
    return Answer(result or Result({}), failure, heard.traceback, heard.printed, changed, heard.not_done)


def as_result(returned: object) -> Result | None:
    """What was returned as a Result with names by text; None where it is none."""
    result = Result(returned) if isinstance(returned, Mapping) else returned
    if not isinstance(result, Result) or not isinstance(result.gradients, Mapping):
        return None
    trace = result.trace if isinstance(result.trace, Mapping) else {}
    gradients, trace = ({str(name): value for name, value in d.items()} for d in (result.gradients, trace))
    return replace(result, gradients=gradients, trace=trace)


def differing(problem: Problem, other: Problem) -> tuple[str, ...]:
    """The names of the problem's arrays that are not the same in the other one."""
    there = inputs(other)
    return tuple(name for name, array in inputs(problem).items() if differs(array, there.get(name)))


def inputs(problem: Problem) -> Mapping[str, Array]:
    """Every array of the problem by name."""
    alone = {"x": problem.x, "y": problem.y, "mask": problem.mask, "sample_weight": problem.sample_weight}
    batches = {f"before[{k}]": batch for k, batch in enumerate(problem.before)}
    given = {name: array for name, array in (alone | batches).items() if array is not None}
    return given | problem.weights | problem.initial_state | problem.dropout | problem.upstream


def differs(original: Array, now: object) -> bool:
    """Whether an array was written into, replaced by another or taken away; NaN that was put there counts."""
    return not isinstance(now, np.ndarray) or now.tobytes() != original.tobytes()


def its_own_frames(error: BaseException) -> tuple[str, ...]:
    """The traceback's lines from the first frame that is not ours to the last one."""
    said = traceback.TracebackException(type(error), error, error.__traceback__)
    theirs = [k for k, frame in enumerate(said.stack) if not is_ours(frame.filename)]
    said.stack[:] = said.stack[theirs[0] : theirs[-1] + 1] if theirs else []
    return tuple("".join(said.format()).rstrip().splitlines())


def is_ours(filename: str) -> bool:
    """Whether a frame is of this project, of the import system, or of code that a dataclass generated."""
    return filename.startswith((*OURS, "<frozen importlib", "<string>")) or filename.endswith(
        "importlib/__init__.py"
    )


# ---- the time limit


@dataclass(frozen=True)
class Limited:
    """An implementation that is stopped after so many seconds, whichever problem it is asked about.

    A signal stops Python code, and calls that a signal interrupts. Native code that never comes back to
    Python cannot be stopped alone: after as long again, and GRACE at least, the process is ended with
    status 1, and what hangs is written to the file descriptor `log`. Raises BadInput where there are no
    such signals: on Windows and outside of the main thread.
    """

    implementation: Implementation
    seconds: float
    log: int = 2

    def __post_init__(self) -> None:
        said = []
        if not POSITIVE.holds(self.seconds):
            said.append(f"`time_limit` = {self.seconds!r}, but should be a positive number of seconds")
        if not hasattr(signal, "SIGALRM"):
            said.append("it needs a system with the signal SIGALRM, which Windows has not: leave it out")
        elif threading.current_thread() is not threading.main_thread():
            said.append(
                f"it needs the main thread, but this is {threading.current_thread().name}: leave it out"
            )
        if said:
            raise BadInput("a time limit", said)

    def __call__(self, problem: Problem) -> Result | Mapping[str, Any]:
        with alarm(self.seconds, self.log):
            return self.implementation(problem)


@contextlib.contextmanager
def alarm(seconds: float, log: int) -> Iterator[None]:
    """Raise TooSlow in the body after so many seconds, and end the process where that stops nothing.

    An alarm that was set before, such as that of pytest-timeout, goes on afterwards.
    """

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TooSlow(f"gave no answer within the time limit of {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, ring)
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + max(seconds, GRACE), exit=True, file=log)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        passed = time.monotonic() - started
        signal.setitimer(signal.ITIMER_REAL, max(left - passed, 1e-3) if left else 0, interval)
        signal.signal(signal.SIGALRM, handler)
