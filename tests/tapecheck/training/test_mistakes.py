"""Planted mistakes of training loops: each is detected, at the step at which it first tells, and named.

The loops are written as people write them, and share no line with the rules that they are checked by.
"""

import ast

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Named, Sequential
from reference_impl.training import train
from tapecheck import Case, check_training
from tapecheck.training.mistakes import mistakes, reproducing
from tapecheck.training.rules import LINES
from tapecheck.training.runs import gradient_of, textbook_run

CASE = Case("mistakes", Sequential([LSTM(3, return_sequences=True), Dense(2)]), 3, 2, 5)


def loop(update, clip=lambda gradients: gradients):
    """A training loop of `update(w, g, s, t)`: it returns the new weight and may write into the dict s."""

    def train(problem, optimizer, steps):
        weights, kept = dict(problem.weights), {name: {} for name in problem.weights}
        for t in range(1, steps + 1):
            _, gradients = problem.model.loss_and_gradients(weights, problem.x, problem.y, loss=problem.loss)
            gradients = clip({name: gradients[name] for name in weights})
            weights = {name: update(w, gradients[name], kept[name], t) for name, w in weights.items()}
            yield weights

    return train


def momentum(w, g, s, t, look_ahead=False, rate=0.1, share=0.9):
    """Stochastic gradient descent with a velocity, and Nesterov's look ahead."""
    s["v"] = share * s.get("v", 0) - rate * g
    return w + (share * s["v"] - rate * g if look_ahead else s["v"])


def adam(w, g, s, t, corrected=True, epsilon="outside", decay=0.0, coupled=0.0, lag=0, rate=0.001):
    """Adam, with its epsilon in one of three places and weight decay in one of two."""
    g = g + coupled * w
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
    b1, b2 = (1 - 0.9 ** (t + lag), 1 - 0.999 ** (t + lag)) if corrected else (1, 1)
    below = {
        "outside": (np.sqrt(s["v"]) + 1e-7) / np.sqrt(b2),
        "inside": np.sqrt(s["v"] + 1e-7) / np.sqrt(b2),
        "paper": np.sqrt(s["v"] / b2) + 1e-7,
    }
    return w - decay * w - rate * (s["m"] / b1) / below[epsilon]


def rmsprop(w, g, s, t, inside=True):
    """RMSprop, with its epsilon inside or outside the root."""
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g**2
    return w - 0.001 * g / (np.sqrt(s["v"] + 1e-7) if inside else np.sqrt(s["v"]) + 1e-7)


def adagrad(w, g, s, t, start=0.1):
    """Adagrad, with what its sum of squares starts from."""
    s["v"] = s.get("v", start) + g**2
    return w - 0.001 * g / np.sqrt(s["v"] + 1e-7)


def each_to(limit):
    """Gradients scaled down one by one."""
    return lambda gradients: {n: g * min(1, limit / np.linalg.norm(g)) for n, g in gradients.items()}


def together_to(limit):
    """Gradients scaled down together."""

    def clip(gradients):
        norm = np.sqrt(sum(np.sum(g**2) for g in gradients.values()))
        return {name: g * min(1, limit / norm) for name, g in gradients.items()}

    return clip


def with_rates(*rates):
    """Gradient descent with a rate for each step."""
    return loop(lambda w, g, s, t: w - rates[t - 1] * g)


def using(update, **how):
    """The loop of an update with some of its arguments given."""
    return loop(lambda w, g, s, t: update(w, g, s, t, **how))


SGD = Named("sgd", learning_rate=0.1)
MOMENTUM = Named("sgd", learning_rate=0.1, momentum=0.9)
NESTEROV = Named("sgd", learning_rate=0.1, momentum=0.9, nesterov=True)
ADAMW = Named("adamw", weight_decay=0.1)
CLIPPED = Named("sgd", learning_rate=0.1, global_clipnorm=0.2)
HALVING = Named("exponential_decay", initial_learning_rate=0.1, decay_steps=1, decay_rate=0.5)
HALVED = Named("sgd", learning_rate=HALVING)
PIECES = Named("sgd", learning_rate=Named("piecewise_constant_decay", boundaries=[2], values=[0.1, 0.3]))
EARLY, LATE = "the rate of step t, one too far", "the rate of step t - 2, one too late"


def descent(w, g, s, t):
    """Plain gradient descent."""
    return w - 0.1 * g


