"""Memory: what one pass frees the next one uses, without asking the system for it."""

import platform
import sys

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back"
)
def test_a_pass_that_is_run_again_asks_for_no_memory() -> None:
    """Arrays of megabytes, and not a hundred pages that are new to the process."""
    import resource

    model, shape = Sequential([LSTM(64, return_sequences=True), Dense(10)]), (32, 50, 64)
    weights, rng = model.init(np.random.default_rng(0), shape), np.random.default_rng(1)
    x, y = rng.standard_normal(shape), rng.standard_normal((32, 50, 10))

    def new_pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        model.loss_and_gradients(weights, x, y)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(new_pages() for _ in range(6)) < 100
