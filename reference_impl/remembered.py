"""What depends on a frozen object and its arguments alone is computed once.

A person who checks gradients runs the same small passes thousands of times, and asking a model for its names
and shapes, and whether it makes sense, takes longer than such a pass.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])

# Results kept of one method of one object; a shape that changes at every call does not fill the memory.
KEPT = 256


class Memory(dict[tuple[Any, ...], Any]):
    """What one method of one object has returned. A copy of the object, pickled or not, starts with none."""

    def __reduce__(self) -> tuple[type["Memory"], tuple[()]]:
        return Memory, ()


def remembered(method: Method) -> Method:
    """The method, which returns what it returned before to the same positional arguments.

    For results that nobody changes, of objects that nobody changes. Where an argument cannot be hashed
    nothing is remembered. What is remembered is no part of the object: it is neither compared nor copied
    by `dataclasses.replace`.
    """
    slot = f"_{method.__name__}_remembered"

    @wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        try:
            return self.__dict__[slot][arguments]
        except TypeError:  # not hashable
            return method(self, *arguments)
        except KeyError:
            memory = self.__dict__.get(slot)
        if memory is None:
            self.__dict__.setdefault(slot, Memory())
            return call(self, *arguments)
        if len(memory) >= KEPT:
            memory.clear()
        found = memory[arguments] = method(self, *arguments)
        return found

    return cast(Method, call)
