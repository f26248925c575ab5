"""A process for each library, so that no two thread pools fight; they are told when to run, in turn."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.peers import PEERS
from benchmarks.workloads import Workload

# One sample lasts at least this long; a shorter pass is repeated within it.
SAMPLE_SECONDS = 2e-3
# Samples taken in one turn, and the seconds after which no further one is begun.
SAMPLES, TURN_SECONDS = 5, 0.2
# Thread pools spin for a while after their work: the pause before a turn leaves the cores to its owner.
# Without it all of them are measured up to twice as slow.
PAUSE_SECONDS = 0.1


class Worker:
    """One process. Its methods are those of `Inside`, run over there."""

    def __init__(self, threads: int):
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, threads), daemon=True)
        with environment(threads):  # read when a library is loaded
            self.process.start()

    def call(self, method: str, *arguments: Any) -> Any:
        self.connection.send((method, arguments))
        answer = self.connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        self.connection.close()  # ends `serve`
        self.process.join()


class Inside:
    """What a worker can do."""

    def __init__(self, threads: int):
        self.threads = threads
        self.ready: dict[str, Callable[[], Any]] = {}
        self.number: dict[str, int] = {}

    def prepare(self, peer: str, workload: Workload) -> dict[str, np.ndarray]:
        """Get ready to run `workload`, warm up, and return the gradients."""
        step, gradients = PEERS[peer].prepare(workload, self.threads)
        found = gradients(self.warm_up(peer, step))
        return {name: np.array(gradient) for name, gradient in found.items()}

    def prepare_check(self, name: str) -> float:
        """Get ready to run a gradient check, warm up, and return its error."""
        from benchmarks.checks import CHECKS

        step, error = CHECKS[name].prepare()
        return error(self.warm_up(name, step))

    def warm_up(self, name: str, step: Callable[[], Any]) -> Any:
        """Make `step` ready to be timed under its name; returns what it does."""
        found = step()
        start = time.perf_counter()
        step()
        self.number[name] = max(1, round(SAMPLE_SECONDS / (time.perf_counter() - start)))
        self.ready[name] = step
        return found

    def time(self, peer: str) -> list[float]:
        """Seconds of a pass, up to SAMPLES times."""
        step, number = self.ready[peer], self.number[peer]
        time.sleep(PAUSE_SECONDS)
        end = time.perf_counter() + TURN_SECONDS
        step()  # the other processes have had the caches
        samples = [seconds(step, number)]
        while len(samples) < SAMPLES and time.perf_counter() < end:
            samples.append(seconds(step, number))
        return samples

    def release(self, peer: str) -> None:
        del self.ready[peer]

    def product(self, dtype: str, n: int = 2048) -> float:
        """Operations a second of an (n, n) matrix product."""
        a, b = np.random.default_rng(0).standard_normal((2, n, n)).astype(dtype)
        out = np.empty_like(a)
        np.matmul(a, b, out=out)
        return 2 * n**3 / seconds(lambda: np.matmul(a, b, out=out), 1)

    def products(self, workload: Workload) -> float:
        """Seconds of all products of one pass, and of nothing else."""
        rng, arrays = np.random.default_rng(0), {}
        for m, k, n in set(workload.products):
            a, b = (rng.standard_normal(shape).astype(workload.dtype) for shape in ((m, k), (k, n)))
            arrays[m, k, n] = a, b, np.empty((m, n), workload.dtype)
        operands = [arrays[sizes] for sizes in workload.products]

        def all_of_them() -> None:
            for a, b, out in operands:
                a.dot(b, out)

        all_of_them()
        return seconds(all_of_them, 1)

    def kernel(self) -> str:
        """Which BLAS NumPy runs, its kernel and its threads."""
        from threadpoolctl import threadpool_info

        blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        return "; ".join(
            f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}, "
            f"threads: {pool['num_threads']}"
            for pool in blas
        )


def seconds(step: Any, number: int) -> float:
    """Seconds of one `step`, as the mean of `number` in a row."""
    start = time.perf_counter()
    for _ in range(number):
        step()
    return (time.perf_counter() - start) / number


def serve(connection: Connection, threads: int) -> None:
    """The process's life: call what is asked for, until the other end is closed."""
    if hasattr(os, "sched_setaffinity"):  # for those who size their pool by the processors: JAX does
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    inside = Inside(threads)
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = getattr(inside, method)(*arguments)
        except Exception as error:  # of a peer: told to the parent, which stops
            answer = error
        connection.send(answer)


@contextmanager
def environment(threads: int) -> Iterator[None]:
    """The variables by which the libraries take their number of threads, for processes started inside."""
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
    names += ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"]
    given = {name: os.environ.get(name) for name in (*names, "TF_ENABLE_ONEDNN_OPTS")}
    os.environ |= dict.fromkeys(names, str(threads)) | {"TF_ENABLE_ONEDNN_OPTS": "1"}  # TensorFlow's default
    try:
        yield
    finally:
        for name, value in given.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
