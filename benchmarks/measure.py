"""Alternating runs, and what may be concluded from them: a peer's median is compared with that of NumPy right
before or after it, when what else the machine is doing slows both alike, and the turns by their quartiles.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import numpy as np

from benchmarks.peers import PEERS
from benchmarks.worker import Worker
from benchmarks.workloads import Workload
from reference_impl.spec import Arrays

Samples = dict[str, list[list[float]]]  # seconds, by name and turn

# Quartiles of a ratio further apart than this share of its median: the turns were not alike.
NOISY = 0.15


def quartiles(turns: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of all samples."""
    low, median, high = np.percentile(np.concatenate(turns), [25, 50, 75])
    return float(low), float(median), float(high)


def times(turns: Sequence[Sequence[float]], those: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Quartiles over the turns of how many times the median of `those` theirs is."""
    return quartiles([[np.median(a) / np.median(b) for a, b in zip(turns, those, strict=True)]])


@dataclass
class Row:
    """Seconds of one workload by peer, and those of NumPy `beside` each peer; and in the same minutes those
    of the pass's products alone, and the operations a second of one large product.
    """

    workload: Workload
    seconds: Samples = field(default_factory=dict)
    beside: Samples = field(default_factory=dict)
    product_rate: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)

    def quartiles(self, peer: str) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of `peer`, in seconds."""
        return quartiles(self.seconds[peer])

    def ratios(self, peer: str) -> tuple[float, float, float]:
        """Quartiles of how many times NumPy's time the peer's is: above 1, NumPy is faster."""
        return times(self.seconds[peer], self.beside[peer])

    def outcome(self, peer: str) -> str:
        """Whether NumPy is "faster" or "slower" than `peer`, or "open": 1 is between the quartiles."""
        low, _, high = self.ratios(peer)
        return "faster" if low > 1 else "slower" if high < 1 else "open"

    def noisy(self) -> list[str]:
        """Peers whose ratio is spread too far to be quoted."""
        spreads = {peer: self.ratios(peer) for peer in self.beside}
        return [peer for peer, (low, median, high) in spreads.items() if high - low > NOISY * median]

    def product_share(self) -> float:
        """The time that the pass's products alone would take at the measured rate, as a share of NumPy's."""
        return self.workload.product_flops / float(np.median(self.product_rate)) / self.quartiles("NumPy")[1]

    def share_of_products(self) -> float:
        """The time that the pass's products take as they are, one by one, as a share of NumPy's."""
        return float(np.median(self.products)) / self.quartiles("NumPy")[1]


def compare(
    workloads: Sequence[Workload],
    peers: Sequence[str],
    threads: int,
    rounds: int,
    budget: float,
    products: bool = True,
) -> list[Row]:
    """Time every peer on every workload, in turn for `rounds` rounds; from the third on, one that has
    used up `budget` seconds on a workload is left out. `products` says whether these are timed too.

    Raises AssertionError where a peer's gradients are not NumPy's: then it is not the same computation.
    """
    with ExitStack() as stack:
        libraries = dict.fromkeys(PEERS[peer].library for peer in peers)
        workers = {library: stack.enter_context(closing(Worker(threads))) for library in libraries}
        return [one_row(workload, peers, workers, rounds, budget, products) for workload in workloads]


def one_row(
    workload: Workload,
    peers: Sequence[str],
    workers: dict[str, Worker],
    rounds: int,
    budget: float,
    products: bool,
) -> Row:
    """All peers on one workload."""
    others = peers[1:]
    row = Row(workload, {peer: [] for peer in peers}, {peer: [] for peer in others})
    at = {peer: workers[PEERS[peer].library] for peer in peers}
    expected = at["NumPy"].call("prepare", "NumPy", workload)
    for peer in others:
        assert_same(peer, workload, at[peer].call("prepare", peer, workload), expected)

    used = dict.fromkeys(peers, 0.0)
    for turn in range(rounds):
        for peer in others or peers:
            if turn < 2 or used[peer] < budget:
                start = time.perf_counter()
                pair = dict.fromkeys(("NumPy", peer)[:: 1 if turn % 2 else -1])
                found = {each: at[each].call("time", each) for each in pair}
                for each, samples in found.items():
                    row.seconds[each].append(samples)
                if peer in others:
                    row.beside[peer].append(found["NumPy"])
                used[peer] += time.perf_counter() - start
        if products:
            row.product_rate.append(at["NumPy"].call("product", workload.dtype))
            row.products.append(at["NumPy"].call("products", workload))
    for peer in peers:
        at[peer].call("release", peer)
    print(f"measured {workload}", file=sys.stderr, flush=True)
    return row


def assert_same(peer: str, workload: Workload, found: Arrays, expected: Arrays) -> None:
    """Raise AssertionError unless two sets of gradients are those of one computation.

    sqrt(eps) of scale tells another equation from another rounding; accuracy is judged elsewhere.
    """
    limit = np.sqrt(np.finfo(workload.dtype).eps)
    for name, gradient in expected.items():
        if found[name].shape != gradient.shape or found[name].dtype != gradient.dtype:
            kind = f"{found[name].dtype} {found[name].shape}"
            raise AssertionError(f"{peer}: {name} is {kind}, but should be {gradient.dtype} {gradient.shape}")
        error = float(np.abs(found[name] - gradient).max() / np.abs(gradient).max())
        if not error < limit:
            raise AssertionError(
                f"{peer}: {name} differs from NumPy's by {error:.1e} of scale on {workload}, but should by "
                f"less than {limit:.1e}: it is another computation, and its time means nothing here"
            )
