"""Every figure of docs/thread.md but the snippet's, computed anew from its models in NumPy and Keras.

`figures("heading")` is the text block that the page shows under that heading: a test computes the
same text and compares it whole, so that the page cannot drift from what the code does.
"""

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

import tf_oracle
from reference_impl import LSTM, Dense, Flatten, Sequential
from reference_impl.losses.regression import mean_squared_error
from reference_impl.sequential import own
from reference_impl.spec import Array, Arrays
from reference_impl.textbook import lstm as textbook
from tapecheck import Case, Problem, check
from tapecheck.catalogue import CATALOGUE
from tapecheck.compare import FACTOR, FLOOR, TensorReport, errors
from tf_oracle import models
from tf_oracle.start import load

Figures = Callable[[str], str]

HEAD = Dense(1, activation="relu")
SEQUENCES = Case("thread-sequences", Sequential([LSTM(8, return_sequences=True), HEAD]), 4, 3, 2)
LAST_STEP = Case("thread-last-step", Sequential([LSTM(8), HEAD]), 4, 3, 2)
FLATTEN = Case("thread-flatten", Sequential([LSTM(8, return_sequences=True), Flatten(), HEAD]), 4, 3, 2)
B, T, D, H, K = 4, 3, 2, 8, 1


class Passed(NamedTuple):
    """A forward pass through the two layers, and the head's backward pass up to the LSTM."""

    problem: Problem
    h: Array  # (B, T, H), the LSTM's output
    steps: list[textbook.Step]
    y: Array  # (B, T, K)
    dlogits: Array  # (B, T, K)
    dh_above: Array  # (B, T, H)


@cache
def passed() -> Passed:
    """The thread's model with return_sequences=True, as far as the gradients into the LSTM."""
    problem = SEQUENCES.problem()
    lstm = problem.model.layers[0]
    weights = own(problem.weights, "lstm")
    h, steps, _ = textbook.forward(lstm, weights, problem.x, own(problem.initial_state, "lstm"))
    y = np.maximum(h @ problem.weights["dense/kernel"] + problem.weights["dense/bias"], 0)
    dlogits = (y > 0) * 2 * (y - problem.y) / y.size
    return Passed(problem, h, steps, y, dlogits, dlogits @ problem.weights["dense/kernel"].T)


def keras_pass(problem: Problem) -> tf_oracle.OraclePass:
    """Keras's output, loss and gradients for the problem."""
    return tf_oracle.run(problem.model, problem, problem.loss)


def compared(problem: Problem, gradients: Arrays) -> dict[str, TensorReport]:
    """How each of `gradients` compares with the exact ones, by the measure of tapecheck."""
    return check(problem, lambda _: gradients).tensors


def share(tensor: TensorReport) -> str:
    """The largest error as a share of the tensor's largest entry; "right" within the limit."""
    return "right" if tensor.passed else f"{tensor.error * np.finfo(np.float64).eps:.0%}"


def row(title: str, values: Array, width: int = 22) -> str:
    """A line of a table: the title, and the numbers with six decimals."""
    return f"{title:{width}}" + "".join(f"{value:+12.6f}" for value in values)


def head(width: int, *titles: str) -> str:
    """The first line of a table, over the columns of `row`."""
    return " " * width + "".join(f"{title:>12}" for title in titles)


def text(*lines: str) -> str:
    """The lines as the page shows them."""
    return "\n".join(line.rstrip() for line in lines)


def test_every_block_of_the_page_is_tested(blocks: dict[str, list[str]]) -> None:
    """No figure stands on the page without a test, here or of its snippet, that names its heading."""
    here = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_thread*.py"))
    assert blocks
    assert [heading for heading in blocks if f'"{heading}"' not in here] == []


def test_dense_gradient_is_the_sum_over_the_steps(figures: Figures) -> None:
    """Each step's loss and Dense gradient by hand add up to what Keras's tape gives for all steps."""
    problem, h, _, y, dlogits, _ = passed()
    oracle = keras_pass(problem)
    dW_y = np.stack([h[:, t].T @ dlogits[:, t] for t in range(T)])  # (T, H, K)
    db_y = np.stack([dlogits[:, t].sum(axis=0) for t in range(T)])  # (T, K)
    squares = ((y - problem.y) ** 2).sum(axis=(0, 2))  # (T,)

    tensors = compared(problem, {"dense/kernel": dW_y.sum(axis=0), "dense/bias": db_y.sum(axis=0)})
    assert tensors["dense/kernel"].passed
    assert tensors["dense/bias"].passed
    for t in range(T):  # no step is the whole, and none is idle
        assert (
            tensors["dense/kernel"].limit < compared(problem, {"dense/kernel": dW_y[t]})["dense/kernel"].error
        )
        assert dW_y[t].any()

    def line(title: str, loss: float, kernel: Array, bias: Array) -> str:
        return row(title, np.array([loss, *kernel[:3, 0], bias[0]]))

    assert figures("1. Is the Dense gradient the sum over the time steps? Yes") == text(
        head(22, "loss", "kernel[0]", "kernel[1]", "kernel[2]", "bias"),
        *(line(f"step {t}", squares[t] / y.size, dW_y[t], db_y[t]) for t in range(T)),
        line("sum of the steps", squares.sum() / y.size, dW_y.sum(axis=0), db_y.sum(axis=0)),
        line(
            "Keras, tf.GradientTape",
            oracle.loss,
            oracle.gradients["dense/kernel"],
            oracle.gradients["dense/bias"],
        ),
    )


