"""Where Keras's optimizers and regularizers compute something else than documented, on Keras itself.

`figures("heading")` is the text block that docs/findings.md shows under that heading.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference_impl import Named
from reference_impl.spec import Array
from reference_impl.training import optimizer, train
from tf_oracle import named
from tf_oracle.start import load

Figures = Callable[[str], str]


def text(*lines: str) -> str:
    """The lines as the page shows them."""
    return "\n".join(line.rstrip() for line in lines)


def keras_steps(made: Any, count: int, gradient: float = 0.5, dtype: str = "float64") -> Array:
    """What so many steps of a Keras optimizer add to one weight that is 1."""
    tf, keras = load()
    weight = keras.Variable(np.ones(1), dtype=dtype)
    weights = [1.0]
    for _ in range(count):
        made.apply([tf.constant([gradient], dtype)], [weight])
        weights.append(float(weight.numpy()[0]))
    return np.diff(weights)


def right_steps(value: Named, count: int, gradient: float = 0.5) -> Array:
    """The same in longdouble, by the handwritten rule."""
    start = {"w": np.ones(1, np.longdouble)}
    run = train(
        start, optimizer(value, np.longdouble, {}), count, lambda weights: {"w": gradient * start["w"]}
    )
    return np.diff(np.concatenate([start["w"], *(weights["w"] for weights in run)]))


def share(found: float, right: float) -> str:
    """An error as a share, or "rounding"."""
    error = abs(found / right - 1)
    return "rounding" if error < 1e-12 else f"{error:.0e}"


def test_hyperparameters_go_through_float32(figures: Figures) -> None:
    """Python's floats lose half their digits on the way into a float64 optimizer, and 1 - 0.999 more;
    float64 tensors do not.
    """
    tf, keras = load()
    optimizers, rows = keras.optimizers, []
    for title, value, made, step in (
        ("Adam, first step", Named("adam"), optimizers.Adam(), 1),
        ("SGD with momentum=0.9, second step", Named("sgd", momentum=0.9), optimizers.SGD(momentum=0.9), 2),
        ("Nadam, first step", Named("nadam"), optimizers.Nadam(), 1),
    ):
        right = right_steps(value, step)[-1]
        exactly = keras_steps(named.optimizer(value, "float64"), step)[-1]
        rows.append((title, share(keras_steps(made, step)[-1], right), share(exactly, right)))
    weight = keras.Variable(np.zeros(1), dtype="float32")  # at 1, rounding would hide it
    optimizers.Adam().apply([tf.constant([0.5])], [weight])
    single = share(float(weight.numpy()[0]), right_steps(Named("adam"), 1)[0])
    rows.insert(1, ("Adam, first step, in float32", single, ""))
    decay = Named("exponential_decay", initial_learning_rate=0.1, decay_steps=10, decay_rate=0.9)
    theirs = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    rows.append(
        (
            "ExponentialDecay(0.1, 10, 0.9), rate of step 3",
            share(float(theirs(3)), 0.1 * 0.9**0.3),
            share(float(named.schedule(decay, "float64")(3)), 0.1 * 0.9**0.3),
        )
    )
    one = tf.constant([1.0], "float64")
    rows.append(
        (
            "L1(0.01), penalty",
            share(float(keras.regularizers.L1(0.01)(one)), 0.01),
            share(float(named.regularizer("l1", "float64")(one)), 0.01),
        )
    )
    assert figures("4. A trap: hyperparameters go through float32") == text(
        f"{'':55}error as a share of the step",
        f"{'':52}{'as floats':>12}{'as float64 tensors':>22}",
        *(f"{title:52}{floats:>12}{tensors:>22}" for title, floats, tensors in rows),
    )


def schedule_free(count: int, rate: float = 0.1, beta_1: float = 0.9) -> list[float]:
    """The weight after each step of the algorithm, for a gradient of 1: the scaled gradient is 1 too."""
    x = y = z = 1.0
    found = []
    for t in range(1, count + 1):
        z = z - rate
        x = (1 - 1 / t) * x + z / t
        y = (1 - beta_1) * z + beta_1 * x
        found.append(y)
    return found


def test_schedule_free_adamw_averages_the_wrong_iterates(figures: Figures) -> None:
    """The first step agrees with the algorithm and the others do not; reading the new z for the old one
    gives Keras's numbers.
    """
    made = load().keras.optimizers.ScheduleFreeAdamW(0.1)
    theirs = 1 + np.cumsum(keras_steps(made, 4, gradient=1.0))
    z, y, mistaken = 1.0, 1.0, []
    for t in range(1, 5):
        z = z - 0.1
        x = (1 - 1 / t) * (y - 0.1 * z) / 0.9 + z / t
        y = 0.1 * z + 0.9 * x
        mistaken.append(y)
    assert theirs == pytest.approx(mistaken, abs=1e-7)
    assert figures("5. ScheduleFreeAdamW averages the wrong iterates") == text(
        f"{'':42}" + "".join(f"{f'step {t}':>11}" for t in range(1, 5)),
        f"{'Keras':42}" + "".join(f"{w:11.6f}" for w in theirs),
        f"{'the algorithm':42}" + "".join(f"{w:11.6f}" for w in schedule_free(4)),
    )


def test_relative_step_does_nothing(figures: Figures) -> None:
    """Adafactor takes the same steps with it and without."""
    lines = []
    for switch in (True, False):
        steps = keras_steps(load().keras.optimizers.Adafactor(0.9, relative_step=switch), 5)
        lines.append(f"relative_step={switch!s:9}" + "".join(f"{step:12.6f}" for step in steps))
    assert figures("6. Adafactor's relative_step does nothing") == text(*lines)


def test_orthogonal_regularizer_on_one_row_and_in_float64(figures: Figures) -> None:
    """It is NaN for one row and raises for float64; and "l1_l2" is no regularizer."""
    tf, keras = load()
    regularizers = keras.regularizers
    one = float(regularizers.orthogonal_regularizer()(tf.ones((1, 4))))
    with pytest.raises(tf.errors.InvalidArgumentError) as in_float64:
        regularizers.orthogonal_regularizer()(tf.ones((3, 4), "float64"))
    with pytest.raises(ValueError, match="l1_l2") as by_string:
        keras.layers.Dense(3, kernel_regularizer="l1_l2")
    assert figures("7. The orthogonal regularizer on one row, and in float64") == text(
        f"orthogonal_regularizer on (1, 4)               {one}",
        f"orthogonal_regularizer on (3, 4), float64      {in_float64.type.__name__}",
        f'kernel_regularizer="l1_l2"                     {by_string.type.__name__}',
    )