RIGHT = {
    "sgd": (SGD, loop(descent)),
    "momentum": (MOMENTUM, using(momentum)),
    "nesterov": (NESTEROV, using(momentum, look_ahead=True)),
    "adam": ("adam", using(adam)),
    "adamw": (ADAMW, using(adam, decay=0.1 * 0.001)),
    "rmsprop": ("rmsprop", using(rmsprop)),
    "adagrad": ("adagrad", using(adagrad)),
    "global norm": (CLIPPED, loop(descent, together_to(0.2))),
    "schedule": (HALVED, with_rates(0.1, 0.05, 0.025, 0.0125)),
    "piecewise": (PIECES, with_rates(0.1, 0.1, 0.1, 0.3)),
}

# What was planted, the step at which it first tells, and what the report calls it.
WRONG = {
    "the poster's w += alpha * gradient": (SGD, loop(lambda w, g, s, t: w + 0.1 * g), 1, "w = w + rate * g"),
    "summed over the batch": (SGD, loop(lambda w, g, s, t: w - 0.1 * 3 * g), 1, "g times B"),
    "momentum forgotten": (MOMENTUM, loop(descent), 2, "momentum=0.0"),
    "dampened momentum": (
        MOMENTUM,
        using(momentum, rate=0.01),
        1,
        "m = momentum * s['m'] - (1 - momentum) * rate * g",
    ),
    "Nesterov forgotten": (NESTEROV, using(momentum), 1, "nesterov=False"),
    "Nesterov not asked for": (MOMENTUM, using(momentum, look_ahead=True), 1, "nesterov=True"),
    "no bias correction": ("adam", using(adam, corrected=False), 1, "alpha = rate"),
    "steps counted from 2": ("adam", using(adam, lag=1), 1, "t + 1 for t"),
    "epsilon inside the root": (
        "adam",
        using(adam, epsilon="inside"),
        1,
        "w = w - alpha * m / np.sqrt(v_hat + epsilon)",
    ),
    "epsilon as in the paper": (
        "adam",
        using(adam, epsilon="paper"),
        1,
        "w = w - alpha * m / (np.sqrt(v_hat) + epsilon * (1 - beta_2 ** t) ** 0.5)",
    ),
    "nothing kept between steps": (
        "adam",
        loop(lambda w, g, s, t: adam(w, g, {}, t)),
        2,
        "started anew at every step",
    ),
    "epsilon outside the root": (
        "rmsprop",
        using(rmsprop, inside=False),
        1,
        "m = momentum * s['m'] + rate * g / (np.sqrt(v - mean ** 2) + epsilon)",
    ),
    "Adagrad from zero": ("adagrad", using(adagrad, start=0), 1, "initial_accumulator_value=0.0"),
    "weight decay coupled": (ADAMW, using(adam, coupled=0.1), 1, "g = g + weight_decay * w"),
    "weight decay forgotten": (ADAMW, using(adam), 1, "no weight decay"),
    "weight decay not times the rate": (ADAMW, using(adam, decay=0.1), 1, "w = w - weight_decay * w"),
    "clipped one by one": (CLIPPED, loop(descent, each_to(0.2)), 1, "each g scaled down to the norm 0.2"),
    "not clipped": (CLIPPED, loop(descent), 1, "gradients not clipped"),
    "schedule one step early": (HALVED, with_rates(0.05, 0.025, 0.0125, 0.00625), 1, EARLY),
    "boundary one step early": (PIECES, with_rates(0.1, 0.1, 0.3, 0.3), 3, EARLY),
    "boundary one step late": (PIECES, with_rates(0.1, 0.1, 0.1, 0.1), 4, LATE),
    "schedule forgotten": (HALVED, loop(descent), 2, "the rate of step 0 at every step"),
}


# A model with constraints and a penalty, and loops that know of them, or not.
LAYERS = [
    LSTM(3, kernel_constraint="unit_norm"),
    Dense(2, kernel_constraint="non_neg", bias_regularizer="l2"),
]
BOUND = Case("bound", Sequential(LAYERS), 3, 2, 5)


def bounded(name, w):
    """The constraints by hand."""
    if name == "lstm/kernel":
        return w / (1e-7 + np.linalg.norm(w, axis=0, keepdims=True))
    return np.maximum(w, 0) if name == "dense/kernel" else w


def free(name, w):
    """No constraint."""
    return w


