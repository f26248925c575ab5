"""Numbers that are moved in N directions at once, each by an infinitesimal step.

`Moved` looks like one array of real numbers and knows its derivative in every direction. That of a function
is its own complex step, Im f(x + i*step) / step, exact to rounding; only of sums and products it is written
down here. To first order in the step, and at 1e-100 there is no second, this is the complex step of the
whole: the moves are the imaginary parts that a pass on complex numbers would have, divided by the step. All
directions share the real numbers, which are computed once; what does not move stays a plain array. So do
slopes: an elementwise function of one moved array multiplies real numbers alone, and the moves are multiplied
once, when they are added to others. Directions are the last axis, so that each number that all of them are
multiplied by is one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from reference_impl.spec import Array, Shape

# Far below every digit of a number that it is added to, and its square is zero.
STEP = 1e-100
Axis = int | tuple[int, ...] | None


# Elementwise functions with a constant slope, for each of their arguments.
LINEAR: dict[Any, Sequence[int]] = {np.add: (1, 1), np.subtract: (1, -1), np.negative: (-1,)}


class NotMoved(AttributeError):
    """Code asked for something that cannot be done in all directions at once."""


class Moved(NDArrayOperatorsMixin):
    """`real` numbers and their moves, `slope` times `source` (*shape, N). Operators and NumPy's functions
    take them as arrays. Nobody writes later into a plain array that they have been multiplied by.
    """

    def __init__(self, real: Array, source: Array, slope: Any = 1):
        self.real, self.source, self.slope = real, source, slope

    @property
    def moves(self) -> Array:
        """(*shape, N)."""
        self.source, self.slope = by_slope(self.source, self.slope, self.real.shape), 1
        return self.source

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
        return Moved(self.real.T, self.moves.transpose(*reversed(range(self.ndim)), self.ndim))

    T = property(transposed)

    def __len__(self) -> int:
        return len(self.real)

    def __getitem__(self, key: Any) -> "Moved":
        keys = key if isinstance(key, tuple) else (key,)
        every_direction = (slice(None),) if any(each is Ellipsis for each in keys) else ()
        return Moved(self.real[key], self.moves[(*keys, *every_direction)])

    def __pow__(self, power: int) -> "Moved":  # NumPy's own of an array: a square is a product
        return Moved(self.real**power, self.moves, ((self.real + 1j * STEP) ** power).imag / STEP)

    def reshape(self, *shape: int | Shape) -> "Moved":
        real: Array = np.reshape(self.real, np.ravel(shape))
        return Moved(real, self.moves.reshape(*real.shape, -1))

    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Moved":
        axes = tuple(k % self.ndim for k in (range(self.ndim) if axis is None else np.ravel(axis)))
        return Moved(self.real.sum(axis, keepdims=keepdims), self.moves.sum(axes, keepdims=keepdims))

    def max(self, axis: int, keepdims: bool = False) -> "Moved":
        where = self.real.argmax(axis, keepdims=True)
        top = Moved(
            np.take_along_axis(self.real, where, axis),
            np.take_along_axis(self.moves, where[..., None], axis % self.ndim),
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
        if ufunc is np.matmul:
            return Moved(value, moves_of_product(reals, given))
        moved = None
        for position, each in enumerate(given):
            if isinstance(each, Moved):
                part = Moved(value, each.source, slope_of(ufunc, reals, position) * each.slope)
                moved = part if moved is None else Moved(value, moved.moves + part.moves)
        return moved

    def __array_function__(self, function: Any, _: Any, given: Any, arguments: Any) -> Any:
        return FUNCTIONS.get(function, by_direction(function))(*given, **arguments)


def slope_of(function: Any, reals: Sequence[Any], position: int) -> Any:
    """The derivative of an elementwise function with respect to one of its arguments."""
    if function in LINEAR:
        return LINEAR[function][position]
    if function is np.multiply:
        return np.asarray(reals[1 - position], float)  # slopes are multiplied: never in a narrower number
    stepped = [*reals]
    stepped[position] = reals[position] + 1j * STEP
    return function(*stepped).imag / STEP


def moves_of_product(reals: Sequence[Array], given: Sequence[Any]) -> Array:
    """The moves of `np.matmul` of two arrays, either or both of them moved."""
    (x, w), parts = reals, []
    if x.ndim < 2 or w.ndim < 2:
        raise NotMoved("matmul of a vector")
    for position, each in enumerate(given):
        if isinstance(each, Moved):
            moves = each.moves
            if position == 0:  # (…, m, k, N), and w (…, k, n)
                parts.append(w.swapaxes(-1, -2)[..., None, :, :] @ moves)
            else:  # x (…, m, k), and (…, k, n, N)
                of_all = x @ moves.reshape(*moves.shape[:-2], -1)
                parts.append(of_all.reshape(*of_all.shape[:-1], *moves.shape[-2:]))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def by_slope(source: Array, slope: Any, shape: Shape) -> Array:
    """`slope` times `source` (…, N), as the moves (*shape, N) of an array of that shape."""
    moves = source if isinstance(slope, int) and slope == 1 else np.asarray(slope)[..., None] * source
    return moves if moves.shape[:-1] == shape else np.broadcast_to(moves, (*shape, moves.shape[-1]))


def where(condition: Array, *given: Any) -> Moved:
    """`np.where`."""
    x, y = (each if isinstance(each, Moved) else Moved(np.asarray(each), np.zeros(1)) for each in given)
    return Moved(np.where(condition, x.real, y.real), np.where(condition[..., None], x.moves, y.moves))


def split(array: Moved, sections: Any, axis: int = 0) -> list[Moved]:
    """`np.split`."""
    moves = np.split(array.moves, sections, axis % array.ndim)
    return [Moved(*part) for part in zip(np.split(array.real, sections, axis), moves, strict=True)]


def joined(function: Callable[..., Array]) -> Callable[..., Moved]:
    """`np.stack` or `np.concatenate`."""

    def of_moved(arrays: Sequence[Any], axis: int = 0) -> Moved:
        N = directions(arrays)
        reals = [each.real if isinstance(each, Moved) else each for each in arrays]
        moves = [each.moves if isinstance(each, Moved) else np.zeros((*each.shape, N)) for each in arrays]
        return Moved(function(reals, axis=axis), function(moves, axis=axis - (axis < 0)))

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
        return Moved(np.asarray(value), np.stack(found, axis=-1))

    return of_moved


def directions(given: Any) -> int:
    """In how many directions an argument is moved, or a list of them."""
    if isinstance(given, list | tuple):
        return max(map(directions, given), default=0)
    return given.source.shape[-1] if isinstance(given, Moved) else 0


def at(given: Any, n: int | None) -> Any:
    """An argument, or a list of them, moved in the n-th direction; not moved at all for None."""
    if isinstance(given, list | tuple):
        return [at(each, n) for each in given]
    if not isinstance(given, Moved):
        return given
    return given.real if n is None else given.real + 1j * STEP * given.moves[..., n]


FUNCTIONS: dict[Any, Callable[..., Any]] = {np.where: where, np.split: split, np.sum: total}
FUNCTIONS |= {function: joined(function) for function in (np.stack, np.concatenate)}
