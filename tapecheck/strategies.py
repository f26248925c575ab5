"""Hypothesis strategies for whole cases: every configuration that this project can check.

```
from hypothesis import given
from tapecheck.strategies import cases

@given(case=cases())
def test_mine(case):
    assert check(case, mine).verdict != "failed"
```

A failing case shrinks to the smallest one, and its `repr` is the line of Python that makes it. Needs
hypothesis, which comes with the `test` extra.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from reference_impl import (
    LSTM,
    Activation,
    Dense,
    Dropout,
    Flatten,
    Masking,
    Named,
    RepeatVector,
    Sequential,
    TimeDistributed,
)
from reference_impl.activations import ACTIVATIONS, activation_problems
from reference_impl.checks import DTYPES
from reference_impl.losses import LOSSES
from reference_impl.spec import Layer
from tapecheck.case import INITIAL_STATES, Case
from tapecheck.masks import MASKS

SIZES = st.integers(1, 5)
RATES = st.sampled_from([0.2, 0.5])

# Where Keras itself computes something else (docs/findings.md): no part of the draws.
KERAS_OFF = (None, "sparsemax")

# Names with arguments that are not Keras's defaults, beside every plain name of a table.
ACTIVATION_NAMES: list[Any] = [
    *(name for name in ACTIVATIONS if not activation_problems("activation", name) and name not in KERAS_OFF),
    Named("threshold", threshold=0.2, default_value=-0.5),
    Named("leaky_relu", negative_slope=0.1),
    Named("relu", max_value=1.0, negative_slope=0.1),
    Named("elu", alpha=0.5),
    Named("gelu", approximate=True),
]
LOSS_NAMES: list[Any] = [
    *LOSSES,
    Named("huber", delta=0.3),
    Named("mean_squared_error", reduction="sum"),
    Named("mean_absolute_error", reduction="mean_with_sample_weight"),
    Named("binary_crossentropy", from_logits=True, label_smoothing=0.1),
    Named("categorical_crossentropy", from_logits=True, label_smoothing=0.1),
]
REGULARIZER_NAMES: list[Any] = ["l1", "l2", Named("l1_l2", l1=0.02, l2=0.3)]
INITIALIZER_NAMES: list[Any] = ["glorot_normal", "he_uniform", Named("random_normal", stddev=0.5)]


def seldom(values: st.SearchStrategy[Any], otherwise: Any) -> st.SearchStrategy[Any]:
    """`otherwise`, Keras's default, three times of four; it is what an example shrinks to."""
    return st.one_of(st.just(otherwise), st.just(otherwise), st.just(otherwise), values)


def activations(default: str | None) -> st.SearchStrategy[Any]:
    """An activation by name, with or without arguments."""
    return seldom(st.sampled_from(ACTIVATION_NAMES), default)


@st.composite
def lstms(draw: st.DrawFn, *, return_sequences: bool, last: bool = False) -> LSTM:
    """An LSTM with any of its arguments."""
    units = draw(SIZES)
    penalty = seldom(st.sampled_from(REGULARIZER_NAMES), None)
    of_rows = [Named("orthogonal_regularizer", factor=0.1)] if units > 1 else []
    arguments = {
        "activation": draw(activations("tanh")),
        "recurrent_activation": draw(activations("sigmoid")),
        "use_bias": draw(seldom(st.just(False), True)),
        "unit_forget_bias": draw(seldom(st.just(False), True)),
        "kernel_initializer": draw(seldom(st.sampled_from(INITIALIZER_NAMES), "glorot_uniform")),
        "kernel_regularizer": draw(penalty),
        "recurrent_regularizer": draw(seldom(st.sampled_from([*REGULARIZER_NAMES, *of_rows]), None)),
        "bias_regularizer": draw(penalty),
        "activity_regularizer": draw(penalty),
        "dropout": draw(seldom(RATES, 0.0)),
        "recurrent_dropout": draw(seldom(RATES, 0.0)),
        "return_state": last and draw(seldom(st.just(True), False)),
        "go_backwards": draw(seldom(st.just(True), False)),
        "stateful": draw(seldom(st.just(True), False)),
        "unroll": draw(seldom(st.just(True), False)),
        "implementation": draw(seldom(st.just(1), 2)),
        "zero_output_for_mask": draw(seldom(st.just(True), False)),
    }
    if arguments["unroll"] and arguments["go_backwards"]:
        arguments["zero_output_for_mask"] = False  # there Keras is off (docs/findings.md, 9)
    return LSTM(units, **arguments, return_sequences=return_sequences)