def loop_of_bound(after=bounded, penalty=True):
    """Gradient descent with constraints after each step or without, with the penalty or without."""

    def train(problem, optimizer, steps):
        weights = dict(problem.weights)
        model = problem.model if penalty else Sequential([LSTM(3), Dense(2)])
        for _ in range(steps):
            _, gradients = model.loss_and_gradients(weights, problem.x, problem.y, loss=problem.loss)
            weights = {name: after(name, w - 0.1 * gradients[name]) for name, w in weights.items()}
            yield weights

    return train


@pytest.mark.parametrize(
    ("train", "step", "called"),
    [
        (loop_of_bound(), None, None),
        (loop_of_bound(after=free), 1, "no constraint"),
        (loop_of_bound(penalty=False), 1, "gradients of the loss without penalties"),
    ],
)
def test_constraints_and_penalties(train, step, called):
    """A loop that leaves a constraint or a penalty out is detected at its first step, and named."""
    report = check_training(BOUND, SGD, 3, train)
    assert report.passed == (step is None)
    assert (report.parting and report.parting.step) == step
    assert [mistake.wrong for mistake in report.mistakes[:1]] == ([called] if called else [])


@pytest.mark.parametrize("name", RIGHT)
def test_right_loops_pass(name):
    """The loops that the mistakes are planted into are right without them."""
    optimizer, train = RIGHT[name]
    check_training(CASE, optimizer, 4, train).assert_passed()


@pytest.mark.parametrize("name", WRONG)
def test_planted_mistake_is_detected_and_named(name):
    """It fails at the very step at which it first changes a weight, and the report says what was computed."""
    optimizer, train, step, called = WRONG[name]
    report = check_training(CASE, optimizer, 4, train)
    print(report)
    assert report.verdict == "failed"
    assert report.parting.step == step
    assert called in [mistake.wrong for mistake in report.mistakes][:2]
    assert f"you computed  {report.mistakes[0].wrong}" in str(report)
    assert max(map(len, str(report).splitlines())) <= 100


def test_sign_error_is_minus_one_times_the_exact_step():
    """The poster's loop: every weight's first step is the exact one with its sign turned, and the first line
    of the report says so.
    """
    report = check_training(CASE, SGD, 2, WRONG["the poster's w += alpha * gradient"][1])
    assert str(report).splitlines()[0].endswith("; w = w + rate * g [mistakes]")
    assert str(report).count("-1 x exact") == len(report.problem.weights)


def test_wrong_gradient_is_no_mistake_of_the_optimizer():
    """Where one tensor's gradient is wrong, that tensor alone parts, and no optimizer's mistake is blamed."""

    def wrong_bias(gradients):
        return gradients | {"dense/bias": gradients["dense/bias"] * [1, 0.9]}

    report = check_training(CASE, SGD, 3, loop(descent, wrong_bias))
    assert report.parting.step == 1
    assert [name for name, tensor in report.steps[0].items() if not tensor.passed] == ["dense/bias"]
    assert report.mistakes == ()


FULL = [
    Named("adamw", learning_rate=HALVING, weight_decay=0.1, global_clipnorm=0.2, epsilon=1e-3),
    Named("rmsprop", momentum=0.5, epsilon=1e-3, clipnorm=0.1),
]


def written_lines():
    """The equations that people write in place of a rule's own, as they are printed."""
    return {f"{name} = {ast.unparse(ast.parse(line))}" for lines in LINES.values() for name, line in lines}


@pytest.mark.parametrize("optimizer", FULL, ids=str)
def test_every_mistake_is_found_again(optimizer):
    """Each mistake that people make, run as a program, is one of those that reproduce it; one that changes
    nothing here is none of them. No mistake of the table is broken.
    """
    problem, steps = CASE.problem(), 2
    exact = list(textbook_run(problem, optimizer, steps, lambda array: array.astype(np.longdouble)))
    limits = [dict.fromkeys(problem.weights, 32.0)] * steps
    found_again = 0
    for mistake in mistakes(problem, problem, optimizer):
        if "optimizers.py" in mistake.right and mistake.wrong not in written_lines():
            continue  # an edit of the rule's source, of which there are many, as there are of factors
        if mistake.wrong.startswith("g times"):
            continue
        run = list(train(problem.weights, mistake.optimizer, steps, gradient_of(problem)))
        again = [other.wrong for other in reproducing(problem, optimizer, run, exact, limits)]
        assert mistake.wrong in again or again == []
        found_again += bool(again)
    print(f"{found_again} mistakes change the weights, and are found again")
    assert found_again >= 15
