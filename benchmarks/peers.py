"""The same pass by each library: same weights, same loss, gradients of all weights and of x.

Each function takes a workload and returns `step`, which runs the pass to its end, and `gradients`, which
reads from what `step` returned every gradient as a NumPy array, by tensor name. Inputs are
converted to the library's own arrays beforehand, and compilation happens at the first call.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from benchmarks.workloads import Workload
from reference_impl.spec import Arrays

WEIGHTS = ("lstm/kernel", "lstm/recurrent_kernel", "lstm/bias", "dense/kernel", "dense/bias")


class Pass(NamedTuple):
    """One library's loss and gradients, ready to be timed."""

    step: Callable[[], Any]
    gradients: Callable[[Any], Arrays]


def numpy(workload: Workload, threads: int) -> Pass:
    """This project, with its checks of the input."""
    model, (weights, x, y) = workload.model, workload.arrays()
    return Pass(
        lambda: model.loss_and_gradients(weights, x, y),
        lambda result: by_name([result[1][name] for name in (*WEIGHTS, "x")]),
    )


def pytorch(workload: Workload, threads: int) -> Pass:
    """`nn.LSTM` and `nn.Linear`."""
    import torch

    torch.set_num_threads(threads)
    weights, x, y = ({k: torch.tensor(a) for k, a in arrays.items()} for arrays in named(workload))
    lstm = torch.nn.LSTM(workload.D, workload.H, batch_first=True, dtype=x["x"].dtype)
    dense = torch.nn.Linear(workload.H, workload.K, dtype=x["x"].dtype)
    with torch.no_grad():  # PyTorch's gates are i f g o too; its kernels are transposed, its bias is two
        lstm.weight_ih_l0.copy_(weights["lstm/kernel"].T)
        lstm.weight_hh_l0.copy_(weights["lstm/recurrent_kernel"].T)
        lstm.bias_ih_l0.copy_(weights["lstm/bias"])
        lstm.bias_hh_l0.zero_()
        dense.weight.copy_(weights["dense/kernel"].T)
        dense.bias.copy_(weights["dense/bias"])
    sources = [lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, dense.weight, dense.bias]
    sources.append(x["x"].requires_grad_())

    def step() -> Any:
        loss = torch.nn.functional.mse_loss(dense(lstm(x["x"])[0]), y["y"])
        return torch.autograd.grad(loss, sources)

    # `.T` of a kernel's gradient (4H, D), and of a bias's, which has one axis
    return Pass(step, lambda found: by_name([*(g.numpy().T for g in found[:5]), found[5].numpy()]))


def jax(workload: Workload, threads: int) -> Pass:
    """`lax.scan` under `jit`."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    weights, x, y = ({k: jnp.asarray(a) for k, a in arrays.items()} for arrays in named(workload))

    def loss(weights: Any, x: Any) -> Any:
        W_x, W_h, b, W_y, b_y = (weights[name] for name in WEIGHTS)

        def step(state: Any, x_t: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(x_t @ W_x + h @ W_h + b, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((workload.B, workload.H), x.dtype)
        _, h = jax.lax.scan(step, (zero, zero), x.swapaxes(0, 1))
        return jnp.mean((h.swapaxes(0, 1) @ W_y + b_y - y["y"]) ** 2)

    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))

    def read(result: Any) -> Arrays:
        _, (found, dx) = result
        return by_name([*(np.asarray(found[name]) for name in WEIGHTS), np.asarray(dx)])

    return Pass(lambda: jax.block_until_ready(compiled(weights, x["x"])), read)


def tensorflow(workload: Workload, threads: int, how: str) -> Pass:
    """Keras's own layers: "eager", as a "graph" by `tf.function`, or that by "xla"."""
    from tf_oracle.models import build, set_weights, variables
    from tf_oracle.start import load

    tf = load().tf
    weights, x, y = named(workload)
    twin = build(workload.model, x["x"].shape, workload.dtype)
    set_weights(twin, weights)
    x, y = tf.constant(x["x"]), tf.constant(y["y"])
    sources = [variables(twin)[name].value for name in WEIGHTS]

    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean((twin(x) - y) ** 2)
        return tape.gradient(loss, [*sources, x])

    if how != "eager":
        step = tf.function(step, jit_compile=how == "xla")
    return Pass(step, lambda found: by_name([gradient.numpy() for gradient in found]))


def autograd(workload: Workload, threads: int) -> Pass:
    """The forward pass in NumPy, differentiated."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    weights, x, y = named(workload)
    T, zero = workload.T, np.zeros((workload.B, workload.H), workload.dtype)

    def sigmoid(z: Any) -> Any:
        return 1 / (1 + anp.exp(-z))

    def loss(arrays: Any) -> Any:
        W_x, W_h, b, W_y, b_y = (arrays[name] for name in WEIGHTS)
        h, c, outputs = zero, zero, []
        for t in range(T):
            i, f, g, o = anp.split(anp.dot(arrays["x"][:, t], W_x) + anp.dot(h, W_h) + b, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * anp.tanh(g)
            h = sigmoid(o) * anp.tanh(c)
            outputs.append(anp.dot(h, W_y) + b_y)
        return anp.mean((anp.stack(outputs, axis=1) - y["y"]) ** 2)

    pass_ = value_and_grad(loss)
    return Pass(lambda: pass_({**weights, **x}), lambda result: result[1])


class Peer(NamedTuple):
    """A way to run the pass: the `library` it needs and the function that prepares it."""

    library: str
    prepare: Callable[[Workload, int], Pass]


PEERS = {
    "NumPy": Peer("numpy", numpy),
    "PyTorch": Peer("torch", pytorch),
    "JAX jit": Peer("jax", jax),
    "tf.function": Peer("tensorflow", lambda workload, threads: tensorflow(workload, threads, "graph")),
    "TF XLA": Peer("tensorflow", lambda workload, threads: tensorflow(workload, threads, "xla")),
    "TF eager": Peer("tensorflow", lambda workload, threads: tensorflow(workload, threads, "eager")),
    "autograd": Peer("autograd", autograd),
}


def installed() -> list[str]:
    """Names of the peers whose library can be imported here, NumPy first."""
    return [name for name, peer in PEERS.items() if find_spec(peer.library)]


def named(workload: Workload) -> tuple[Arrays, Arrays, Arrays]:
    """Weights, {"x": x} and {"y": y}."""
    weights, x, y = workload.arrays()
    return weights, {"x": x}, {"y": y}


def by_name(found: list[Any]) -> Arrays:
    """Gradients in the order of WEIGHTS and then x, by tensor name."""
    return dict(zip([*WEIGHTS, "x"], found, strict=True))
