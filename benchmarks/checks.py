"""Gradient checks side by side, on the thread's model: the complex step, and what the libraries ship.

`tf.test.compute_gradient` is asked for the derivatives by the inputs alone, `torch.autograd.gradcheck` in its
full mode for those by the inputs and all weights. Both compare a backward pass with differences, which are
wrong by some 1e-8 of the gradient; the complex step gives the derivatives themselves, exact to rounding.
Products as small as these make PyTorch's threads wait for each other, so it is run with a single one too.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import Samples, quartiles, times
from benchmarks.report import cells, digits
from benchmarks.worker import Worker
from tapecheck.catalogue import CATALOGUE
from tapecheck.complexstep import complex_gradient, complex_steps
from tapecheck.exact import exact

CASE = CATALOGUE[0]  # 361 weights, 24 inputs


class Prepared(NamedTuple):
    """A check, ready to be timed; `error` is of the derivatives that `step` found, a share of the largest."""

    step: Callable[[], Any]
    error: Callable[[Any], float]


def of_all() -> Prepared:
    """The complex step by every weight, input and initial state."""
    problem = CASE.problem()
    true = exact(problem).tensors
    return Prepared(
        lambda: complex_gradient(problem),
        lambda found: max(apart(found[name], true[name]) for name in found),
    )


def of_x() -> Prepared:
    """The complex step by every input."""
    problem = CASE.problem()
    true = exact(problem).tensors["x"]
    return Prepared(lambda: complex_steps(problem, "x"), lambda found: apart(found, true))


def compute_gradient() -> Prepared:
    """`tf.test.compute_gradient` of Keras's own layers by every input."""
    from tf_oracle.models import build, set_weights
    from tf_oracle.start import load

    tf, problem = load().tf, CASE.problem()
    twin = build(problem.model, problem.x.shape, problem.dtype.name)
    set_weights(twin, problem.weights)
    x, y = tf.constant(problem.x), tf.constant(problem.y)

    def loss(x: Any) -> Any:
        return tf.reduce_mean((twin(x) - y) ** 2)

    true = exact(problem).tensors["x"]
    return Prepared(
        lambda: tf.test.compute_gradient(loss, [x]),
        lambda found: apart(found[1][0].reshape(true.shape), true),
    )


def gradcheck(threads: int | None = None) -> Prepared:
    """`torch.autograd.gradcheck` of `nn.LSTM` and `nn.Linear` by every input and weight, in full mode.

    It says yes or no, so its error is the smallest power of ten as a tolerance at which it says yes.
    """
    import torch

    problem = CASE.problem()
    weights = {name: torch.tensor(array) for name, array in problem.weights.items()}
    lstm = torch.nn.LSTM(problem.x.shape[2], 8, batch_first=True, dtype=torch.float64)
    dense = torch.nn.Linear(8, 1, dtype=torch.float64)
    y = torch.tensor(problem.y)
    names = [name for name, _ in lstm.named_parameters() if name != "bias_hh_l0"]  # its bias is two
    zero = torch.zeros_like(lstm.bias_hh_l0)

    def loss(x: Any, W_y: Any, b_y: Any, *given: Any) -> Any:
        weights = dict(zip(names, given, strict=True)) | {"bias_hh_l0": zero}
        h, _ = torch.func.functional_call(lstm, weights, (x,))
        logits = torch.func.functional_call(dense, {"weight": W_y, "bias": b_y}, (h,))
        return torch.nn.functional.mse_loss(torch.relu(logits), y)

    given = [torch.tensor(problem.x), weights["dense/kernel"].T, weights["dense/bias"]]
    given += [weights["lstm/kernel"].T, weights["lstm/recurrent_kernel"].T, weights["lstm/bias"]]
    inputs = [tensor.clone().contiguous().requires_grad_() for tensor in given]

    threads = threads or torch.get_num_threads()

    def passes(atol: float = 1e-5, rtol: float = 1e-3) -> bool:
        torch.set_num_threads(threads)
        # timed with PyTorch's own tolerances; `error` asks with others, and is to be answered, not raised to
        return bool(torch.autograd.gradcheck(loss, inputs, atol=atol, rtol=rtol, raise_exception=False))

    def error(found: Any) -> float:
        assert found, "gradcheck says that PyTorch's own gradient is wrong"
        scale = max(float(np.abs(array).max()) for array in problem.reference.gradients.values())
        return next(10.0**-k for k in range(5, 17) if not passes(10.0 ** -(k + 1) * scale, 0))

    return Prepared(passes, error)


class Check(NamedTuple):
    """A way to check: the `library` it needs, what it does, and what it is compared with."""

    library: str
    prepare: Callable[[], Prepared]
    by: str
    rival: str = ""


ONE_THREAD = "torch.autograd.gradcheck, one thread"
CHECKS = {
    "complex step": Check("numpy", of_all, "all"),
    "torch.autograd.gradcheck": Check("torch", gradcheck, "weights and inputs", "complex step"),
    ONE_THREAD: Check("torch", partial(gradcheck, threads=1), "weights and inputs", "complex step"),
    "complex step of x": Check("numpy", of_x, "inputs"),
    "tf.test.compute_gradient": Check("tensorflow", compute_gradient, "inputs", "complex step of x"),
}
# Those that take no time.
QUICK = [name for name, each in CHECKS.items() if each.library == "numpy" or name == ONE_THREAD]


def apart(found: Any, true: Any) -> float:
    """The largest difference as a share of the largest exact entry."""
    return float(np.abs(found - true).max() / np.abs(true).max())


def compare(threads: int, rounds: int, names: Iterable[str] = CHECKS) -> tuple[Samples, dict[str, float]]:
    """Seconds and error of each check that can run here, in turn for `rounds` rounds."""
    here = [name for name in names if find_spec(CHECKS[name].library)]
    seconds: Samples = {name: [] for name in here}
    with ExitStack() as stack:
        libraries = dict.fromkeys(CHECKS[name].library for name in here)
        workers = {library: stack.enter_context(closing(Worker(threads))) for library in libraries}
        at = {name: workers[CHECKS[name].library] for name in here}
        errors = {name: at[name].call("prepare_check", name) for name in here}
        for turn in range(rounds):
            for name in (*here[turn % len(here) :], *here[: turn % len(here)]):
                seconds[name].append(at[name].call("time", name))
    return seconds, errors


def table(seconds: Samples, errors: dict[str, float]) -> str:
    """Medians in ms, quartiles, errors, and how many times the complex step's time each is."""
    lines = [
        cells("gradient check", "by", "ms", "quartiles", "x complex step", "error"),
        cells("---", "---", "---:", "---:", "---:", "---:"),
    ]
    for name, turns in seconds.items():
        low, median, high = quartiles(turns)
        ratio = times(turns, seconds[CHECKS[name].rival or name])[1]
        spread = f"{digits(low)} - {digits(high)}"
        lines.append(
            cells(name, CHECKS[name].by, digits(median), spread, f"{ratio:.0f}", f"{errors[name]:.0e}")
        )
    return "\n".join(lines)
