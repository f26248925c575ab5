"""Memory that is used again: what one pass lets go of, the next one takes.

A new page of memory is zeroed by the system before anybody may use it. A pass of (64, 100, 256, 512, 10)
in float32 would ask for 138 MB of them each time, for a tenth of its time, and one of (32, 50, 64, 128, 10)
spends up to a third of it so. Blocks from LARGE on are kept here when nobody uses them any more. What is
smaller, and what NumPy makes itself, glibc keeps, once it has seen a larger block freed; other allocators do
as they do.

Source: mallopt(3), M_MMAP_THRESHOLD.
"""

import math
import weakref
from functools import cache

import numpy as np

from reference_impl.spec import Array, Shape

# The most that glibc takes as an example, 32 MB, with room for what it and NumPy add to a block.
EXAMPLE = 2**25 - 2**14
# Bytes from which on a block is kept here, and of all of them together: one too many, and the others go.
LARGE = 2**22
KEPT = 2**29

# By size, those that nobody uses.
kept: dict[int, list[Array]] = {}


@cache
def keep_what_is_freed() -> None:
    """Show glibc a large block being freed. It is never touched, and so costs nothing."""
    np.empty(EXAMPLE, np.uint8)


def empty(shape: Shape, dtype: np.dtype) -> Array:
    """As `np.empty`, where there is one in a block that was used before."""
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    try:
        block = kept[size].pop()
    except (KeyError, IndexError):
        block = np.empty(size, np.uint8)
    # NumPy has every view, and every view of a view, refer to the first array of its memory: when that is
    # gone all are. `block.data`, a memoryview, is what makes `first` the first, and not `block`.
    first = np.frombuffer(block.data, dtype)
    weakref.finalize(first, keep, block).atexit = False
    return first.reshape(shape)


def keep(block: Array) -> None:
    """Have `empty` take the block for the next array of its size."""
    if block.size > KEPT:
        return
    if block.size + sum(size * len(blocks) for size, blocks in [*kept.items()]) > KEPT:
        kept.clear()
    kept.setdefault(block.size, []).append(block)
