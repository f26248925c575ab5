"""Finding an implementation by the path that a user types."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from reference_impl.spec import BadInput, did_you_mean, kind_of
from tapecheck.answer import Limited, its_own_frames
from tapecheck.problem import Implementation


def imported(path: str) -> Implementation:
    """The callable that "package.module:function" names, also from the working directory.

    Raises BadInput with the usual cause, and with the module's own traceback where that raises.
    """
    module, colon, attribute = path.partition(":")
    subject = f"--implementation {path}"
    if not (module and colon and attribute):
        parts = path.removesuffix(":").rpartition(".")
        meant = f"; did you mean '{parts[0]}:{parts[2]}'?" if parts[0] and not colon else ""
        raise BadInput(
            subject, [f"it should be PACKAGE.MODULE:FUNCTION, such as mypackage.lstm:gradients{meant}"]
        )
    if "/" in module or module.endswith(".py"):
        dotted = module.removesuffix(".py").removeprefix("./").replace("/", ".")
        raise BadInput(
            subject, [f"it should name a module, not a file; did you mean '{dotted}:{attribute}'?"]
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # anyone's code: whatever it raises is why it is of no use
        raise BadInput(subject, [f"{module} cannot be imported: {why(module, error)}"]) from error
    try:
        implementation = attrgetter(attribute)(found)
    except AttributeError:
        callables = [name for name, value in vars(found).items() if callable(value)]
        raise BadInput(
            subject, [f"{attribute} in {module} does not exist{did_you_mean(attribute, callables)}"]
        ) from None
    return require_callable(implementation, subject, f"{attribute} in {module}")


def why(module: str, error: BaseException) -> str:
    """Why a module cannot be imported: it is not there, or it raises."""
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        return f"{error} (run from the folder that holds it, or install it)"
    frames = [line for line in its_own_frames(error)[:-1] if not line.startswith("Traceback")]
    return "\n    ".join([f"{type(error).__name__}: {error}", *frames])


def require_callable(implementation: Any, subject: str, what: str) -> Implementation:
    """The implementation. Raises BadInput where it is not callable."""
    if not callable(implementation):
        raise BadInput(
            subject,
            [
                f"{what} is not callable: it is {kind_of(implementation)}, but should take a "
                "Problem and return a Result or a dict of gradients"
            ],
        )
    return implementation


def name_of(implementation: Callable[..., Any]) -> str:
    """`package.module:function`, as the command takes it."""
    named: Any = implementation
    while isinstance(named, Limited | partial):
        named = named.implementation if isinstance(named, Limited) else named.func
    name = getattr(named, "__qualname__", type(named).__qualname__)
    return f"{getattr(named, '__module__', None) or '?'}:{name}"
