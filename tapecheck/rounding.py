"""How far off rounding alone may be: the textbook in the problem's own dtype, more than once.

A single run can be lucky. Where a sum cancels, such as the one entry of a bias's gradient, its error is one
throw of a die, and TensorFlow's is another; a right implementation that throws a higher number is no worse.
So before a tensor fails, the textbook is also run on inputs that are one rounding away, which no
implementation can tell from the ones that it was given.
"""

import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from reference_impl.spec import Array, Arrays
from tapecheck.compare import errors
from tapecheck.exact import named, run_textbook
from tapecheck.problem import Problem

# Runs on moved inputs, besides the one on the inputs themselves.
MOVED = 4


def farthest(problem: Problem, book: Arrays, exact: Arrays) -> Arrays:
    """By tensor name the textbook's values in the problem's dtype that are farthest from `exact`: of `book`,
    those on the inputs themselves, and of the runs on moved inputs.
    """
    for neighbour in neighbours(problem):
        book = farther(book, named(run_textbook(neighbour, np.asarray))[0], exact, problem.dtype)
    return book


def neighbours(problem: Problem) -> Iterator[Problem]:
    """The problem on inputs that are one rounding away, MOVED times."""
    rng = np.random.default_rng(zlib.crc32(problem.case.name.encode()))
    for _ in range(MOVED):
        yield problem.with_tensors({name: one_away(array, rng) for name, array in problem.tensors.items()})


def farther(found: Arrays, other: Arrays, exact: Arrays, dtype: np.dtype) -> Arrays:
    """By tensor name, that of two values which is farther from `exact`."""

    def off(name: str, array: Array) -> float:
        return float(errors(name, array, exact[name], dtype).max())

    return {name: max(array, other[name], key=partial(off, name)) for name, array in found.items()}


def one_away(array: Array, rng: np.random.Generator) -> Array:
    """Each entry's neighbour, above or below; zeros stay."""
    towards = rng.choice([-np.inf, np.inf], array.shape).astype(array.dtype)
    return np.where(array == 0, array, np.nextafter(array, towards))