def test_no_flatten_is_needed(figures: Figures) -> None:
    """Keras builds all three models; with Flatten the head has 25 parameters instead of 9, and one output."""
    lines = [f"{'':28}{'LSTM':>12}{'Dense kernel':>14}{'output':>12}{'parameters':>18}"]
    for title, case in (
        ("return_sequences=True", SEQUENCES),
        ("return_sequences=False", LAST_STEP),
        ("return_sequences=True, Flatten", FLATTEN),
    ):
        oracle = keras_pass(case.problem())
        counts = [layer.parameters for layer in oracle.layers if layer.parameters]
        lines.append(
            f"{title:30}{oracle.layers[0].output_shape!s:>10}{oracle.weights['dense/kernel'].shape!s:>14}"
            f"{oracle.output.shape!s:>12}{f'{counts[0]} + {counts[1]} = {sum(counts)}':>18}"
        )
    assert figures("2. Does a Dense after return_sequences=True need a Flatten? No") == text(*lines)


def test_tensorflow_raises_nothing(figures: Figures) -> None:
    """Keras trains the model without Flatten; with it, the same targets are broadcast silently."""
    keras = load().keras
    lines = []
    for title, case in (("LSTM -> Dense", SEQUENCES), ("LSTM -> Flatten -> Dense", FLATTEN)):
        problem = case.problem()
        y = SEQUENCES.problem().y  # (B, T, K), a target for every step
        twin = models.build(case.model, problem.x.shape, "float64")
        models.set_weights(twin, problem.weights)
        output = twin(problem.x).numpy()
        twin.compile(optimizer="sgd", loss=keras.losses.MeanSquaredError(dtype="float64"))
        loss = twin.train_on_batch(problem.x, y)  # raises nothing
        lines.append(f"{title:26}{y.shape!s:>12}{output.shape!s:>12}{float(loss):>12.6f}")
        if case is FLATTEN:  # one prediction a sample against three targets each
            assert output.shape == (B, K)
            repeated = np.repeat(output[:, np.newaxis], T, axis=1)
            assert f"{mean_squared_error(y, repeated).mean():.6f}" == f"{float(loss):.6f}"
    assert figures("3. Would TensorFlow have raised a dimension mismatch without it? No") == text(
        f"{'':26}{'target':>12}{'output':>12}{'loss':>12}", *lines
    )


def keras_dh(problem: Problem) -> Array:
    """Keras's own dloss/dh_t (B, T, H), the whole of it: the layer is called a step at a time, so that
    h_t is a tensor that goes both into the Dense and into the next step.
    """
    tf, keras = load()
    lstm = keras.layers.LSTM(H, return_state=True, dtype="float64")
    dense = keras.layers.Dense(K, activation="relu", dtype="float64")
    lstm.build((B, 1, D))
    dense.build((B, H))
    for layer, name in ((lstm, "lstm"), (dense, "dense")):
        layer.set_weights(list(own(problem.weights, name).values()))
    h, c = (tf.constant(state) for state in own(problem.initial_state, "lstm").values())
    with tf.GradientTape() as tape:
        hs = []
        for t in range(T):
            h, _, c = lstm(tf.constant(problem.x[:, t : t + 1]), initial_state=[h, c])
            hs.append(h)
        y = tf.stack([dense(h) for h in hs], axis=1)
        loss = tf.reduce_mean((y - problem.y) ** 2)
    return np.stack([gradient.numpy() for gradient in tape.gradient(loss, hs)], axis=1)


def keras_dh_above(problem: Problem) -> Array:
    """Keras's gradient of the loss with respect to the LSTM layer's output, (B, T, H)."""
    tf = load().tf
    twin = models.build(problem.model, problem.x.shape, "float64")
    models.set_weights(twin, problem.weights)
    lstm, dense = twin.layers
    h = lstm(tf.constant(problem.x))
    with tf.GradientTape() as tape:
        tape.watch(h)
        loss = tf.reduce_mean((dense(h) - problem.y) ** 2)
    return tape.gradient(loss, h).numpy()


