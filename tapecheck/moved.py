"""Numbers that are moved in N directions at once, each by an infinitesimal step.

`Moved` looks like one array of real numbers and knows its derivative in every direction. That of a function
is its own complex step, Im f(x + i*step) / step, exact to rounding; only of sums and products it is written
down here. To first order in the step, and at 1e-100 there is no second, this is the complex step of the
whole: the moves are the imaginary parts that a pass on complex numbers would have, divided by the step. All
directions share the real numbers, which are computed once; what does not move stays a plain array.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from reference_impl.spec import Array, Shape

# Far below every digit of a number that it is added to, and its square is zero.
STEP = 1e-100
Axis = int | tuple[int, ...] | None


def itself(moves: Array) -> Array:
    """The moves as they are."""
    return moves


# Functions whose value moves as one of its arguments does, or the other way.
LINEAR: dict[Any, Any] = {
    np.add: (itself, itself),
    np.subtract: (itself, operator.neg),
    np.negative: (operator.neg,),
}
# Functions that are linear in each of their two arguments.
BILINEAR = (np.multiply, np.matmul)


class NotMoved(AttributeError):
    """Code asked for something that cannot be done in all directions at once."""


class Moved(NDArrayOperatorsMixin):
    """`real` numbers and their `moves` (N, *shape). Operators and NumPy's functions take them as arrays."""

    def __init__(self, real: Array, moves: Array):
        self.real, self.moves = real, moves

    def __getattr__(self, name: str) -> Any:
        raise NotMoved(name)

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise NotMoved("np.asarray: the moves would be lost")

    # ---- an array of real numbers, by what it looks like

    @property
    def shape(self) -> Shape:
        return self.real.shape

    @property
    def ndim(self) -> int:
        return self.real.ndim

    @property
    def size(self) -> int:
        return self.real.size

    @property
    def dtype(self) -> np.dtype:
        return self.real.dtype

    def transposed(self) -> "Moved":
        return Moved(self.real.T, self.moves.transpose(0, *range(self.ndim, 0, -1)))

    T = property(transposed)

    def __len__(self) -> int:
        return len(self.real)

    def __getitem__(self, key: Any) -> "Moved":
        return Moved(self.real[key], self.moves[(slice(None), *(key if isinstance(key, tuple) else (key,)))])

    def __pow__(self, power: int) -> "Moved":  # NumPy's own of an array: a square is a product
        return Moved(self.real**power, self.moves * (((self.real + 1j * STEP) ** power).imag / STEP))

    def reshape(self, *shape: int | Shape) -> "Moved":
        real: Array = np.reshape(self.real, np.ravel(shape))
        return Moved(real, self.moves.reshape(len(self.moves), *real.shape))

    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Moved":
        axes = tuple(k % self.ndim + 1 for k in (range(self.ndim) if axis is None else np.ravel(axis)))
        return Moved(self.real.sum(axis, keepdims=keepdims), self.moves.sum(axes, keepdims=keepdims))

    def max(self, axis: int, keepdims: bool = False) -> "Moved":
        where = self.real.argmax(axis, keepdims=True)
        top = Moved(
            np.take_along_axis(self.real, where, axis),
            np.take_along_axis(self.moves, where[None], axis % self.ndim + 1),
        )
        return top if keepdims else top.sum(axis)

    # ---- NumPy's functions

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, **arguments: Any) -> Any:
        if method != "__call__" or arguments:
            return NotImplemented
        reals = [each.real if isinstance(each, Moved) else each for each in given]
        value = ufunc(*reals)
        if value.dtype.kind != "f":  # a comparison
            return value
        parts = [
            moved_by(ufunc, reals, position, aligned(each.moves, value.ndim))
            for position, each in enumerate(given)
            if isinstance(each, Moved)
        ]
        moves = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if moves.shape[1:] != value.shape:  # a plain array has repeated them
            moves = np.broadcast_to(moves, (len(moves), *value.shape))
        return Moved(value, moves)

    def __array_function__(self, function: Any, _: Any, given: Any, arguments: Any) -> Any:
        return FUNCTIONS.get(function, by_direction(function))(*given, **arguments)


def moved_by(function: Any, reals: Sequence[Any], position: int, moves: Array) -> Array:
    """The moves of a function's value by those of one of its arguments."""
    if function in LINEAR:
        return LINEAR[function][position](moves)
    if function is np.matmul and position == 0 and reals[1].ndim == 2:  # one product for all directions
        return (moves.reshape(-1, moves.shape[-1]) @ reals[1]).reshape(*moves.shape[:-1], -1)
    if function in BILINEAR:
        return np.asarray(function(*reals[:position], moves, *reals[position + 1 :]))
    stepped = [*reals]
    stepped[position] = reals[position] + 1j * STEP
    return np.asarray(function(*stepped).imag / STEP * moves)


def aligned(moves: Array, ndim: int) -> Array:
    """Moves (N, *shape) of an array as they broadcast against one of `ndim` axes."""
    missing = ndim + 1 - moves.ndim
    return moves.reshape(len(moves), *[1] * missing, *moves.shape[1:]) if missing else moves


def where(condition: Array, *given: Any) -> Moved:
    """`np.where`."""
    x, y = (each if isinstance(each, Moved) else Moved(np.asarray(each), np.zeros(1)) for each in given)
    value = np.where(condition, x.real, y.real)
    return Moved(value, np.where(condition, aligned(x.moves, value.ndim), aligned(y.moves, value.ndim)))


def split(array: Moved, sections: Any, axis: int = 0) -> list[Moved]:
    """`np.split`."""
    moves = np.split(array.moves, sections, axis % array.ndim + 1)
    return [Moved(*part) for part in zip(np.split(array.real, sections, axis), moves, strict=True)]


def joined(function: Callable[..., Array]) -> Callable[..., Moved]:
    """`np.stack` or `np.concatenate`."""

    def of_moved(arrays: Sequence[Any], axis: int = 0) -> Moved:
        N = directions(arrays)
        reals = [each.real if isinstance(each, Moved) else each for each in arrays]
        moves = [each.moves if isinstance(each, Moved) else np.zeros((N, *each.shape)) for each in arrays]
        return Moved(function(reals, axis=axis), function(moves, axis=axis + (axis >= 0)))

    return of_moved


def total(array: Moved, axis: Axis = None, keepdims: bool = False) -> Moved:
    """`np.sum`."""
    return array.sum(axis, keepdims)


def by_direction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Any other function: by the complex step in each direction in turn."""

    def of_moved(*given: Any, **arguments: Any) -> Any:
        value = function(*at(given, None), **arguments)
        if np.asarray(value).dtype.kind != "f":  # an argsort, say
            return value
        found = [function(*at(given, n), **arguments).imag / STEP for n in range(directions(given))]
        return Moved(np.asarray(value), np.stack(found))

    return of_moved


def directions(given: Any) -> int:
    """In how many directions an argument is moved, or a list of them."""
    if isinstance(given, list | tuple):
        return max(map(directions, given), default=0)
    return len(given.moves) if isinstance(given, Moved) else 0


def at(given: Any, n: int | None) -> Any:
    """An argument, or a list of them, moved in the n-th direction; not moved at all for None."""
    if isinstance(given, list | tuple):
        return [at(each, n) for each in given]
    if not isinstance(given, Moved):
        return given
    return given.real if n is None else given.real + 1j * STEP * given.moves[n]


FUNCTIONS: dict[Any, Callable[..., Any]] = {np.where: where, np.split: split, np.sum: total}
FUNCTIONS |= {function: joined(function) for function in (np.stack, np.concatenate)}
