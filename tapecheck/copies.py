"""Many copies of one computation at once: what is written for one array runs on a stack of them.

`Copies` looks like one array and holds N, stacked along an axis that the code which computes with it never
sees: shapes, sums and axis numbers are those of one copy. What does not differ between the copies stays a
plain array, and is computed once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from reference_impl.spec import Array, Shape

Axis = int | tuple[int, ...] | None


class NoCopies(AttributeError):
    """Code asked for something that cannot be done for all copies at once."""


class Copies(NDArrayOperatorsMixin):
    """N arrays of one shape; `stack` is (N, *shape). Operators and NumPy's functions take them as arrays."""

    def __init__(self, stack: Array):
        self.stack = stack

    def __getattr__(self, name: str) -> Any:
        raise NoCopies(name)

    # ---- what one copy looks like

    @property
    def shape(self) -> Shape:
        return self.stack.shape[1:]

    @property
    def ndim(self) -> int:
        return self.stack.ndim - 1

    @property
    def size(self) -> int:
        return self.stack[0].size

    @property
    def dtype(self) -> np.dtype:
        return self.stack.dtype

    @property
    def T(self) -> "Copies":  # noqa: N802  # NumPy's name
        """Of a matrix."""
        return Copies(self.stack.swapaxes(1, 2))

    @property
    def real(self) -> "Copies":
        return Copies(self.stack.real)

    @property
    def imag(self) -> "Copies":
        return Copies(self.stack.imag)

    def astype(self, dtype: Any) -> "Copies":
        return Copies(self.stack.astype(dtype))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> "Copies":
        return Copies(self.stack[(slice(None), *(key if isinstance(key, tuple) else (key,)))])

    def reshape(self, *shape: int | Shape) -> "Copies":
        return Copies(self.stack.reshape(len(self.stack), *np.ravel(shape)))

    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Copies":
        return Copies(self.stack.sum(axis=self.behind(axis), keepdims=keepdims))

    def max(self, axis: Axis = None, keepdims: bool = False) -> "Copies":
        return Copies(self.stack.max(axis=self.behind(axis), keepdims=keepdims))

    def behind(self, axis: Axis) -> tuple[int, ...]:
        """A copy's `axis`, or all of them for None, as axes of the stack."""
        axes = range(self.ndim) if axis is None else np.atleast_1d(axis)
        return tuple(int(k) % self.ndim + 1 for k in axes)

    # ---- NumPy's functions

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise NoCopies("np.asarray: it would be one array, of all copies as objects")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **arguments: Any) -> Any:
        if method != "__call__" or "out" in arguments:
            return NotImplemented
        return Copies(ufunc(*aligned(inputs), **arguments))

    def __pow__(self, power: int) -> "Copies":
        return Copies(self.stack**power)  # a square is a product here, and a logarithm in the ufunc

    def __array_function__(self, function: Any, types: Any, inputs: Any, arguments: Any) -> Any:
        if function in STACKED:
            return STACKED[function](*inputs, **arguments)
        return one_by_one(function, *inputs, **arguments)


def aligned(inputs: Sequence[Any]) -> list[Any]:
    """The arrays and stacks as they broadcast against each other, the copies' axis before all others."""
    ndim = max(np.ndim(each) if not isinstance(each, Copies) else each.ndim for each in inputs)
    return [
        each.stack.reshape(len(each.stack), *[1] * (ndim - each.ndim), *each.shape)
        if isinstance(each, Copies)
        else each
        for each in inputs
    ]


def where(condition: Any, x: Any, y: Any) -> Copies:
    """`np.where`."""
    return Copies(np.where(*aligned([condition, x, y])))


def split(array: Copies, sections: Any, axis: int = 0) -> list[Copies]:
    """`np.split`."""
    return [Copies(part) for part in np.split(array.stack, sections, *array.behind(axis))]


def stack(arrays: Sequence[Any], axis: int = 0) -> Copies:
    """`np.stack`."""
    stacks = np.broadcast_arrays(*aligned(arrays))
    return Copies(np.stack(stacks, axis + (axis >= 0)))


def one_by_one(function: Callable[..., Any], *inputs: Any, **arguments: Any) -> Copies:
    """Any other function: on each copy in turn."""
    number = max(map(count, inputs))
    return Copies(np.stack([function(*nth(inputs, n), **arguments) for n in range(number)]))


def count(given: Any) -> int:
    """How many copies an argument is of, or a list of them; 0 where it is the same for all."""
    if isinstance(given, list | tuple):
        return max(map(count, given), default=0)
    return len(given.stack) if isinstance(given, Copies) else 0


def nth(given: Any, n: int) -> Any:
    """What the n-th copy has there."""
    if isinstance(given, list | tuple):
        return [nth(each, n) for each in given]
    return given.stack[n] if isinstance(given, Copies) else given


STACKED: dict[Any, Callable[..., Any]] = {
    np.where: where,
    np.split: split,
    np.stack: stack,
    np.sum: lambda array: array.sum(),
}
