"""Where Keras's losses, and the weights that `fit` gives them, do something else than documented.

`figures("heading")` is the text block that docs/findings.md shows under that heading.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference_impl import BadInput, Named
from reference_impl.losses import LOSSES
from reference_impl.spec import look_up
from tapecheck import Case
from tapecheck.catalogue import named
from tf_oracle.losses import keras_loss
from tf_oracle.start import load

Figures = Callable[[str], str]
DOUBLE = np.dtype("float64")


def row(title: str, *values: Any) -> str:
    """A line of a table."""
    return f"{title:48}" + "".join(f"{v:>14}" if isinstance(v, str) else f"{v:14.6f}" for v in values)


def losses() -> Any:
    """`keras.losses`."""
    return load().keras.losses


def test_tversky_exchanges_its_factors(figures: Figures) -> None:
    """`alpha` is documented for false positives, and counts what is missed."""
    labels = np.array([[1.0, 1, 1, 1, 0, 0, 0, 0]])
    three_false = np.array([[1.0, 1, 1, 1, 1, 1, 1, 0]])
    three_missed = np.array([[1.0, 0, 0, 0, 0, 0, 0, 0]])
    lines = [row("", "alpha=0.9", "alpha=0.1"), row("", "beta=0.1", "beta=0.9")]
    found = {}
    for title, outputs in (("3 false positives", three_false), ("3 false negatives", three_missed)):
        for alpha in (0.9, 0.1):
            loss = losses().Tversky(alpha=alpha, beta=1 - alpha, dtype="float64")
            found[title, alpha] = float(loss(labels, outputs))
        lines.append(row(title, found[title, 0.9], found[title, 0.1]))
    assert found["3 false positives", 0.9] == pytest.approx(1 - 4 / (4 + 0.1 * 3), rel=1e-6)
    assert found["3 false negatives", 0.9] == pytest.approx(1 - 1 / (1 + 0.9 * 3), rel=1e-6)
    assert figures("19. Tversky's alpha and beta are exchanged") == "\n".join(lines)


def of_three_samples(steps: int) -> tuple[Any, Any, Any]:
    """Targets and outputs (3, steps, 2), and one weight for each sample: only the first counts."""
    rng = np.random.default_rng(0)
    return (*rng.standard_normal((2, 3, steps, 2)), np.array([1.0, 0.0, 0.0]))


def test_weights_of_samples_run_along_the_time_axis(figures: Figures) -> None:
    """(B,) is multiplied along the last axis of (B, T): an error, unless there are as many steps."""
    tf = load().tf
    loss = losses().MeanSquaredError(dtype="float64")
    y_true, y, weight = of_three_samples(4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes"):
        loss(y_true, y, sample_weight=weight)

    y_true, y, weight = of_three_samples(3)
    values = ((y - y_true) ** 2).mean(axis=-1)  # (3, 3)
    lines = [
        row("sample_weight (3,)", float(loss(y_true, y, sample_weight=weight))),
        row("sample_weight (3, 1)", float(loss(y_true, y, sample_weight=weight[:, None]))),
        row("mean over all, first sample alone", values[0].sum() / 9),
        row("mean over all, first step alone", values[:, 0].sum() / 9),
    ]
    numbers = [line.split()[-1] for line in lines]
    assert numbers[0] == numbers[3] != numbers[1] == numbers[2]
    assert figures("20. One weight a sample runs along the time axis") == "\n".join(lines)


def test_mean_with_sample_weight_forgets_the_steps(figures: Figures) -> None:
    """Weights of one (3, 1) give T times the mean; weights of one for every step, or an idle mask, do not."""
    loss = losses().MeanSquaredError(reduction="mean_with_sample_weight", dtype="float64")
    y_true, y, _ = of_three_samples(4)
    masked = load().tf.constant(y)
    masked._keras_mask = load().tf.ones((3, 4), bool)
    ones = np.ones((3, 1))
    lines = [
        row("no weights", float(loss(y_true, y))),
        row("weights of one, (3, 4)", float(loss(y_true, y, np.ones((3, 4))))),
        row("weights of one, (3, 1)", float(loss(y_true, y, ones))),
        row("weights of one, (3, 1), and nothing masked", float(loss(y_true, masked, ones))),
    ]
    numbers = [float(line.split()[-1]) for line in lines]
    assert numbers[0] == numbers[1] == numbers[3]
    assert numbers[2] == pytest.approx(4 * numbers[0], rel=1e-6)
    assert figures("21. mean_with_sample_weight is a sum over the steps") == "\n".join(lines)


def test_class_weight_takes_steps_for_classes(figures: Figures) -> None:
    """Labels (B, T) are read as one-hot rows: the weight is that of the step with the largest label."""
    load()
    from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

    labels, by_class = np.array([[2, 0, 1], [0, 1, 0], [1, 0, 2]]), {0: 10.0, 1: 20.0, 2: 30.0}
    lines = [f"{'labels':24}{'weight':>10}"]
    weights = class_weight_to_sample_weights(labels, by_class)
    lines += [f"{label!s:24}{weight:10.1f}" for label, weight in zip(labels, weights, strict=True)]
    assert weights.tolist() == [by_class[int(label.argmax())] for label in labels]
    with pytest.raises(TypeError):
        class_weight_to_sample_weights(np.eye(3)[labels], by_class)
    assert figures("22. class_weight takes time steps for classes") == "\n".join(lines)


def test_ignore_class_gives_up_the_logits(figures: Figures) -> None:
    """A class to ignore, which no label has, changes a wrong answer's loss and ends its learning."""
    tf, keras = load()
    logits, label = tf.constant([[0.0, 30.0, 0.0]]), np.array([0.0])
    lines = [row("", "loss", "gradient")]
    for ignored in (None, -1):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = losses().SparseCategoricalCrossentropy(ignore_class=ignored)
            value = loss(label, keras.activations.softmax(logits))
        gradient = tape.gradient(value, logits).numpy()
        lines.append(row(f"ignore_class={ignored}", float(value), float(np.abs(gradient).max())))
    assert [line.split()[-1] for line in lines[1:]] == ["1.000000", "0.000000"]
    assert figures("23. ignore_class clips what was exact") == "\n".join(lines)


