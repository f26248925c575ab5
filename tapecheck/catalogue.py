"""The named cases, the thread's three models first. A new case is one more line.

A name is the case's id: the test id, the seed of its draws, and what `tapecheck check NAME` takes.
"""

from collections.abc import Sequence
from typing import Any

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
from reference_impl.spec import BadInput, did_you_mean, kind_of
from tapecheck.case import Case
from tapecheck.problem import Problem

MSE, MAE = "mean_squared_error", "mean_absolute_error"
BCE, CCE = "binary_crossentropy", "categorical_crossentropy"
SPARSE = "sparse_categorical_crossentropy"

L1_L2 = Named("l1_l2", l1=0.1, l2=0.2)
ORTHOGONAL = Named("orthogonal_regularizer", factor=0.3, mode="columns")
REGULARIZED: dict[str, Any] = {
    "kernel_regularizer": Named("l2", l2=0.1),
    "recurrent_regularizer": ORTHOGONAL,
    "bias_regularizer": Named("l1", l1=0.2),
    "activity_regularizer": L1_L2,
}

# fmt: off
CATALOGUE = (
    # The thread's models: one Dense kernel for all steps; the last step only; and what Flatten makes of it.
    Case("thread-sequences", Sequential([LSTM(8, return_sequences=True), Dense(1, activation="relu")]), 4, 3, 2),
    Case("thread-last-step", Sequential([LSTM(8), Dense(1, activation="relu")]), 4, 3, 2),
    Case("thread-flatten", Sequential([LSTM(8, return_sequences=True), Flatten(), Dense(1, activation="relu")]), 4, 3, 2),

    # Every head activation and loss, on all steps and on the last, in both dtypes.
    Case("sequences-linear-mse", Sequential([LSTM(6, return_sequences=True), Dense(2)]), 3, 7, 4, MSE),
    Case("sequences-linear-mse-float32", Sequential([LSTM(6, return_sequences=True), Dense(2)]), 3, 7, 4, MSE, "float32"),
    Case("sequences-linear-mae", Sequential([LSTM(6, return_sequences=True), Dense(2)]), 3, 7, 4, MAE),
    Case("sequences-linear-upstream", Sequential([LSTM(6, return_sequences=True), Dense(2)]), 3, 7, 4, None),
    Case("sequences-relu-mae-float32", Sequential([LSTM(6, return_sequences=True), Dense(3, activation="relu")]), 2, 7, 5, MAE, "float32"),
    Case("sequences-tanh-mse", Sequential([LSTM(5, return_sequences=True), Dense(3, activation="tanh")]), 4, 7, 2, MSE),
    Case("sequences-tanh-upstream-float32", Sequential([LSTM(5, return_sequences=True), Dense(3, activation="tanh")]), 4, 7, 2, None, "float32"),
    Case("sequences-sigmoid-bce", Sequential([LSTM(7, return_sequences=True), Dense(2, activation="sigmoid")]), 3, 7, 4, BCE),
    Case("sequences-sigmoid-bce-float32", Sequential([LSTM(7, return_sequences=True), Dense(2, activation="sigmoid")]), 3, 7, 4, BCE, "float32"),
    Case("sequences-softmax-cce", Sequential([LSTM(6, return_sequences=True), Dense(4, activation="softmax")]), 3, 7, 2, CCE),
    Case("sequences-softmax-cce-float32", Sequential([LSTM(6, return_sequences=True), Dense(4, activation="softmax")]), 3, 7, 2, CCE, "float32"),
    Case("sequences-softmax-mse", Sequential([LSTM(6, return_sequences=True), Dense(4, activation="softmax")]), 3, 7, 2, MSE),
    Case("last-step-linear-mse", Sequential([LSTM(5), Dense(3)]), 4, 7, 2, MSE),
    Case("last-step-linear-mse-float32", Sequential([LSTM(5), Dense(3)]), 4, 7, 2, MSE, "float32"),
    Case("last-step-linear-mae", Sequential([LSTM(5), Dense(3)]), 4, 7, 2, MAE),
    Case("last-step-linear-upstream", Sequential([LSTM(5), Dense(3)]), 4, 7, 2, None),
    Case("last-step-tanh-mae", Sequential([LSTM(6), Dense(2, activation="tanh")]), 5, 7, 3, MAE),
    Case("last-step-sigmoid-bce", Sequential([LSTM(6), Dense(3, activation="sigmoid")]), 5, 7, 4, BCE),
    Case("last-step-sigmoid-mse-float32", Sequential([LSTM(6), Dense(3, activation="sigmoid")]), 5, 7, 4, MSE, "float32"),
    Case("last-step-softmax-cce", Sequential([LSTM(7), Dense(5, activation="softmax")]), 6, 7, 3, CCE),
    Case("last-step-softmax-upstream", Sequential([LSTM(7), Dense(5, activation="softmax")]), 6, 7, 3, None),

    # Sizes: one and two steps, one sample, one feature, long sequences.
    Case("one-step", Sequential([LSTM(5, return_sequences=True), Dense(2)]), 3, 1, 4),
    Case("one-step-random-state", Sequential([LSTM(5), Dense(2)]), 3, 1, 4, initial_state="random"),
    Case("two-steps", Sequential([LSTM(4, return_sequences=True), Dense(3)]), 7, 2, 5),
    Case("one-sample", Sequential([LSTM(5, return_sequences=True), Dense(2, activation="tanh")]), 1, 7, 3),
    Case("two-samples-last-step", Sequential([LSTM(5), Dense(4)]), 2, 7, 3),
    Case("one-of-each", Sequential([LSTM(1), Dense(1)]), 1, 2, 1, initial_state="random"),
    Case("fifty-steps", Sequential([LSTM(6, return_sequences=True), Dense(3)]), 2, 50, 4),
    Case("fifty-steps-last-step-float32", Sequential([LSTM(6), Dense(3)]), 2, 50, 4, dtype="float32"),
    Case("fifty-samples", Sequential([LSTM(4, return_sequences=True), Dense(2, activation="sigmoid")]), 50, 7, 3, BCE),
    Case("square", Sequential([LSTM(3, return_sequences=True), Dense(3)]), 3, 4, 3, initial_state="random"),
    Case("strong-upstream", Sequential([LSTM(3, return_sequences=True), Dense(24)]), 4, 7, 5, None),
    Case("wide", Sequential([LSTM(32, return_sequences=True), Dense(10, activation="softmax")]), 8, 12, 16, CCE, "float32"),
    Case("past-ball-arithmetic", Sequential([LSTM(24, return_sequences=True), Dense(5)]), 7, 50, 12),

    # Initial states, no bias, the forget gate's bias, other activations inside the LSTM.
    Case("random-state", Sequential([LSTM(6, return_sequences=True), Dense(2)]), 3, 7, 4, initial_state="random"),
    Case("random-state-last-step", Sequential([LSTM(6), Dense(2, activation="relu")]), 5, 7, 4, initial_state="random"),
    Case("random-state-float32", Sequential([LSTM(6, return_sequences=True), Dense(2)]), 3, 7, 4, dtype="float32", initial_state="random"),
    Case("no-bias", Sequential([LSTM(5, use_bias=False, return_sequences=True), Dense(2, use_bias=False)]), 3, 7, 4),
    Case("no-forget-bias", Sequential([LSTM(5, unit_forget_bias=False), Dense(2)]), 3, 7, 4),
    Case("relu-inside", Sequential([LSTM(5, activation="relu", return_sequences=True), Dense(2)]), 3, 7, 4),
    Case("relu-inside-random-state", Sequential([LSTM(5, activation="relu"), Dense(3)]), 4, 7, 6, initial_state="random"),
    Case("sigmoid-inside", Sequential([LSTM(5, activation="sigmoid", recurrent_activation="tanh"), Dense(2)]), 3, 7, 4),
    Case("softmax-inside", Sequential([LSTM(5, activation="softmax", recurrent_activation="softmax"), Dense(2)]), 3, 7, 4),
    Case("hard-sigmoid-inside", Sequential([LSTM(5, activation="silu", recurrent_activation="hard_sigmoid", return_sequences=True), Dense(2)]), 3, 7, 4, initial_state="random"),
    Case("gelu-inside-float32", Sequential([LSTM(5, activation="gelu", return_sequences=True), Dense(3, activation="hard_silu")]), 3, 7, 4, dtype="float32"),
    Case("slopes-inside", Sequential([LSTM(5, activation=Named("elu", alpha=0.5), return_sequences=True), Dense(3, activation=Named("leaky_relu", negative_slope=0.1))]), 3, 7, 4),
    Case("linear-inside", Sequential([LSTM(5, activation=None, return_sequences=True), Dense(2)]), 3, 7, 4),

    # Regularizers: of weights and of outputs, on all steps, on the last, on the states, and behind a softmax.
    Case("regularized", Sequential([LSTM(4, return_sequences=True, **REGULARIZED), Dense(2, kernel_regularizer=L1_L2, activity_regularizer="l1")]), 3, 7, 5),
    Case("regularized-float32", Sequential([LSTM(4, **REGULARIZED), Dense(3, activation="softmax", activity_regularizer=ORTHOGONAL)]), 3, 7, 5, CCE, "float32"),
    Case("regularized-states", Sequential([LSTM(4, return_state=True, **REGULARIZED)]), 3, 7, 5),

    # Stacks, and what else a Sequential of these layers can be.
    Case("stacked", Sequential([LSTM(6, return_sequences=True), LSTM(5, return_sequences=True), Dense(2)]), 3, 7, 4),
    Case("stacked-last-step", Sequential([LSTM(6, return_sequences=True), LSTM(5), Dense(3, activation="softmax")]), 4, 7, 2, CCE),
    Case("stacked-random-state", Sequential([LSTM(3, return_sequences=True), LSTM(5), Dense(2)]), 4, 7, 6, initial_state="random"),
    Case("two-heads-deep", Sequential([LSTM(6), Dense(5, activation="tanh"), Dense(2)]), 3, 7, 4),
    Case("dense-below", Sequential([Dense(5, activation="tanh"), LSTM(6, return_sequences=True), Dense(2)]), 3, 7, 4),
    Case("no-head", Sequential([LSTM(6, return_sequences=True)]), 3, 7, 4),
    Case("sequence-to-sequence", Sequential([LSTM(6), RepeatVector(4), LSTM(5, return_sequences=True), TimeDistributed(Dense(3, activation="softmax"))]), 3, 7, 4, CCE),
    Case("activation-layers", Sequential([LSTM(5, return_sequences=True), Activation("tanh"), Dense(4), Activation("softmax")]), 3, 7, 6, CCE),

    # Masks: steps that do not count, given directly or found by Masking.
    Case("mask-random", Sequential([LSTM(5, return_sequences=True), LSTM(4), Dense(2)]), 4, 7, 3, initial_state="random", mask="random"),
    Case("mask-trailing-float32", Sequential([LSTM(5), Dense(2)]), 4, 7, 3, dtype="float32", mask="trailing"),
    Case("mask-leading-zero-output", Sequential([LSTM(5, return_sequences=True, zero_output_for_mask=True), LSTM(4), Dense(2)]), 4, 7, 3, initial_state="random", mask="leading"),
    Case("mask-interior-backwards", Sequential([LSTM(5, go_backwards=True, return_sequences=True), LSTM(4, unroll=True), Dense(2)]), 4, 7, 3, mask="interior"),
    Case("mask-whole-row", Sequential([LSTM(5), Dense(2, activation="tanh")]), 4, 7, 3, initial_state="random", mask="row"),
    Case("mask-upstream", Sequential([LSTM(5, return_sequences=True)]), 4, 7, 3, None, initial_state="random", mask="random"),
    Case("masking-layer", Sequential([Masking(-1.0), LSTM(5, return_sequences=True), Dense(4, activation="tanh"), LSTM(3), Dense(2)]), 4, 7, 3),

    # Time reversed, final states as outputs, states that go on to the next batch.
    Case("backwards", Sequential([LSTM(5, go_backwards=True, return_sequences=True), Dense(2)]), 3, 7, 4, initial_state="random"),
    Case("final-states", Sequential([LSTM(5, return_state=True)]), 3, 7, 4, initial_state="random"),
    Case("final-states-masked-float32", Sequential([LSTM(5, return_sequences=True, return_state=True)]), 3, 7, 4, None, "float32", mask="random"),
    Case("stateful", Sequential([LSTM(5, stateful=True, return_sequences=True), LSTM(4, stateful=True), Dense(2)]), 3, 7, 4, initial_state="random", batches=3),
    Case("stateful-reset", Sequential([LSTM(5, stateful=True), Dense(2)]), 3, 7, 4, initial_state="random", batches=4, resets=(2,)),

    # Dropout in training: the factors that Keras draws, one for all gates or one a gate; weights that Keras draws.
    Case("dropout", Sequential([LSTM(6, dropout=0.3, return_sequences=True), Dropout(0.4), Dense(2)]), 3, 7, 8, training=True),
    Case("dropout-by-gate", Sequential([LSTM(6, dropout=0.3, implementation=1), Dense(2)]), 3, 7, 8, training=True),
    Case("recurrent-dropout", Sequential([LSTM(6, recurrent_dropout=0.4, return_sequences=True), Dense(2)]), 3, 7, 4, initial_state="random", training=True),
    Case("both-dropouts-masked-float32", Sequential([LSTM(6, dropout=0.3, recurrent_dropout=0.3, go_backwards=True, seed=7), Dense(2)]), 3, 7, 8, dtype="float32", mask="random", training=True),
    Case("keras-initializers", Sequential([LSTM(5, kernel_initializer=Named("random_normal", stddev=0.7), recurrent_initializer="glorot_normal", bias_initializer="ones"), Dense(2, kernel_initializer="he_uniform")]), 3, 7, 4),

    # Losses with arguments and other reductions; weights of steps, samples and classes; a mask that reaches the loss.
    Case("huber-delta-sum", Sequential([LSTM(5, return_sequences=True), Dense(3)]), 4, 6, 2, Named("huber", delta=0.5, reduction="sum")),
    Case("bce-from-logits", Sequential([LSTM(5, return_sequences=True), Dense(3)]), 4, 6, 2, Named(BCE, from_logits=True, label_smoothing=0.1)),
    Case("sparse-labels-weighed", Sequential([LSTM(5, return_sequences=True), Dense(4, activation="softmax")]), 3, 7, 2, SPARSE, sample_weight="step"),
    Case("sparse-labels-ignored", Sequential([LSTM(5, return_sequences=True), Dense(4)]), 3, 7, 2, Named(SPARSE, from_logits=True, ignore_class=-1), mask="random"),
    Case("focal-weighed-float32", Sequential([LSTM(5), Dense(3, activation="softmax")]), 6, 7, 2, Named("categorical_focal_crossentropy", alpha=(0.1, 0.2, 0.7)), "float32", sample_weight="sample"),
    Case("class-weights", Sequential([LSTM(5), Dense(3, activation="softmax")]), 6, 7, 2, CCE, class_weight={0: 0.5, 2: 3.0}),
    Case("masked-weighed-tversky", Sequential([LSTM(5, return_sequences=True), Dense(3, activation="sigmoid")]), 4, 7, 2, Named("tversky", alpha=0.3, axis=-1), mask="random", sample_weight="sample"),
    Case("circle-weighed", Sequential([LSTM(5), Dense(4)]), 6, 7, 2, Named("circle", gamma=4.0), sample_weight="sample"),
    Case("ctc-float32", Sequential([LSTM(5, return_sequences=True), Dense(4)]), 3, 8, 2, "ctc", "float32"),
)