def test_gradient_into_the_lstm(figures: Figures) -> None:
    """dh = dh_above + dh_next, both summands and the sum as Keras has them; leaving one out is wrong."""
    problem, _, steps, _, _, dh_above = passed()
    lstm, weights = problem.model.layers[0], own(problem.weights, "lstm")

    def backward(old: str, new: str) -> tuple[Arrays, list[textbook.Step]]:
        """The textbook's backward pass with `old` written as `new`."""
        source = inspect.getsource(textbook.backward)
        assert source.count(old) == 1
        edited = ModuleType("edited")
        vars(edited).update(vars(textbook))
        exec(source.replace(old, new), vars(edited))
        return edited.backward(lstm, weights, steps, dh_above)

    _, d_steps = backward("dh_above + dh_next", "dh_above + dh_next")
    dh = np.stack([step["dh"] for step in d_steps], axis=1)
    for mine, keras in ((dh, keras_dh(problem)), (dh_above, keras_dh_above(problem))):
        assert errors("lstm/dh", keras, mine, mine.dtype).max() <= FACTOR * FLOOR

    rights = [
        ("nothing left out", "dh_above + dh_next", "dh_above + dh_next"),
        ("dh = dh_above", "dh = dh_above + dh_next", "dh = dh_above"),
        ("dc without dc_next", "phi_c) + dc_next", "phi_c)"),
    ]
    lines = []
    for title, old, new in rights:
        found = {f"lstm/{name}": array for name, array in backward(old, new)[0].items() if name != "x"}
        tensors = compared(problem, found)
        shares = [share(tensors[f"lstm/{name}"]) for name in ("kernel", "recurrent_kernel", "bias")]
        lines.append(f"{title:22}" + "".join(f"{value:>18}" for value in shares))
        assert all(value == "right" for value in shares) == (title == "nothing left out")

    assert figures("4. Is the gradient into the LSTM do[t] plus what comes from step t+1? Yes") == text(
        head(22, "t = 0", "t = 1", "t = 2"),
        row("dh_above", dh_above[0, :, 0]),
        row("dh_next", (dh - dh_above)[0, :, 0]),
        row("dh, their sum", dh[0, :, 0]),
        row("Keras, dloss/dh_t", keras_dh(problem)[0, :, 0]),
        "",
        f"{'':22}{'lstm/kernel':>18}{'recurrent_kernel':>18}{'bias':>18}",
        *lines,
    )


def test_flatten_is_one_and_absent(figures: Figures) -> None:
    """Flatten's Jacobian is the identity; with it each step has weights of its own, and no step's sum."""
    tf, keras = load()
    x = tf.constant(np.arange(T * H, dtype=float).reshape(1, T, H))
    with tf.GradientTape() as tape:
        tape.watch(x)
        flat = keras.layers.Flatten(dtype="float64")(x)
    jacobian = tape.jacobian(flat, x).numpy().reshape(T * H, T * H)
    assert (jacobian == np.eye(T * H)).all()

    problem = FLATTEN.problem()
    h = Sequential(problem.model.layers[:1]).predict(
        {name: w for name, w in problem.weights.items() if name.startswith("lstm")}, problem.x
    )
    y = problem.reference.output  # (B, K)
    dlogits = (y > 0) * 2 * (y - problem.y) / y.size
    by_step = np.concatenate([h[:, t].T @ dlogits for t in range(T)])  # (T*H, K): stacked, not summed
    assert compared(problem, {"dense/kernel": by_step})["dense/kernel"].passed
    assert figures("6. Are the derivatives of Flatten just 1? Yes, but there is no Flatten") == text(
        f"Jacobian of Keras's Flatten     identity, {jacobian.shape}",
        f"dense/kernel without Flatten    {(H, K)}, summed over the steps",
        f"dense/kernel with Flatten       {by_step.shape}, a block of {H} rows for each step",
    )


def test_last_step_only(figures: Figures) -> None:
    """With return_sequences=False the Dense needs no steps, and dh_above is the last step's alone."""
    problem = LAST_STEP.problem()
    lstm, weights = problem.model.layers[0], own(problem.weights, "lstm")
    h, steps, _ = textbook.forward(lstm, weights, problem.x, own(problem.initial_state, "lstm"))
    y = problem.reference.output  # (B, K)
    dlogits = (y > 0) * 2 * (y - problem.y) / y.size
    tensors = compared(problem, {"dense/kernel": h.T @ dlogits, "dense/bias": dlogits.sum(axis=0)})
    assert tensors["dense/kernel"].passed
    assert tensors["dense/bias"].passed

    above = dlogits @ problem.weights["dense/kernel"].T  # (B, H)
    _, d_steps = textbook.backward(lstm, weights, steps, above)
    dh = [step["dh"] for step in d_steps]
    every = Sequential([LSTM(8, return_sequences=True)]).layers[0]
    wrong, _ = textbook.backward(every, weights, steps, np.stack([above] * T, axis=1))
    mistaken = compared(problem, {"lstm/kernel": wrong["kernel"]})["lstm/kernel"]
    assert not mistaken.passed
    dh_above = [0 * above, 0 * above, above]
    assert figures("7. Does return_sequences=False spare the Dense the time steps? Yes") == text(
        head(26, "t = 0", "t = 1", "t = 2"),
        row("largest |dh_above|", np.array([np.abs(d).max() for d in dh_above]), 26),
        row("largest |dh|", np.array([np.abs(d).max() for d in dh]), 26),
        f"dh_above at every step: lstm/kernel wrong by {share(mistaken)}",
    )


@pytest.mark.parametrize("case", [SEQUENCES, LAST_STEP, FLATTEN], ids=lambda case: case.name)
def test_models_pass(case: Case) -> None:
    """The catalogue has the very case, and all its gradients agree with Keras's and with the exact ones."""
    assert case in CATALOGUE
    check(case).assert_passed()
