"""What the arguments of a table's names may be, checked before anything is computed."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from reference_impl.spec import Entry, Named, not_in_table


class Kind(NamedTuple):
    """What an argument may be: in words, and as a test."""

    words: str
    holds: Callable[[Any], bool]


# The default of an argument that Keras has no default for.
REQUIRED = object()


def is_number(value: object) -> bool:
    """Whether it is a finite real number, and no bool."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return math.isfinite(value)


def is_axis(value: object) -> bool:
    """Whether it is an axis of a weight, or several."""
    axes = value if isinstance(value, list | tuple) else [value]
    return len(axes) > 0 and all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes)


NUMBER = Kind("a finite number", is_number)
POSITIVE = Kind("a number above 0", lambda value: is_number(value) and value > 0)
NOT_NEGATIVE = Kind("a number from 0 on", lambda value: is_number(value) and value >= 0)
NOT_POSITIVE = Kind("a number up to 0", lambda value: is_number(value) and value <= 0)
SHARE = Kind("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
BELOW_ONE = Kind("a number from 0 to below 1", lambda value: is_number(value) and 0 <= value < 1)
SWITCH = Kind("True or False", lambda value: isinstance(value, bool))
AXIS = Kind("an axis, or a tuple of them", is_axis)


def is_one_of(*names: str) -> Kind:
    """A choice of words."""
    return Kind(f"one of {', '.join(names)}", lambda value: value in names)


def bound(value: str | Named, table: Mapping[Any, Entry]) -> dict[str, Any]:
    """All arguments of a name of the table, those left out at Keras's defaults."""
    named = value if isinstance(value, Named) else Named(value)
    return {**table[named.name].defaults, **named.arguments}


def argument_problems(
    argument: str,
    value: object,
    table: Mapping[Any, Entry],
    kinds: Mapping[str, Kind],
    refused: Mapping[str, str] | None = None,
) -> list[str]:
    """The problems with `value` as a name of the `table`, with or without arguments, a sentence each.

    `kinds` says what each argument may be, besides None where that is its default; `refused` why some of
    Keras's names and arguments are in no table.
    """
    named = value if isinstance(value, Named) else Named(value) if isinstance(value, str) else None
    for name in [] if named is None else [named.name, *named.arguments]:
        if name in (refused or {}):
            return [f"`{argument}` = {value!r}, but {name} is not supported: {(refused or {})[name]}"]
    said = not_in_table(argument, value, table)
    if said or named is None:
        return said
    entry = table[named.name]
    for name, given in bound(named, table).items():
        if given is REQUIRED:
            said.append(f"`{argument}` = {value!r}, but {named.name} needs `{name}`, {kinds[name].words}")
        elif not (kinds[name].holds(given) or (given is None and entry.defaults[name] is None)):
            said.append(f"`{name}` of {named.name} = {given!r}, but should be {kinds[name].words}")
    return said