# Where Keras itself is off, in the versions that docs/findings.md names: run by name, never among the others.
KERAS_OFF = (
    Case("keras-sparsemax", Sequential([LSTM(4, return_sequences=True), Dense(5, activation="sparsemax")]), 3, 7, 4),
    Case("keras-celu-at-zero", Sequential([LSTM(5, activation="celu", recurrent_activation="relu", return_sequences=True), Dense(2)]), 3, 5, 4),
    Case("keras-unrolled-backwards", Sequential([LSTM(4, return_sequences=True, go_backwards=True, unroll=True, zero_output_for_mask=True)]), 4, 7, 3, None, mask="random"),
)
# fmt: on


def named(names: Sequence[str]) -> list[Case]:
    """The cases of the catalogue by name. Raises BadInput that lists every unknown one."""
    known = {case.name: case for case in (*CATALOGUE, *KERAS_OFF)}
    unknown = [f"no case is named {name!r}{did_you_mean(name, known)}" for name in names if name not in known]
    if unknown:
        raise BadInput("this list of names", [f"{problem} (see `tapecheck list`)" for problem in unknown])
    return [known[name] for name in dict.fromkeys(names)]


def taken(case: object) -> Case | Problem:
    """The case to check: a Case, a Problem, or the name of one in the catalogue. Raises BadInput."""
    if isinstance(case, str):
        (case,) = named([case])
    if isinstance(case, Case | Problem):
        return case
    raise BadInput(
        "this case",
        [f"it is {kind_of(case)}, but should be a Case, a Problem, or the name of a case (`tapecheck list`)"],
    )


def cases(*chosen: Case | str) -> Any:
    """`@tapecheck.cases(...)`: run a test that takes `case` once for each, under the case's name.

    `chosen` are cases of your own and names of the catalogue; without any, the whole catalogue.
    Raises BadInput for unknown names.
    """
    import pytest

    names = [one for one in chosen if isinstance(one, str)]
    own = [one for one in chosen if isinstance(one, Case)]
    everything = [*named(names), *own] if chosen else CATALOGUE
    return pytest.mark.parametrize("case", everything, ids=lambda case: case.name)
