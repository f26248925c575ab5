"""Asking someone's implementation for its gradients, whatever it does."""

import contextlib
import io
import signal
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType

import numpy as np

from reference_impl.spec import Array, BadInput
from tapecheck.case import Implementation, Problem, Result

# Lines of what an implementation prints that a report shows.
SHOWN_LINES = 20


class TooSlow(TimeoutError):
    """The implementation took longer than the time limit."""


@dataclass(frozen=True)
class Answer:
    """What came back. `failure` says why there is no result; `traceback` is the implementation's own."""

    result: Result = field(default_factory=lambda: Result({}))
    failure: str = ""
    traceback: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # names of input arrays that it wrote into


def ask(implementation: Implementation, problem: Problem, time_limit: float | None = None) -> Answer:
    """Call the implementation on a copy of the problem, which it may write into.

    Nothing that it raises, prints or returns gets past this function. `time_limit` in seconds needs a
    main thread and POSIX signals; it interrupts Python code, not a call that never returns to it.
    """
    given = problem.copy()
    output = io.StringIO()
    returned: object = None
    failure = ""
    frames: tuple[str, ...] = ()
    try:
        with contextlib.redirect_stdout(output), alarm(time_limit):
            returned = implementation(given)
    except Exception as error:  # anyone's code: whatever it raises is its answer
        said = "; ".join(error.problems) if isinstance(error, BadInput) else str(error)
        failure = f"raised {type(error).__name__}: {said}".splitlines()[0]
        frames = its_own_frames(error)
    lines = tuple(output.getvalue().splitlines())
    here = inputs(given)
    changed = tuple(name for name, array in inputs(problem).items() if differs(array, here.get(name)))
    result = Result({})
    if isinstance(returned, Result):
        result = returned
    elif isinstance(returned, Mapping):
        result = Result(dict(returned))
    elif not failure:
        failure = (
            f"returned a {type(returned).__name__}, but should return a tapecheck.Result or a dict of "
            "gradients by tensor name"
        )
    return Answer(result, failure, frames, lines, changed)


def inputs(problem: Problem) -> Mapping[str, Array]:
    """Every array of the problem by name."""
    return {"y": problem.y, **problem.tensors}


def differs(original: Array, now: object) -> bool:
    """Whether an array was written into, replaced by another or taken away; NaN that was put there counts."""
    return not isinstance(now, np.ndarray) or now.tobytes() != original.tobytes()


def its_own_frames(error: Exception) -> tuple[str, ...]:
    """The traceback's lines from the implementation's first frame on."""
    own = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(type(error), error, own))
    return tuple(text.rstrip().splitlines())


@contextlib.contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise TooSlow in the body after so many seconds; no limit for None."""
    if seconds is None:
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TooSlow(f"no answer within the time limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
