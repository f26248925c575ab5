"""Where Keras computes something else than documented: every finding of docs/findings.md, on Keras itself.

`figures("heading")` is the text block that the page shows under that heading.
"""

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from reference_impl.activations import softmax
from reference_impl.losses import LOSSES
from reference_impl.spec import Array, BadInput
from tapecheck import Case, Problem
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.exact import exact
from tf_oracle import models
from tf_oracle.losses import keras_loss
from tf_oracle.start import load

Figures = Callable[[str], str]

# Crossentropies on an activation whose logits Keras takes for those of the loss's own.
WRONG_LOGITS = (("binary_crossentropy", "softmax"), ("categorical_crossentropy", "sigmoid"))


def text(*lines: str) -> str:
    """The lines as the page shows them."""
    return "\n".join(line.rstrip() for line in lines)


def agree(name: str, candidate: Any, true: Any) -> bool:
    """Whether two float64 values agree within the limit of the measure."""
    return errors(name, np.asarray(candidate), np.asarray(true), np.dtype("float64")).max() <= FACTOR * FLOOR


def head(activation: str, dtype: str = "float64") -> tuple[Any, Array, Array]:
    """A model of one Dense(3) with that activation, an input for it and one-hot labels."""
    keras = load().keras
    rng = np.random.default_rng(0)
    twin = keras.Sequential(
        [keras.layers.Input((5,), dtype=dtype), keras.layers.Dense(3, activation=activation, dtype=dtype)]
    )
    x, kernel, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((4, 5), (5, 3), (3,)))
    twin.layers[0].set_weights([kernel, bias])
    return twin, x, np.eye(3)[rng.integers(3, size=4)].astype(dtype)


STEP = 1e-6


def central_difference(value: Callable[[Array], float], at: Array) -> Array:
    """The derivative of `value` from its own values, an entry at a time. Its error is some STEP**2 by
    truncation and eps / STEP by rounding, both far below STEP.
    """
    found = np.empty_like(at)
    for index in np.ndindex(at.shape):
        move = np.zeros_like(at)
        move[index] = STEP
        found[index] = (value(at + move) - value(at - move)) / (2 * STEP)
    return found


def test_every_block_of_the_page_is_tested(blocks: dict[str, list[str]]) -> None:
    """No figure stands on the page without a test that names its heading."""
    here = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_findings*.py")
    )
    assert blocks
    assert [heading for heading in blocks if f'"{heading}"' not in here] == []


def test_versions(page: str) -> None:
    """The page names versions of the same major as those installed; the findings themselves are run."""
    for package, title in (("keras", "Keras"), ("tensorflow", "TensorFlow")):
        (major,) = re.findall(rf"{title} (\d+)\.\d+", page.partition("\n## ")[0])
        assert major == version(package).partition(".")[0]


def test_logits_of_another_activation(figures: Figures) -> None:
    """Keras takes a softmax's logits for a sigmoid's and the other way round, in value and gradient,
    and gives the documented loss as soon as the attribute is gone.
    """
    tf = load().tf
    lines = [
        f"{'':40}" + "".join(f"{activation + ' head,':>26}" for _, activation in WRONG_LOGITS),
        f"{'':40}" + "".join(f"{loss:>26}" for loss, _ in WRONG_LOGITS),
    ]
    columns = []
    for loss, activation in WRONG_LOGITS:
        twin, x, labels = head(activation)
        dense, function = twin.layers[0], keras_loss(loss, np.dtype("float64"))
        logits = x @ dense.get_weights()[0] + dense.get_weights()[1]
        output = dense(x)
        documented = float(LOSSES[loss].using({}).value(labels, output.numpy()).mean())
        of_logits = float(LOSSES[loss].using({"from_logits": True}).value(labels, logits).mean())

        with tf.GradientTape(persistent=True) as tape:
            output = dense(x)
            assert hasattr(output, "_keras_logits")
            kept, stripped = function(labels, output), function(labels, tf.identity(output))
        gradients = [tape.gradient(value, dense.kernel.value).numpy() for value in (kept, stripped)]

        assert agree("loss", kept, of_logits)
        assert agree("loss", stripped, documented)
        assert not agree("loss", kept, documented)
        cosine = np.vdot(*gradients) / np.prod([np.linalg.norm(gradient) for gradient in gradients])
        columns.append([float(kept), of_logits, documented, float(stripped), cosine])

    titles = (
        "Keras",
        "the loss's own activation of the logits",
        "documented formula on the outputs",
        "Keras, given tf.identity(output)",
        "cosine of the two gradients in Keras",
    )
    lines += [
        f"{title:40}" + "".join(f"{value:26.6f}" for value in values)
        for title, *values in zip(titles, *columns, strict=True)
    ]
    assert figures("1. Logits of the wrong activation") == text(*lines)


@pytest.mark.parametrize(("loss", "activation"), WRONG_LOGITS)
def test_evaluate_and_predict_disagree(loss: str, activation: str) -> None:
    """The compiled model has it too: its loss is not the same loss object's value on its predictions."""
    twin, x, labels = head(activation, "float32")
    function = keras_loss(loss, np.dtype("float32"))
    twin.compile(loss=function)
    evaluated = twin.evaluate(x, labels, verbose=0)
    assert evaluated == pytest.approx(twin.train_on_batch(x, labels))
    assert abs(evaluated - float(function(labels, twin.predict(x, verbose=0)))) > 0.01 * evaluated