def test_losses_that_stay_in_float32(figures: Figures) -> None:
    """With dtype="float64" these still compute with a float32 number, or altogether in float32."""
    tf = load().tf
    rng = np.random.default_rng(0)
    labels, logits = np.eye(3)[[0, 2]], rng.standard_normal((2, 3))
    steps, sequence = rng.standard_normal((1, 5, 3)), np.array([[1.0, 2, 0, 0, 0]])
    alpha = (0.1, 0.2, 0.7)
    lines = [f"{'':48}{'loss':>10}{'gradient':>10}"]
    for title, loss, made, y_true, y in (
        ("LogCosh()", "log_cosh", losses().LogCosh, labels, logits),
        (
            "CategoricalFocalCrossentropy(alpha=[...])",
            Named("categorical_focal_crossentropy", alpha=alpha, from_logits=True),
            lambda dtype: losses().CategoricalFocalCrossentropy(
                alpha=list(alpha), from_logits=True, dtype=dtype
            ),
            labels,
            logits,
        ),
        ("CTC()", "ctc", losses().CTC, sequence, steps),
    ):
        outputs = tf.constant(y)
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = made(dtype="float64")(y_true, outputs)
        pairs = zip(
            (float(value), tape.gradient(value, outputs).numpy()),
            look_up(LOSSES, loss).value_and_gradient(y_true, y),
            strict=True,
        )
        shares = [float(np.max(np.abs(theirs - ours)) / np.max(np.abs(ours))) for theirs, ours in pairs]
        said = ["rounding" if share < 1e-14 else f"{share:.0e}" for share in shares]
        assert any(1e-9 < share < 1e-5 for share in shares)
        lines.append(f"{title:48}" + "".join(f"{each:>10}" for each in said))
    zero = np.zeros((1, 2))
    assert float(losses().LogCosh(dtype="float64")(zero, zero)) == pytest.approx(-1.9e-9, rel=0.01)
    assert float(keras_loss("log_cosh", DOUBLE)(zero, zero)) == 0
    assert figures("24. Losses that stay in float32") == "\n".join(lines)


def test_ctc_is_refused_in_float64() -> None:
    """There would be nothing to compare with."""
    (case,) = named(["ctc-float32"])
    with pytest.raises(BadInput, match="Keras computes it in float32"):
        Case("double", case.model, loss="ctc")


def test_overlap_takes_no_heed_of_mask_and_weights(figures: Figures) -> None:
    """One number for the batch is multiplied by the weights' mean, whichever sample they are of, and by the
    number of unmasked steps under "sum".
    """
    tf = load().tf
    rng = np.random.default_rng(0)
    y_true, y = rng.integers(2, size=(2, 4, 3)).astype(float), rng.uniform(size=(2, 4, 3))
    mask = np.array([[True, True, False, False], [True, False, False, False]])
    spoilt = np.where(mask[:, :, None], y_true, 1 - y_true)  # other labels at masked steps alone

    def dice(labels: Any, reduction: str = "sum_over_batch_size", **given: Any) -> float:
        outputs = tf.constant(y)
        if "mask" in given:
            outputs._keras_mask = tf.constant(given.pop("mask"))
        return float(losses().Dice(reduction=reduction, dtype="float64")(labels, outputs, **given))

    lines = [
        row("Dice()", dice(y_true)),
        row("  masked", dice(y_true, mask=mask)),
        row("  masked, other labels at masked steps", dice(spoilt, mask=mask)),
        row("  weights 2 and 0", dice(y_true, sample_weight=np.array([[2.0], [0.0]]))),
        row("  weights 0 and 2", dice(y_true, sample_weight=np.array([[0.0], [2.0]]))),
        row('  reduction="sum", masked', dice(y_true, "sum", mask=mask)),
    ]
    numbers = [float(line.split()[-1]) for line in lines]
    assert numbers[0] == numbers[1] == numbers[3] == numbers[4]
    assert numbers[2] != numbers[1]
    assert numbers[5] == pytest.approx(mask.sum() * numbers[0], rel=1e-6)
    assert figures("25. Dice and Tversky take no heed of the mask") == "\n".join(lines)
