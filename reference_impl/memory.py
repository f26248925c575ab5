"""Memory that is used again.

glibc gives blocks of 128 kB and more back to the system when they are freed, and the next pass waits for
the same pages once more, each of them zeroed: up to a third of the time of (32, 50, 64, 128, 10). It stops
doing so for blocks up to the largest that it has seen freed, 32 MB at most, and keeps twice that at the end
of the heap. Other allocators are not affected.

Source: mallopt(3), M_MMAP_THRESHOLD.
"""

from functools import cache

import numpy as np

# The most that glibc takes as an example, with room for what it and NumPy add to a block.
BLOCK = 2**25 - 2**14


@cache
def keep_what_is_freed() -> None:
    """Free one large block, which is never touched and so costs nothing."""
    np.empty(BLOCK, np.uint8)