@st.composite
def denses(draw: st.DrawFn) -> Dense:
    """A Dense layer with any of its arguments."""
    penalty = seldom(st.sampled_from(REGULARIZER_NAMES), None)
    return Dense(
        draw(SIZES),
        activation=draw(activations(None)),
        use_bias=draw(seldom(st.just(False), True)),
        kernel_regularizer=draw(penalty),
        bias_regularizer=draw(penalty),
        activity_regularizer=draw(penalty),
    )


@st.composite
def models(draw: st.DrawFn) -> Sequential:
    """A stack around one to three LSTMs: what stands below, between and above them is drawn too."""
    layers: list[Layer] = []
    if draw(seldom(st.just(True), False)):
        layers.append(Masking(draw(st.sampled_from([0.0, -1.0]))))
    if draw(seldom(st.just(True), False)):
        layers.append(draw(denses()))
    shape = draw(st.sampled_from(["last step", "sequences", "flattened", "sequence to sequence", "alone"]))
    if draw(seldom(st.just(True), False)):
        layers += [draw(lstms(return_sequences=True)), *draw(between())]
    if shape == "alone":
        layers.append(draw(lstms(return_sequences=draw(st.booleans()), last=True)))
        return Sequential(layers)
    layers.append(draw(lstms(return_sequences=shape in ("sequences", "flattened"))))
    layers += draw(between())
    if shape == "flattened":
        layers.append(Flatten())
    if shape == "sequence to sequence":
        layers += [RepeatVector(draw(st.integers(1, 4))), draw(lstms(return_sequences=True))]
    head = draw(denses())
    wrapped = shape.startswith("sequence") and head.activity_regularizer is None and draw(st.booleans())
    layers.append(TimeDistributed(head) if wrapped else head)
    if draw(seldom(st.just(True), False)):
        layers.append(Activation(draw(st.sampled_from(ACTIVATION_NAMES))))
    return Sequential(layers)


def between() -> st.SearchStrategy[Sequence[Layer]]:
    """Nothing, or what people put between two layers."""
    dropouts = st.builds(Dropout, RATES)
    shapes = st.builds(Activation, st.sampled_from(ACTIVATION_NAMES))
    return seldom(st.lists(st.one_of(dropouts, shapes, denses()), min_size=1, max_size=2), ())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A case that can be checked: a model, a loss that fits its head, sizes, masks, weights of samples."""
    model = draw(models())
    stateful = bool(model.stateful_names)
    case = Case(
        "drawn",
        model,
        batch=draw(st.integers(1, 4)),
        timesteps=draw(st.integers(1, 6)),
        features=draw(SIZES),
        loss=None,
        dtype=draw(st.sampled_from(DTYPES[::-1])),
        initial_state=draw(st.sampled_from(INITIAL_STATES)),
        seed=draw(st.integers(0, 3)),
        training=draw(st.booleans()),
        batches=draw(st.integers(1, 3)) if stateful else 1,
    )
    if draw(seldom(st.just(True), False)):
        case = replace(case, mask=draw(st.sampled_from([*MASKS])))
    if case.batches > 2:
        case = replace(case, resets=draw(st.sampled_from([(), (1,), (2,)])))
    masked = case.mask is not None or any(isinstance(layer, Masking) for layer in model.layers)
    fitting = [
        loss
        for loss in LOSS_NAMES
        if not replace_problems(case, loss=loss) and not (masked and loss == "ctc")  # no mask fits its values
    ]
    case = replace(case, loss=draw(st.sampled_from(fitting)))
    weights = [
        None,
        *(kind for kind in ("sample", "step") if not replace_problems(case, sample_weight=kind)),
    ]
    case = replace(case, sample_weight=draw(st.sampled_from(weights)))
    return replace(case, name=f"drawn-{zlib.crc32(repr(case).encode()):08x}")


def replace_problems(case: Case, **changes: Any) -> list[str]:
    """What would be wrong with the case after the changes."""
    changed = object.__new__(Case)
    vars(changed).update(vars(case) | changes)
    return changed.problems()
