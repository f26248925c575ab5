"""Training runs: every optimizer and option in NumPy, in Keras and exactly, and what a bad run is told."""

from dataclasses import replace

import numpy as np
import pytest

import tf_oracle
from reference_impl import LSTM, BadInput, Dense, Named, Sequential
from reference_impl.optimizers import OPTIMIZERS
from tapecheck import Case, check_training, exact
from tapecheck.training import TrainingMismatch, shipped

MODEL = Sequential([LSTM(3, return_sequences=True), Dense(2)])
CASES = {dtype: Case("training", MODEL, 3, 2, 5, dtype=dtype) for dtype in ("float32", "float64")}
CASE = CASES["float64"]

START = {"initial_learning_rate": 0.1, "decay_steps": 1.5}
RESTARTS = {"initial_learning_rate": 0.1, "first_decay_steps": 1}
PIECES = {"boundaries": [0, 1], "values": [0.1, 0.3, 0.2]}
RUNS = [
    # With their defaults, but for two: float32 cannot tell Adadelta's step of 1e-7 from none, and of Ftrl,
    # which divides a difference of roots by the rate, it keeps too few digits.
    *sorted(OPTIMIZERS.keys() - {"adadelta", "ftrl"}),
    Named("sgd", learning_rate=0.5, momentum=0.9),
    Named("sgd", learning_rate=1, momentum=0.9, nesterov=True, weight_decay=0.1),
    Named("sgd", learning_rate=0.5, clipnorm=0.1),
    Named("sgd", learning_rate=0.5, clipvalue=0.02),
    Named("sgd", learning_rate=0.5, global_clipnorm=0.1),
    Named("sgd", learning_rate=Named("exponential_decay", **START, decay_rate=0.5)),
    Named("sgd", learning_rate=Named("inverse_time_decay", **START, decay_rate=0.5, staircase=True)),
    Named("sgd", learning_rate=Named("polynomial_decay", **START, power=2)),
    Named("sgd", learning_rate=Named("cosine_decay", **START, warmup_target=0.4, warmup_steps=1)),
    Named("sgd", learning_rate=Named("cosine_decay_restarts", **RESTARTS)),
    Named("sgd", learning_rate=Named("piecewise_constant_decay", **PIECES)),
    Named("rmsprop", learning_rate=0.05, momentum=0.8, centered=True, global_clipnorm=0.2),
    Named("adam", learning_rate=0.05, amsgrad=True, clipnorm=0.1),
    Named("adamw", learning_rate=Named("cosine_decay", **START), weight_decay=0.2),
    Named("adagrad", learning_rate=0.2, initial_accumulator_value=0, weight_decay=0.1),
    Named("adadelta", learning_rate=1.0),
    Named("ftrl", learning_rate=0.1, l1_regularization_strength=0.01, beta=0.2),
    Named("ftrl", learning_rate=0.1, l2_regularization_strength=0.1, learning_rate_power=-0.7),
    Named("ftrl", learning_rate=0.1, l2_shrinkage_regularization_strength=0.1),
    Named("adafactor", learning_rate=0.9, clip_threshold=0.5, relative_step=False),
    Named("lion", learning_rate=0.01, beta_1=0.5, weight_decay=0.1),
]


@pytest.mark.parametrize("dtype", CASES)
@pytest.mark.parametrize("optimizer", RUNS, ids=repr)
def test_every_optimizer_is_keras_s(optimizer, dtype):
    """Weights after each of three steps are Keras's, as accurate as Keras's own.

    But for Nadam in float64, where Keras rounds a constant of its own to float32: nothing can be proven
    on its word (docs/findings.md).
    """
    report = check_training(CASES[dtype], optimizer, 3)
    print(report)
    if (optimizer, dtype) == ("nadam", "float64"):
        assert report.verdict == "inconclusive"
        assert "TensorFlow itself is off here" in str(report)
    else:
        report.assert_passed()


CONSTRAINTS = [
    {"kernel_constraint": "max_norm", "recurrent_constraint": "unit_norm", "bias_constraint": "non_neg"},
    {
        "kernel_constraint": Named("min_max_norm", min_value=0.9, max_value=1.1, rate=0.4, axis=1),
        "recurrent_constraint": Named("max_norm", max_value=0.7, axis=[0, 1]),
        "bias_constraint": "max_norm",
        "recurrent_regularizer": "orthogonal_regularizer",
        "activity_regularizer": "l1",
    },
]


@pytest.mark.parametrize("dtype", CASES)
@pytest.mark.parametrize("arguments", CONSTRAINTS)
def test_constraints_and_regularizers_are_keras_s(arguments, dtype):
    """Keras's own constraints, on its own variables, and its penalties in the loss, give the same weights."""
    layers = [LSTM(3, **arguments), Dense(2, kernel_constraint="non_neg", kernel_regularizer="l2")]
    case = Case("constrained", Sequential(layers), 3, 2, 5, dtype=dtype)
    check_training(case, Named("sgd", learning_rate=0.5, momentum=0.9), 3).assert_passed()


def test_report_of_a_run_that_passes():
    """It says how many steps agree, who was compared, and how near each step came to its limit."""
    lines = str(check_training(CASE, Named("sgd", momentum=0.9), 12)).splitlines()
    assert lines[0] == "passed: all weights agree after each of 12 steps [training]"
    assert lines[1] == "  Named('sgd', momentum=0.9), 12 steps on one batch, float64"
    assert lines[3].startswith("  reference_impl against TensorFlow")
    assert lines[4].startswith("  errors of the weights in eps of scale, against ball arithmetic (radius <")
    assert [line.split()[:2] for line in lines[6:]] == [["ok", step] for step in ("1", "2", "5", "10", "12")]


