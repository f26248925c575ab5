"""Numbers that are moved in N directions at once, each by an infinitesimal step.

`Moved` looks like one array of real numbers and knows its derivative in every direction. That of a function
is its own complex step, Im f(x + i*step) / step, exact to rounding; only of sums and products it is written
down here. To first order in the step, and at 1e-100 there is no second, this is the complex step of the
whole: the moves are the imaginary parts that a pass on complex numbers would have, divided by the step. All
directions share the real numbers, which are computed once; what does not move stays a plain array. So do
slopes: an elementwise function of one moved array multiplies real numbers alone, and the moves are multiplied
once, when they are added to others.
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
    """`real` numbers and their moves, `slope` times `source` (N, *shape). Operators and NumPy's functions
    take them as arrays. In directions outside `only` the moves are 0.
    """

    def __init__(self, real: Array, source: Array, slope: Any = 1, only: slice = slice(None)):
        self.real, self.source, self.slope, self.only = real, source, slope, only

    @property
    def moves(self) -> Array:
        """(N, *shape)."""
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
        return reals[1 - position]
    stepped = [*reals]
    stepped[position] = reals[position] + 1j * STEP
    return function(*stepped).imag / STEP


def moves_of_product(reals: Sequence[Array], given: Sequence[Any]) -> Array:
    """The moves of `np.matmul` of two arrays, either or both of them moved."""
    (x, w), (moved_x, moved_w) = reals, given
    if not isinstance(moved_w, Moved):
        return moves_of_left(moved_x.moves, w)
    only = moved_w.only
    by_w = np.asarray(x @ aligned(moved_w.moves[only], max(x.ndim, w.ndim)))
    if isinstance(moved_x, Moved):
        moves = moves_of_left(moved_x.moves, w)
        moves[only] += by_w
        return moves
    if only == slice(None):
        return by_w
    moves = np.zeros((len(moved_w.source), *by_w.shape[1:]))
    moves[only] = by_w
    return moves


def moves_of_left(moves: Array, w: Array) -> Array:
    """The moves of x @ w by those of x."""
    if w.ndim != 2:
        return np.asarray(aligned(moves, max(moves.ndim - 1, w.ndim)) @ w)
    return (moves.reshape(-1, moves.shape[-1]) @ w).reshape(*moves.shape[:-1], -1)  # for all directions


def by_slope(source: Array, slope: Any, shape: Shape) -> Array:
    """`slope` times `source` (N, …), as the moves (N, *shape) of an array of that shape."""
    moves = aligned(source, len(shape))
    if not isinstance(slope, int) or slope != 1:
        moves = moves * slope
    return moves if moves.shape[1:] == shape else np.broadcast_to(moves, (len(moves), *shape))


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