@pytest.mark.parametrize(("loss", "activation"), WRONG_LOGITS)
def test_refused_by_reference_impl(loss: str, activation: str) -> None:
    """The handwritten side has nothing to compare with for these pairs, and says so."""
    model = Sequential([LSTM(4), Dense(3, activation=activation)])
    with pytest.raises(BadInput, match="compute another loss"):
        Case("wrong-logits", model, loss=loss)


def test_labels_that_do_not_sum_to_one(figures: Figures) -> None:
    """The gradient of softmax_cross_entropy_with_logits is not the derivative of its own value where
    the labels sum to 1.5; Keras's other way to the same loss has the right one.
    """
    tf, keras = load()
    labels, logits = np.array([[0.2, 0.5, 0.8]]), np.array([[0.3, -0.4, 0.9]])
    total = labels.sum()

    def value(z: Array) -> Any:
        return tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=z)[0]

    variable = tf.Variable(logits)
    loss = keras.losses.CategoricalCrossentropy(dtype="float64")
    with tf.GradientTape(persistent=True) as tape:
        of_op = value(variable.value())
        output = keras.activations.softmax(variable.value())
        of_logits, of_outputs = loss(labels, output), loss(labels, tf.identity(output))
    gradients = [tape.gradient(v, variable).numpy() for v in (of_op, of_logits, of_outputs)]
    differences = central_difference(lambda z: float(value(tf.constant(z))), logits)

    assert agree("loss", of_op, of_logits)
    assert agree("loss", of_op, of_outputs)
    assert agree("z", gradients[0], softmax(logits) - labels)
    assert agree("z", gradients[1], softmax(logits) - labels)
    assert agree("z", gradients[2], softmax(logits) * total - labels)
    assert np.abs(differences - gradients[2]).max() < STEP < np.abs(differences - gradients[0]).max()

    def line(title: str, values: Array) -> str:
        return f"{title:52}" + "".join(f"{v:+10.4f}" for v in values[0])

    assert figures("2. Labels that do not sum to 1") == text(
        f"{'':52}" + "".join(f"{f'class {k}':>10}" for k in range(3)),
        line("TensorFlow, softmax - labels", gradients[0]),
        line("central difference of TensorFlow's own value", differences),
        line(f"softmax * {total} - labels", softmax(logits) * total - labels),
        line("Keras's loss on a softmax's output", gradients[1]),
        line("Keras's loss on tf.identity of the same output", gradients[2]),
    )


def test_labels_are_refused_by_reference_impl() -> None:
    """The handwritten side takes only labels for which value and gradient belong together."""
    problem = Case(
        "labels", Sequential([LSTM(4), Dense(3, activation="softmax")]), loss="categorical_crossentropy"
    ).problem()
    with pytest.raises(BadInput, match="should sum to 1"):
        problem.model.loss_and_gradients(problem.weights, problem.x, 1.5 * problem.y, loss=problem.loss)


def of_mean_squared_error(problem: Problem, **arguments: str) -> Array:
    """Keras's gradient of lstm/kernel, with the loss object made with `arguments`."""
    tf, keras = load()
    twin = models.build(problem.model, problem.x.shape, problem.dtype.name)
    models.set_weights(twin, problem.weights)
    with tf.GradientTape() as tape:
        loss = keras.losses.MeanSquaredError(**arguments)(problem.y, twin(problem.x))
    assert loss.dtype == arguments.get("dtype", "float32")
    return tape.gradient(loss, models.variables(twin)["lstm/kernel"].value).numpy()


def of_saturated_sigmoid(**arguments: str) -> tuple[float, float]:
    """Keras's crossentropy of sigmoid(20) for the label 0, and its gradient, in the same way."""
    tf, keras = load()
    label, logit = tf.constant([[0.0]], "float64"), tf.constant([[20.0]], "float64")
    with tf.GradientTape() as tape:
        tape.watch(logit)
        loss = keras.losses.BinaryCrossentropy(**arguments)(label, keras.activations.sigmoid(logit))
    return float(loss), tape.gradient(loss, logit).numpy().item()


def test_losses_compute_in_float32(figures: Figures) -> None:
    """Keras's default loss object rounds a float64 model's outputs to float32, which costs the gradient
    half its digits, and a saturated sigmoid its loss and all of its gradient.
    """
    model = Sequential([LSTM(8, return_sequences=True), Dense(1, activation="relu")])
    problem = Case("thread-sequences", model, 4, 3, 2).problem()
    truth = exact(problem).tensors["lstm/kernel"]

    single, double = of_mean_squared_error(problem), of_mean_squared_error(problem, dtype="float64")
    assert single.dtype == double.dtype == np.float64  # the gradient does not tell
    assert agree("lstm/kernel", double, truth)
    assert not agree("lstm/kernel", single, truth)
    share = float(np.abs(single - truth).max() / np.abs(truth).max())

    clipped, kept = of_saturated_sigmoid(), of_saturated_sigmoid(dtype="float64")
    assert figures("3. A trap: losses compute in float32") == text(
        f"{'':48}{'default':>14}{'float64':>14}",
        f"{'mean_squared_error: error of lstm/kernel':48}{share:14.0e}{'rounding':>14}",
        f"{'binary_crossentropy, logit 20, label 0: loss':48}{clipped[0]:14.6f}{kept[0]:14.6f}",
        f"{'binary_crossentropy, logit 20, label 0: gradient':48}{clipped[1]:14.6f}{kept[1]:14.6f}",
    )
