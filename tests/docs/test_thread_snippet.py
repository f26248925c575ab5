"""The snippet of docs/thread.md, line by line: what is right in it, what is not, and how it runs.

`figures("heading")` is the text block that the page shows under that heading.
"""

import contextlib
import io
import re
from collections.abc import Callable

import numpy as np

from reference_impl import Sequential
from reference_impl.losses.regression import mean_squared_error
from reference_impl.spec import Array
from tapecheck import Problem, check
from tapecheck.catalogue import named
from tapecheck.compare import TensorReport
from tf_oracle import models
from tf_oracle.start import load

Figures = Callable[[str], str]

(SEQUENCES,) = named(["thread-sequences"])
T, H, K = 3, 8, 1


def hidden(problem: Problem) -> Array:
    """The LSTM's output (B, T, H), which the snippet calls x."""
    weights = {name: w for name, w in problem.weights.items() if name.startswith("lstm/")}
    return Sequential(problem.model.layers[:1]).predict(weights, problem.x)


def kernel(problem: Problem, dW_y: Array) -> TensorReport:
    """How a gradient of the Dense kernel compares with the exact one."""
    return check(problem, lambda _: {"dense/kernel": dW_y}).tensors["dense/kernel"]


def raised(action: Callable[[], object]) -> str:
    """What NumPy says of an action: the name of its error, or "runs"."""
    try:
        action()
    except (ValueError, IndexError) as error:
        return type(error).__name__
    return "runs"


def test_the_two_derivatives(figures: Figures) -> None:
    """2 (Yhat - Y) is the derivative of a sum, N times that of Keras's mean; the relu's derivative, taken
    from its output, is what Keras's tape multiplies with.
    """
    tf = load().tf
    problem = SEQUENCES.problem()
    h, y = hidden(problem), problem.reference.output
    dlogits = (y > 0) * 2 * (y - problem.y)
    tensor = kernel(problem, np.einsum("bth,btk->hk", h, dlogits))

    logits = tf.constant(h @ problem.weights["dense/kernel"] + problem.weights["dense/bias"])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        output = tf.nn.relu(logits)
    derivative = (y > 0) + 0
    assert (derivative == tape.gradient(output, logits).numpy()).all()
    assert 0 < derivative.sum() < derivative.size

    assert figures("dY = 2 * (Y_pred[t] - Y[t]), dAct = ((Y_pred[t] > 0) + 0) * dY") == (
        f"dY     dense/kernel is {tensor.factor:.6f} x Keras's, cosine {tensor.cosine:.6f}; "
        f"B*T*K = {y.size}\n"
        f"dAct   (Y_pred > 0) + 0 is 1 at {derivative.sum()} of {derivative.size} outputs and else 0, "
        "as Keras's derivative is"
    )


def test_the_lines_that_gather(figures: Figures) -> None:
    """No reading of the three lines runs as it stands; and one x for all steps, whichever, is wrong."""
    problem = SEQUENCES.problem()
    h, y = hidden(problem), problem.reference.output
    dlogits = (y > 0) * 2 * (y - problem.y) / y.size
    x, dAct = h[0].T, dlogits[0, 0]  # one sample: (H, T) and (K,)
    Wx = problem.weights["dense/kernel"].T  # (K, H)
    column = dAct[:, np.newaxis]  # (K, 1)

    def add_sum(d: Array) -> None:
        db = np.zeros((K,))
        db += d

    def add_outer(d: Array, x: Array) -> None:
        dWx = np.zeros((K, H))
        dWx += d @ x.T

    def put_do(d: Array, shape: tuple[int, int]) -> None:
        do = np.zeros(shape)
        do[0] = Wx.T @ d

    calls = [
        ("db += dAct", "dAct (K,)", raised(lambda: add_sum(dAct))),
        ("db += dAct", "dAct (K, 1)", raised(lambda: add_sum(column))),
        ("dWx += dAct @ x.T", "dAct (K,), x (H, T)", raised(lambda: add_outer(dAct, x))),
        ("dWx += dAct @ x.T", "dAct (K,), x[t] (H,)", raised(lambda: add_outer(dAct, x[:, 0]))),
        ("dWx += dAct @ x.T", "dAct (K, 1), x[t] (H, 1)", raised(lambda: add_outer(column, x[:, :1]))),
        ("do[t] = Wx.T @ dAct", "do (H, T), dAct (K,)", raised(lambda: put_do(dAct, (H, T)))),
        ("do[t] = Wx.T @ dAct", "do (H, T), dAct (K, 1)", raised(lambda: put_do(column, (H, T)))),
        ("do[t] = Wx.T @ dAct", "do (H, T), T = H, dAct (K,)", raised(lambda: put_do(dAct, (H, H)))),
        ("do[t] = Wx.T @ dAct", "do (T, H), dAct (K,)", raised(lambda: put_do(dAct, (T, H)))),
    ]

    wrongs = []
    for title, x in (
        ("dense/kernel from each step's own x[t]", lambda t: h[:, t]),
        ("dense/kernel from x of the last step", lambda t: h[:, -1]),
        ("dense/kernel from x of the first step", lambda t: h[:, 0]),
    ):
        dW_y = sum(x(t).T @ dlogits[:, t] for t in range(T))
        found = kernel(problem, dW_y)
        off = "right" if found.passed else f"{found.error * np.finfo(np.float64).eps:.0%}"
        wrongs.append(f"{title:50}{off}")
    assert figures("db += dAct, dWx += dAct @ x.T, do[t] = Wx.T @ dAct") == "\n".join(
        [*(f"{line:22}{shapes:30}{outcome}" for line, shapes, outcome in calls), "", *wrongs]
    )


def test_update(figures: Figures) -> None:
    """Adding the gradient raises the loss, subtracting it lowers it; Keras's SGD subtracts."""
    keras = load().keras
    problem = SEQUENCES.problem()
    gradients = problem.reference.gradients
    alpha = 0.1

    def loss_after(sign: int) -> float:
        moved = {
            name: w + sign * alpha * gradients[name] if name.startswith("dense") else w
            for name, w in problem.weights.items()
        }
        return problem.model.loss_and_gradients(moved, problem.x, problem.y)[0]

    twin = models.build(problem.model, problem.x.shape, "float64")
    models.set_weights(twin, problem.weights)
    twin.layers[0].trainable = False
    twin.compile(optimizer=keras.optimizers.SGD(alpha), loss=keras.losses.MeanSquaredError(dtype="float64"))
    twin.train_on_batch(problem.x, problem.y)
    after = mean_squared_error(problem.y, twin(problem.x).numpy()).mean()

    before = problem.reference.loss
    assert loss_after(-1) < before < loss_after(+1)
    assert figures("Wx += alpha * dWx, b += alpha * db") == (
        f"loss before                     {before:.6f}\n"
        f"after += alpha * gradient       {loss_after(+1):.6f}\n"
        f"after -= alpha * gradient       {loss_after(-1):.6f}\n"
        f"after a step of Keras's SGD     {after:.6f}"
    )


def test_corrected_snippet(page: str, figures: Figures) -> None:
    """The page's own Python block, run as it stands, prints the verdict shown below it."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block, {})
    assert printed.getvalue().strip() == "passed"
    assert figures("The snippet, put right") == printed.getvalue().strip()