def test_long_runs_are_exact_in_longdouble(monkeypatch):
    """Past the multiply-adds that balls are good for, the exact run is in longdouble, with a radius. The
    steps count: four of them pass here, five do not.
    """
    monkeypatch.setattr(exact, "BALL_LIMIT", 4 * exact.multiply_adds(MODEL, CASE.input_shape))
    assert check_training(CASE, "adam", 4).exact.arithmetic == "ball arithmetic"
    report = check_training(CASE, "adam", 5)
    report.assert_passed()
    assert report.exact.arithmetic == "longdouble"
    assert 0 < report.exact.radius < 1e-15


# ---- what cannot be proven


def test_steps_below_the_limit_prove_nothing():
    """A program that never moves a weight would agree as well."""
    report = check_training(CASE, Named("sgd", learning_rate=1e-14), 2)
    assert report.verdict == "inconclusive"
    assert "its steps are smaller than the limit, which proves nothing" in str(report)


def test_no_step_at_all_proves_nothing():
    """With all gradients zero, as of a dead relu head, every program is right."""
    problem = CASE.problem()
    problem = replace(problem, y=0 * problem.y, case=replace(CASE, loss=None))
    report = check_training(problem, "sgd", 2)
    assert str(report).startswith("inconclusive: no weight moves at all")


def test_run_that_loses_its_digits_proves_nothing():
    """Steps so long that float32 loses its digits: said, with the step from which it is so. The steps
    before it are proven.
    """
    report = check_training(CASES["float32"], Named("sgd", learning_rate=10.0), 7)
    assert report.verdict == "inconclusive"
    assert "- from step 6 on nothing is proven: " in str(report)
    assert all(tensor.passed for step in report.steps[:5] for tensor in step.values())


def test_run_that_overflows_is_refused():
    """Infinite weights cannot be compared: the user is told at which step, and why."""
    with pytest.raises(BadInput, match="weights overflow at step 2: the learning rate is too large"):
        check_training(CASES["float32"], Named("sgd", learning_rate=1e25), 4)


def off(train):
    """A training loop whose weights are then off by a millionth."""
    return lambda *run: [{name: w * (1 + 1e-6) for name, w in weights.items()} for weights in train(*run)]


def test_keras_is_not_above_suspicion(monkeypatch):
    """Where Keras itself is off, a right program is not passed on its word, and not failed either; a
    wrong one still is.
    """
    monkeypatch.setattr(tf_oracle, "train", off(tf_oracle.train))
    assert check_training(CASE, "sgd", 2).verdict == "inconclusive"
    assert check_training(CASE, "sgd", 2, off(shipped)).verdict == "failed"


# ---- bad input and bad answers


def test_bad_input_is_refused_at_once():
    """Everything wrong with case, optimizer and steps is said together, before anything runs."""
    with pytest.raises(BadInput) as caught:
        check_training(CASE.model, "Adam", 0)
    assert len(caught.value.problems) == 3
    assert "it is a Sequential, but should be a Case" in str(caught.value)
    assert "did you mean 'adam'?" in str(caught.value)


def renamed(*run):
    """A loop that calls a weight by a name of its own, beside the right one."""
    return ({"lstm/kern": weights["lstm/kernel"], **weights} for weights in shipped(*run))


def in_float32(*run):
    """A loop that trains in the problem's dtype, and returns float32."""
    return ({name: w.astype("float32") for name, w in weights.items()} for weights in shipped(*run))


@pytest.mark.parametrize(
    ("loop", "said"),
    [
        (lambda *run: None, "raised TypeError: 'NoneType' object is not iterable"),
        (lambda *run: [1, 2], "step 1 is an int, but should be a dict of weights by tensor name"),
        (
            lambda *run: [run[0].weights],
            "1 dicts of weights were given, but should be 2, one after",
        ),
        (lambda *run: [{}] * 3, "more than 2 dicts of weights were given"),
        (lambda *run: [{}] * 2, "no weight was returned"),
        (lambda *run: [run[0].weights] * 2, "is the same array after step 1 and step 2"),
        (lambda *run: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (renamed, "lstm/kern is no weight of this model; did you mean 'lstm/kernel'?"),
        (in_float32, "weights part at step 1 in lstm/kernel, which is float32, but should be float64"),
    ],
)
def test_what_is_no_training_loop_is_said(loop, said):
    """Whatever it raises or returns instead of weights is in the report, which fails."""
    report = check_training(CASE, "sgd", 2, loop)
    assert report.verdict == "failed"
    assert said in str(report)
    with pytest.raises(TrainingMismatch, match="mismatch"):
        report.assert_passed()


def test_missing_weight_is_not_passed():
    """Weights that are left out are named, and the run proves nothing of them."""

    def partly(*run):
        for weights in shipped(*run):
            yield {name: w for name, w in weights.items() if name != "dense/bias"}

    report = check_training(CASE, "sgd", 2, partly)
    assert str(report).startswith("inconclusive: dense/bias: this weight was not returned")


def test_weights_written_in_place_are_copied_as_they_are_yielded():
    """A loop may update its arrays in place and yield the same dict every time."""

    def in_place(problem, optimizer, steps):
        for weights in shipped(problem.copy(), optimizer, steps):
            for name, w in weights.items():
                problem.weights[name][...] = w
            yield problem.weights

    check_training(CASE, "sgd", 3, in_place).assert_passed()


def test_a_loop_that_writes_and_prints():
    """What it prints is in the report, what it does to its problem is not in the comparison."""

    def noisy(problem, optimizer, steps):
        print("training")
        found = list(shipped(problem, optimizer, steps))
        problem.weights.clear()
        problem.x[...] = np.nan
        return found

    report = check_training(CASE, "sgd", 2, noisy)
    assert report.passed
    assert "it printed 1 lines" in str(report)
