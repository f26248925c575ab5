"""Memory: what one pass lets go of the next one uses, and what somebody holds nobody else is given."""

import gc
import platform
import sys

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential, memory
from tapecheck import Case

FLOAT64 = np.dtype(np.float64)


@pytest.fixture
def every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of any size are kept, and none is yet."""
    monkeypatch.setattr(memory, "LARGE", 1)
    monkeypatch.setattr(memory, "kept", {})


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back"
)
@pytest.mark.parametrize(("units", "shape"), [(64, (32, 50, 64)), (256, (64, 120, 8))], ids=["2 MB", "47 MB"])
def test_a_pass_that_is_run_again_asks_for_no_memory(units: int, shape: tuple[int, int, int]) -> None:
    """Arrays of megabytes, smaller and larger than what glibc keeps, and not a hundred pages that are new to
    the process.
    """
    import resource

    model = Sequential([LSTM(units, return_sequences=True), Dense(10)])
    weights, rng = model.init(np.random.default_rng(0), shape), np.random.default_rng(1)
    x, y = rng.standard_normal(shape), rng.standard_normal((*shape[:2], 10))

    def new_pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        model.loss_and_gradients(weights, x, y)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(new_pages() for _ in range(6)) < 100


@pytest.mark.usefixtures("every_block")
def test_a_block_is_used_again_when_its_last_view_is_gone() -> None:
    """As long as a view of a view is held the next array lies elsewhere; after that it lies there."""
    first = memory.empty((4, 6), FLOAT64)
    address = first.ctypes.data
    view = first.T[1:][::2]
    del first
    second = memory.empty((4, 6), FLOAT64)
    assert not np.shares_memory(second, view)
    del view
    gc.collect()
    assert [block.ctypes.data for block in memory.kept[192]] == [address]
    third = memory.empty((6, 4), FLOAT64)
    assert not memory.kept[192]
    assert third.ctypes.data == address
    assert third.flags.writeable
    assert third.flags.c_contiguous


@pytest.mark.usefixtures("every_block")
def test_no_more_is_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one more block would exceed it all others are let go, and one that is larger is itself."""
    monkeypatch.setattr(memory, "KEPT", 200)
    for size in (10, 12, 14):
        memory.empty((size,), FLOAT64)
    gc.collect()
    assert {size: len(blocks) for size, blocks in memory.kept.items()} == {112: 1}
    memory.empty((26,), FLOAT64)
    gc.collect()
    assert {size: len(blocks) for size, blocks in memory.kept.items()} == {112: 1}


@pytest.mark.usefixtures("every_block")
@pytest.mark.parametrize("return_sequences", [True, False])
def test_results_are_nobody_elses_memory(return_sequences: bool) -> None:
    """Output and gradients that a caller holds stay what they are through later passes of the same sizes."""
    model = Sequential([LSTM(4, return_sequences=True), LSTM(4, return_sequences=return_sequences), Dense(2)])
    held = []
    for name in ("one", "another", "third"):
        problem = Case(name, model, 3, 5, 2).problem()
        output, _, gradients = model.run(problem, problem.loss)
        arrays = [output, *gradients.values()]
        held.append((arrays, [array.copy() for array in arrays]))
    assert memory.kept
    for arrays, copies in held:
        assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))
