"""The probes on trial: each classic mistake raises just the suspicions that are true, the right code none."""

import inspect
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Flatten, RepeatVector, Sequential
from reference_impl.textbook import lstm
from tapecheck import Case, Result
from tapecheck.exact import run_textbook
from tapecheck.localize import Divergence, copy_of, sequential
from tapecheck.probes import EXPERIMENTS, NOT_APPLICABLE, RIGHT, RULED_OUT, SUSPECT, derived, probe

EVERY_STEP = Case("probes", Sequential([LSTM(4, return_sequences=True), Dense(2)]), 3, 5, 3)
LAST_STEP = Case("probes-last", Sequential([LSTM(4), Dense(2)]), 3, 5, 3)
STACKED = Case("probes-stacked", Sequential([LSTM(3, return_sequences=True), LSTM(4), Dense(2)]), 3, 5, 4)


def edited(right, wrong):
    """An implementation: the textbook with one piece of its LSTM's source replaced."""
    source = inspect.getsource(lstm)
    assert source.count(right) == 1, right
    book, copy = copy_of(sequential), copy_of(lstm)
    exec(source.replace(right, wrong), vars(copy))
    vars(book)["lstm"] = copy

    def implementation(problem):
        run = run_textbook(problem, lambda array: array, book)
        return Result(run.gradients, run.output, run.loss)

    return implementation


def shipped(problem):
    """The right gradients, with the output."""
    p = problem
    output, loss, gradients = p.model.run(p, p.loss)
    return Result(gradients, output, loss)


def changed(change):
    """An implementation: `change(problem, gradients)` of the right gradients."""
    return lambda problem: change(problem, dict(shipped(problem).gradients))


def suspicions(implementation, case):
    """What each suspicious probe says, by name."""
    return {p.name: p.says for p in probe(implementation, case) if p.outcome == SUSPECT}


def outcomes(implementation, case):
    """Every probe's outcome by name."""
    return {p.name: p.outcome for p in probe(implementation, case)}


def divergence(found):
    """Where the dz that an experiment has read goes wrong first; None where it has read none."""
    return found.localization and found.localization.first_divergence


def same_suspicions(found, expected):
    """Exactly the expected probes are suspicious, and each says the expected words."""
    assert list(found) == list(expected)
    for name, words in expected.items():
        assert words in found[name], name


# ---- the right code


def random_case(rng, number):
    """Any case: one LSTM or two, every head and loss, every edge of B and T."""

    def lstm_spec(**arguments):
        acts = ["tanh", "tanh", "relu", "sigmoid", None]
        units, phi = int(rng.integers(1, 6)), acts[rng.integers(5)]
        sigma = "sigmoid" if rng.random() < 0.8 else "tanh"
        return LSTM(
            units, activation=phi, recurrent_activation=sigma, use_bias=bool(rng.random() < 0.8), **arguments
        )

    loss = [None, "mean_squared_error", "mean_squared_error", "mean_absolute_error", "binary_crossentropy"][
        rng.integers(5)
    ]
    below = [lstm_spec(return_sequences=True) for _ in range(rng.integers(2))]
    top = [[lstm_spec()], [lstm_spec(return_sequences=True)], [lstm_spec(return_sequences=True), Flatten()]]
    head = "sigmoid" if loss == "binary_crossentropy" else ["tanh", "softmax", None][rng.integers(3)]
    return Case(
        f"probes-{number}",
        Sequential([*below, *top[rng.integers(3)], Dense(int(rng.integers(2, 4)), activation=head)]),
        batch=int(rng.integers(1, 5)),
        timesteps=int(rng.integers(1, 7)),
        loss=loss,
        dtype=["float64", "float32"][rng.integers(2)],
        initial_state=["zeros", "random"][rng.integers(2)],
    )


@pytest.mark.parametrize("number", range(30))
def test_right_code_raises_no_suspicion(number):
    """On thirty random cases every probe of the shipped code and of the textbook is right, or not made."""
    case = random_case(np.random.default_rng(number), number)
    for implementation in (shipped, edited("c = f * c_prev + i * g", "c = i * g + f * c_prev")):
        found = probe(implementation, case)
        assert [str(p) for p in found if p.outcome not in (RIGHT, NOT_APPLICABLE)] == []
        assert {p.name: p.outcome for p in found}["one step"] == RIGHT


def test_every_probe_can_be_made():
    """On the plain case none is left out: what follows tests them all."""
    assert outcomes(shipped, EVERY_STEP) == dict.fromkeys(EXPERIMENTS, RIGHT)


# ---- wrong equations: the whole list of suspicions

RECURRENCE = "exact at T = 1, wrong at T = 2 before the last step: the recurrence (dh_next, dc_next)"
CUT = "exact with W_h = 0 and the forget gate closed: dh_next, dc_next or dz_f is wrong, nothing else"
BY_BLOCKS = (
    "H = W_h.shape[0]; dh_next = sum(dz[:, k : k + H] @ W_h[:, k : k + H] for k in range(0, 4 * H, H))"
)

EQUATIONS = {
    "c_t for c_prev": (
        ("df = dc * c_prev", "df = dc * c"),
        {
            "one step": "wrong at T = 1 in gate f: the step itself, not the recurrence",
            "f = 0": "dc_next = dc * f or dz_f is wrong",
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 4, in dz_f: dc * c_prev, times the derivative of gate f",
        },
        (4, "dz_f"),
    ),
    "forget gate's derivative left out": (
        ("dz_f = d_sigma(df, z_f, f)", "dz_f = df * f"),
        {
            "two steps": "wrong at T = 2 in gate f of the last step: dz_f, not the recurrence",
            "f = 0": "dc_next = dc * f or dz_f is wrong",
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 4, in dz_f",
        },
        (4, "dz_f"),
    ),
    "derivative of an activated value": (
        ("d_phi(dg, z_g, g)", "d_phi(dg, z_g, np.tanh(g))"),
        {
            "one step": "wrong at T = 1 in gate g: the step itself, not the recurrence",
            "dz": "first goes wrong at step 4, in dz_g",
        },
        (4, "dz_g"),
    ),
    "sigmoid's derivative left out": (
        ("d_sigma = activation(layer.recurrent_activation).backward", "d_sigma = lambda dy, z, y: dy * y"),
        {
            "one step": "wrong at T = 1 in gate i o: the step itself, not the recurrence",
            "dz": "first goes wrong at step 4, in dz_i, dz_f and dz_o: the derivative of their activation",
        },
        (4, "dz_i"),
    ),
    "no tanh derivative at the cell": (
        ("dc = d_phi(dh * o, c, phi_c) + dc_next", "dc = dh * o + dc_next"),
        {
            "one step": "wrong at T = 1 in gate i g: the step itself",
            "dz": "first goes wrong at step 4, in dc = dh * o * (1 - tanh(c)**2)",
        },
        (4, "dc"),
    ),
    "recurrent kernel not transposed": (
        ("dh_next = dz @ W_h.T", BY_BLOCKS),
        {
            "two steps": RECURRENCE,
            "W_h = 0": "exact with W_h = 0: dh_next = dz @ W_h.T is wrong",
            "W_h = 0, f = 0": CUT,
            "symmetric W_h": "exact with a symmetric W_h: dh_next = dz @ W_h.T lacks the transpose",
            "dz": "first goes wrong at step 3, in dh = dh_above + dh_next",
        },
        (3, "dh"),
    ),
    "recurrence not carried": (
        ("dh_next = dz @ W_h.T", "dh_next = 0 * dh"),
        {
            "two steps": RECURRENCE,
            "W_h = 0": "exact with W_h = 0: dh_next = dz @ W_h.T is wrong",
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 3, in dh = dh_above + dh_next",
        },
        (3, "dh"),
    ),
    "cell carry missing": (
        ("dc_next = dc * f", "dc_next = 0 * dc"),
        {
            "two steps": RECURRENCE,
            "f = 0": "exact with the forget gate closed: dc_next = dc * f or dz_f is wrong",
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 3, in dc = dh * o * (1 - tanh(c)**2) + dc_next",
        },
        (3, "dc"),
    ),
    "upstream at the last step only": (
        ("dh_above = dy[:, t]", "dh_above = dy[:, t] * (t == T - 1)"),
        {
            "last upstream": "that of the earlier steps, dh_above, does not arrive",
            "two steps": "or what an earlier step is given (dh_above, x_t, its gates)",
            "dz": "first goes wrong at step 3, in dh = dh_above + dh_next",
        },
        (3, "dh"),
    ),
    "stale cache": (
        ("= steps[t].values()", "= steps[-1].values()"),
        {
            "two steps": "the steps are not kept apart, or not added up",
            "dz": "dW_x of lstm holds x_t of step 4 only: overwritten, or one x read for all steps",
        },
        None,
    ),
    "x of the last step": (
        ("dW_x = dW_x + x_t.T @ dz", "dW_x = dW_x + steps[-1]['x_t'].T @ dz"),
        {
            "two steps": "wrong at T = 2 in lstm/kernel alone: how dz is added up, not the recurrence",
            "dz": "dz of lstm, read off dx, is right at every step, but dW_x holds x_t of step 4 only",
        },
        None,
    ),
    "kernel overwritten": (
        ("dW_x = dW_x + x_t.T @ dz", "dW_x = x_t.T @ dz"),
        {
            "two steps": "wrong at T = 2 in lstm/kernel alone: how dz is added up, not the recurrence",
            "dz": "is right at every step, but dW_x holds x_t of step 0 only: overwritten",
        },
        None,
    ),
    "recurrent kernel overwritten": (
        ("dW_h = dW_h + h_prev.T @ dz", "dW_h = h_prev.T @ dz"),
        {
            "two steps": "in lstm/recurrent_kernel alone: how dz is added up, not the recurrence",
            "dz": "is right at every step and gate, but dW_h = sum of h_prev.T @ dz is not",
        },
        None,
    ),
    "h_t for h_prev": (
        ("dW_h = dW_h + h_prev.T @ dz", "dW_h = dW_h + h.T @ dz"),
        {
            "one step": "in lstm/recurrent_kernel alone: how it is made from dz, not dz itself",
            "dz": "is right at every step and gate, but dW_h = sum of h_prev.T @ dz is not",
        },
        None,
    ),
    "bias copied from another gate": (
        ("db = db + dz.sum(axis=0)", "db = db + np.hstack([dz_i, dz_f, dz_g, dz_f]).sum(axis=0)"),
        {
            "one step": "wrong at T = 1 in lstm/bias alone: how it is made from dz, not dz itself",
            "dz": "is right at every step and gate, but db = sum of dz is not",
        },
        None,
    ),
    "bias averaged over the batch": (
        ("db = db + dz.sum(axis=0)", "db = db + dz.mean(axis=0)"),
        {
            "one row": "exact at B = 1: the gradient of a batch of 3 is divided by B once too often",
            "one step": "wrong at T = 1 in lstm/bias alone",
            "dz": "is right at every step and gate, but db = sum of dz is not",
        },
        None,
    ),
    "input gradient by the wrong kernel": (
        ("dx_t = dz @ W_x.T", "dx_t = (2 * dz) @ W_x.T"),
        {
            "handed on": "every weight is right, but x, dx_t = dz @ W_x.T, is not",
            "dz": "dz of lstm is right at every step and gate, but dx_t = dz @ W_x.T is not",
        },
        None,
    ),
    "a float32 buffer": (
        ("dz_g = d_phi(dg, z_g, g)", "dz_g = d_phi(dg, z_g, g).astype(np.float32).astype(float)"),
        {
            "precision": "wrong by no more than float32 rounds",
            "one step": "wrong at T = 1 in gate g",
            "dz": "first goes wrong at step 4, in dz_g",
        },
        (4, "dz_g"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "expected", "where"), EQUATIONS.values(), ids=EQUATIONS)
def test_wrong_equation(edit, expected, where):
    """Exactly the true suspicions, in true words, and the step and quantity of the first wrong dz."""
    implementation = edited(*edit)
    same_suspicions(suspicions(implementation, EVERY_STEP), expected)
    found = divergence(probe(implementation, EVERY_STEP)[-1])
    assert found == (Divergence("backward", "lstm", *where) if where else None)


@pytest.mark.parametrize(("edit", "expected", "where"), EQUATIONS.values(), ids=EQUATIONS)
def test_wrong_equation_is_found_without_dx(edit, expected, where):
    """Code that returns no gradient of x, as most does not: dz is read off the kernel's, to the same end."""
    implementation = edited(*edit)

    def weights_only(problem):
        return {name: g for name, g in implementation(problem).gradients.items() if name in problem.weights}

    found = {p.name: p for p in probe(weights_only, EVERY_STEP)}
    assert divergence(found["dz"]) == (Divergence("backward", "lstm", *where) if where else None)
    others = {name: p.says for name, p in found.items() if p.outcome == SUSPECT and name != "dz"}
    same_suspicions(
        others, {name: words for name, words in expected.items() if name not in ("dz", "handed on")}
    )


def test_last_steps_loss_at_every_step():
    """With return_sequences=False: wrong also where the steps are apart, so not the recurrence alone."""
    implementation = edited(
        "dy = np.stack([0 * dy] * (T - 1) + [dy], axis=1)", "dy = np.stack([dy] * T, axis=1)"
    )
    found = {p.name: p for p in probe(implementation, LAST_STEP)}
    assert found["two steps"].outcome == SUSPECT
    assert "what an earlier step is given (dh_above" in found["two steps"].says
    assert found["W_h = 0, f = 0"].outcome == RULED_OUT
    assert divergence(found["dz"]) == Divergence("backward", "lstm", 3, "dh")
    assert found["last upstream"].outcome == NOT_APPLICABLE


def test_initial_state_forgotten():
    """Right from rest, wrong from other states: not the recurrence, but the step that starts from them."""
    forgotten = edited("df = dc * c_prev", "df = dc * c_prev * (t > 0)")
    found = suspicions(forgotten, replace(EVERY_STEP, initial_state="random"))
    assert (
        found["two steps"] == "exact from initial states of zero: the step that starts from others is wrong"
    )
    assert found["dz"].startswith("dz of lstm first goes wrong at step 0, in dz_f")
    assert suspicions(forgotten, EVERY_STEP) == {}  # there is nothing to see from zero states


def test_wrong_only_past_two_steps():
    """dc_next with the next step's f is right at T = 2, where there is no middle step."""
    found = suspicions(edited("dc_next = dc * f", "dc_next = dc * steps[min(t + 1, T - 1)]['f']"), EVERY_STEP)
    assert (
        found["two steps"] == "exact at T = 2 and wrong at T = 5: what passes through a middle step is wrong"
    )
    assert found["dz"].startswith("dz of lstm first goes wrong at step 2, in dc")


def test_first_step_left_out():
    """Three steps of dz in dW_x are said to be, without a guess at why."""
    edit = ("dW_x = dW_x + x_t.T @ dz", "dW_x = dW_x + (t > 0) * x_t.T @ dz")
    assert suspicions(edited(*edit), EVERY_STEP)["dz"].endswith("dW_x holds x_t of the steps 1, 2, 3, 4 only")


def test_what_all_gates_share():
    """An upstream gradient that is wrong for the LSTM alone shows in every gate, and no gate is named."""
    found = suspicions(edited("dh_above = dy[:, t]", "dh_above = np.abs(dy[:, t])"), EVERY_STEP)
    assert (
        found["one step"]
        == "wrong at T = 1 in lstm/kernel and lstm/bias: what all gates share, or their order"
    )


def test_the_head_alone():
    """A head kernel that holds the last step only, and a stray 1/T: from the head on, not the recurrence."""

    def of_the_last_step(problem, gradients):
        steps = derived.steered(problem, np.eye(problem.x.shape[1])[-1][:, None])
        return gradients | {"dense/kernel": steps.reference.gradients["dense/kernel"]}

    def over_steps(problem, gradients):
        return {name: g / problem.x.shape[1] for name, g in gradients.items()}

    found = suspicions(changed(of_the_last_step), EVERY_STEP)
    assert found["last upstream"].endswith("that of the earlier steps, dlogits, does not arrive")
    already = "exact at T = 1, wrong at T = 2, and dense/kernel already: not the recurrence alone"
    assert found["two steps"] == already
    found = suspicions(changed(over_steps), EVERY_STEP)
    assert "every gradient is 0.2 times" in found["common factor"]
    assert found["two steps"] == already.replace("dense/kernel", "dense/kernel and dense/bias")


def test_what_is_ruled_out():
    """A missing cell carry is not the kernel's transpose, not dh_next, not the batch, not the loss."""
    edit, _, _ = EQUATIONS["cell carry missing"]
    found = outcomes(edited(*edit), EVERY_STEP)
    ruled_out = [name for name, outcome in found.items() if outcome == RULED_OUT]
    assert ruled_out == [
        *(
            "precision",
            "common factor",
            "free upstream",
            "last upstream",
            "one row",
            "W_h = 0",
            "symmetric W_h",
        )
    ]


@pytest.mark.parametrize(
    ("name", "equation"),
    [
        ("x", "dx_t = dz @ W_x.T"),
        ("lstm/initial_h", "dh_next = dz @ W_h.T of the first step"),
        ("lstm/initial_c", "dc_next = dc * f of the first step"),
    ],
)
def test_gradients_of_the_inputs_alone(name, equation):
    """Where only what is handed on is wrong, it is said what that is, and nothing else is suspected."""
    implementation = changed(lambda p, g: g | {name: 1.5 * g[name]})
    found = suspicions(implementation, replace(EVERY_STEP, initial_state="random"))
    assert found.pop("handed on") == (
        f"every weight is right, but {name}, {equation}, is not: what a step hands on, not its dz"
    )
    assert list(found) == (["dz"] if name == "x" else [])


def test_two_lstms():
    """In a stack a missing transpose shows as in one layer, first in the one nearest the loss."""
    edit, _, _ = EQUATIONS["recurrent kernel not transposed"]
    found = {p.name: p for p in probe(edited(*edit), STACKED)}
    assert found["symmetric W_h"].outcome == SUSPECT
    assert found["two steps"].says.startswith(RECURRENCE)
    assert divergence(found["dz"]) == Divergence("backward", "lstm_1", 3, "dh")


# The upper LSTM of STACKED has 4 units, in every problem derived from it; the lower one others.
IN_ONE_LAYER = {
    "upper dz_f": (("dc * c_prev", "dc * (c if layer.units == 4 else c_prev)"), ("lstm_1", 4, "dz_f")),
    "lower dz_f": (("dc * c_prev", "dc * (c_prev if layer.units == 4 else c)"), ("lstm", 4, "dz_f")),
    "upper dh_next": (("dz @ W_h.T", "dz @ W_h.T * (layer.units != 4)"), ("lstm_1", 3, "dh")),
    "lower dh_next": (("dz @ W_h.T", "dz @ W_h.T * (layer.units == 4)"), ("lstm", 3, "dh")),
    "upper dc_next": (("dc_next = dc * f", "dc_next = dc * f * (layer.units != 4)"), ("lstm_1", 3, "dc")),
    "lower gate at one step": (
        ("do = dh * phi_c", "do = dh * phi_c * (1 + (t == 2) * (layer.units != 4))"),
        ("lstm", 2, "dz_o"),
    ),
}


@pytest.mark.parametrize(("edit", "where"), IN_ONE_LAYER.values(), ids=IN_ONE_LAYER)
def test_the_wrong_layer_of_a_stack(edit, where):
    """A mistake in one LSTM of two is found in that one, at its step and quantity, without a trace."""
    found = {p.name: p for p in probe(edited(*edit), STACKED)}
    assert divergence(found["dz"]) == Divergence("backward", *where)


def test_sums_of_an_upper_layer():
    """Where dW_x of the upper LSTM is wrong and dz is not, that is said, and which steps have a share."""
    edit = ("dW_x = dW_x + x_t.T @ dz", "dW_x = x_t.T @ dz + (0 if layer.units == 4 else dW_x)")
    found = {p.name: p for p in probe(edited(*edit), STACKED)}
    assert found["dz"].says.startswith(
        "dz of lstm_1 is right, as its sums show, but dW_x holds x_t of step 0"
    )
    edit = ("db = db + dz.sum(axis=0)", "db = db + dz.sum(axis=0) * (1 + (layer.units == 4))")
    found = {p.name: p for p in probe(edited(*edit), STACKED)}
    assert found["dz"].says == "dz of lstm_1 is right at every step and gate, but db = sum of dz is not"


def test_a_right_bias_acquits_dz():
    """Without dx, where one gate's dW_x and dW_h are wrong and its db is right, its dz is right as well."""

    def implementation(problem):
        gradients = dict(problem.reference.gradients)
        H = problem.model.layers[0].units
        gradients = {name: g for name, g in gradients.items() if name in problem.weights}
        for name in ("lstm/kernel", "lstm/recurrent_kernel"):
            gradients[name] = gradients[name] * np.repeat([1, 1, 1, 1.0001], H)
        return gradients

    found = {p.name: p for p in probe(implementation, EVERY_STEP)}
    assert found["dz"].says.endswith("dW_x is not the sum of x_t.T @ dz and dW_h is wrong too")
    assert divergence(found["dz"]) is None


def test_a_layer_that_cannot_be_read_is_said():
    """Where the LSTM below has no bias to open its gates, the upper one is not read, and that is said."""
    layers = [LSTM(3, return_sequences=True, use_bias=False), LSTM(4), Dense(2)]
    case = Case("probes-unread", Sequential(layers), 3, 5, 4)
    found = {p.name: p for p in probe(edited(*IN_ONE_LAYER["lower dz_f"][0]), case)}
    assert "dz of lstm first goes wrong at step 4, in dz_f" in found["dz"].says
    assert "unread above it: lstm_1 (the layers below it do not let single steps through)" in found["dz"].says


def test_an_upper_layer_is_not_blamed_on_the_lower_one():
    """With a wrong head the first LSTM's dz is wrong from the last step on: from above."""
    found = {p.name: p for p in probe(changed(lambda p, g: {k: 2 * v for k, v in g.items()}), EVERY_STEP)}
    assert "dh_above (the loss, a layer above)" in found["dz"].says


# ---- wrong conventions


def clip_by_norm(problem, gradients):
    """The gradients with a common norm of at most 5."""
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    return {name: g / max(1, norm / 5) for name, g in gradients.items()}


CONVENTIONS = {
    "sum loss": (
        lambda p, g: {name: v * p.y.size for name, v in g.items()},
        {"common factor": "every gradient is 30 times the exact one: the loss is normalised differently"},
    ),
    "sign": (
        lambda p, g: {name: -v for name, v in g.items()},
        {"common factor": "every gradient has the opposite sign"},
    ),
    "mean over the batch": (
        lambda p, g: {name: v / len(p.x) for name, v in g.items()},
        {"common factor": "every gradient is 0.333333 times", "one row": "divided by B once too often"},
    ),
    "clipping by value": (
        lambda p, g: {name: np.clip(v, -1, 1) for name, v in g.items()},
        {"scaled upstream": "1000 dy does not give 1000 g: the backward pass clips or normalises"},
    ),
    "clipping by norm": (
        clip_by_norm,
        {"scaled upstream": "1000 dy does not give 1000 g: the backward pass clips or normalises"},
    ),
    "absolute values": (
        lambda p, g: {name: np.abs(v) for name, v in g.items()},
        {"negative upstream": "-dy does not give -g"},
    ),
    "weight decay": (
        lambda p, g: {name: v + 1e-3 * p.weights.get(name, 0) for name, v in g.items()},
        {"zero upstream": "a gradient without an upstream one"},
    ),
    "float32 throughout": (
        lambda p, g: {name: v.astype(np.float32).astype(p.dtype) for name, v in g.items()},
        {"precision": "wrong by no more than float32 rounds"},
    ),
}  # fmt: skip
SOUND = ("arrays", "repeat", "buffers", "inputs", "forward")


@pytest.mark.parametrize(("change", "expected"), CONVENTIONS.values(), ids=CONVENTIONS)
def test_wrong_convention(change, expected):
    """Of the probes of the upstream gradient and the batch just the true ones are suspicious."""
    found = suspicions(changed(change), EVERY_STEP)
    same_suspicions({k: v for k, v in found.items() if k not in ("one step", "dz")}, expected)


def test_wrong_loss_gradient_alone():
    """Right when dy is given, wrong with the loss: its own gradient, here without the 2."""

    def without_the_two(problem, gradients):
        factor = 1 if problem.loss is None else 0.5
        return {name: factor * g for name, g in gradients.items()}

    found = suspicions(changed(without_the_two), EVERY_STEP)
    assert found["free upstream"] == "exact when dy is given (loss=None): the loss's own gradient dy is wrong"


def test_another_forward_pass():
    """No tanh on the cell: the output says so, and where it is not returned the zero upstream gradient."""
    no_tanh = edited("phi_c = phi(c)", "phi_c = c")

    def without_output(problem):
        return no_tanh(problem).gradients

    found = suspicions(no_tanh, EVERY_STEP)
    assert found["forward"].startswith("the output is wrong already: compare the forward passes")
    assert "forward" not in suspicions(without_output, EVERY_STEP)
    assert "the forward pass is another one" in suspicions(without_output, EVERY_STEP)["zero upstream"]


# ---- code with a memory


def test_buffers_not_cleared():
    """A bias gradient that is added to that of the last call; nothing is concluded from what comes after."""
    kept = {}

    def accumulate(problem, gradients):
        key = problem.x.shape
        kept[key] = gradients["lstm/bias"] + kept.get(key, 0)
        return gradients | {"lstm/bias": kept[key]}

    found = probe(changed(accumulate), EVERY_STEP)
    assert [str(p) for p in found if p.outcome == SUSPECT] == [
        "repeat: suspect: the second answer differs in lstm/bias: something is kept between calls"
    ]
    assert [p.says for p in found[2:]] == ["nothing follows from it before 'repeat' is right"] * len(
        found[2:]
    )


def test_buffers_returned():
    """Gradients that the next call overwrites are said to be, and do not disturb the other probes."""
    kept = {}

    def reuse(problem, gradients):
        for name, g in gradients.items():
            kept.setdefault((name, g.shape), g)[...] = g
        return {name: kept[name, g.shape] for name, g in gradients.items()}

    found = outcomes(changed(reuse), EVERY_STEP)
    assert [name for name, outcome in found.items() if outcome != RIGHT] == ["buffers", "forward"]
    assert (found["buffers"], found["forward"]) == (SUSPECT, NOT_APPLICABLE)


def test_inputs_written_into():
    """A training step inside the call changes the weights, and only they are named."""

    def train(problem, gradients):
        for name, weight in problem.weights.items():
            weight -= 0.1 * gradients[name]
        return gradients

    assert suspicions(changed(train), EVERY_STEP) == {
        "inputs": "the call writes into lstm/kernel, lstm/recurrent_kernel, lstm/bias, dense/kernel and "
        "dense/bias: an in-place operator, or a training step"
    }


# ---- what cannot be probed


def test_unusable_arrays_come_first():
    """NaN and a wrong shape are said, and nothing else is."""
    found = suspicions(changed(lambda p, g: g | {"lstm/bias": g["lstm/bias"][None]}), EVERY_STEP)
    assert found == {"arrays": "lstm/bias has shape (1, 16), but should be (16,)"}
    found = suspicions(changed(lambda p, g: g | {"lstm/bias": g["lstm/bias"] * np.nan}), EVERY_STEP)
    assert found == {"arrays": "lstm/bias holds nan, first at [0]"}


def test_code_for_one_shape():
    """What it raises on other shapes makes those probes "not applicable", and the others still speak."""

    def only_this_shape(problem):
        if problem.x.shape != (3, 5, 3):
            raise IndexError("T is 5")
        return shipped(problem)

    found = {p.name: p for p in probe(only_this_shape, EVERY_STEP)}
    unasked = [name for name, p in found.items() if p.outcome == NOT_APPLICABLE]
    assert unasked == ["one row", "one step", "two steps", "dz"]
    assert found["dz"].says == "the implementation raised IndexError: T is 5"
    assert found["symmetric W_h"].outcome == RIGHT


def test_code_that_always_raises():
    """Nothing gets past the probes: each says what was raised."""

    def broken(problem):
        raise KeyError("W_h")

    found = probe(broken, EVERY_STEP)
    assert {p.outcome for p in found} == {NOT_APPLICABLE}
    assert {p.says for p in found} == {"the implementation raised KeyError: 'W_h'"}


def test_code_without_the_free_upstream():
    """Code that always takes y as targets of the mean squared error is right, and ignores loss=None."""

    def always_mse(problem):
        return shipped(replace(problem, case=replace(problem.case, loss="mean_squared_error")))

    found = {p.name: p for p in probe(always_mse, EVERY_STEP)}
    assert {p.name for p in found.values() if p.outcome != RIGHT} == {"free upstream"}
    assert (found["free upstream"].outcome, found["free upstream"].says) == (
        NOT_APPLICABLE,
        "loss=None is ignored",
    )


def test_a_loss_that_cannot_be_steered():
    """Under a crossentropy the upstream is scaled by loss=None, and not at all where that is ignored."""
    case = Case(
        "probes-logits", Sequential([LSTM(4), Dense(2, activation="sigmoid")]), loss="binary_crossentropy"
    )
    assert outcomes(shipped, case)["scaled upstream"] == RIGHT

    def only_crossentropy(problem):
        if problem.loss is None:
            raise ValueError("unknown loss")
        return shipped(problem)

    found = outcomes(only_crossentropy, case)
    assert found["scaled upstream"] == found["free upstream"] == NOT_APPLICABLE
    assert found["two steps"] == found["dz"] == RIGHT


def test_float32_is_not_blamed_on_a_chaotic_problem():
    """Where float32 keeps no digits, a wrong equation would look like it: said, and not concluded."""
    problem = Case("probes-chaos", EVERY_STEP.model, 2, 60, 3).problem()
    tenfold = {name: 10 * weight for name, weight in problem.weights.items() if "lstm" in name}
    wild = replace(problem, weights=problem.weights | tenfold)
    found = {p.name: p for p in probe(edited("df = dc * c_prev", "df = dc * c"), wild)}
    assert found["precision"].outcome == NOT_APPLICABLE
    assert "could pass for a wrong equation" in found["precision"].says


def test_no_gradients_at_all():
    """An empty answer is neither right nor suspicious in any probe of gradients."""
    found = outcomes(lambda problem: {}, EVERY_STEP)
    assert {found[name] for name in EXPERIMENTS if name not in ("repeat", "buffers", "inputs")} == {
        NOT_APPLICABLE
    }


def test_a_large_problem_is_probed_on_two_rows():
    """Past the size of balls two rows do, unless the implementation takes no other batch than its own."""
    case = Case("probes-large", Sequential([LSTM(16), Dense(2)]), batch=40, timesteps=20, features=8)
    asked = set()

    def recording(problem):
        asked.add(len(problem.x))
        return shipped(problem)

    def of_forty(problem):
        if len(problem.x) != 40:
            raise ValueError("the batch is 40")
        return recording(problem)

    found = outcomes(recording, case)
    assert (found.pop("last upstream"), set(found.values())) == (NOT_APPLICABLE, {RIGHT})
    assert asked == {1, 2}
    asked.clear()
    found = outcomes(of_forty, case)
    assert asked == {40}
    assert (found["one row"], found["two steps"]) == (NOT_APPLICABLE, RIGHT)


def test_gradients_of_any_kind_do_no_harm():
    """What is no array of floats, under any name, is passed over, also where it changes from call to call."""
    calls = []

    def odd(problem, gradients):
        calls.append(None)
        return gradients | {"x": None, "cache": [problem], "lstm/initial_h": np.array(["h"]), "n": len(calls)}

    found = outcomes(changed(odd), EVERY_STEP)
    assert (found.pop("forward"), set(found.values())) == (NOT_APPLICABLE, {RIGHT})


def test_tensorflow_is_never_loaded():
    """A whole run of the probes in a fresh interpreter leaves TensorFlow unimported."""
    code = (
        "import sys; from reference_impl import *; from tapecheck import *\n"
        "from tapecheck.probes import probe\n"
        "case = Case('a', Sequential([LSTM(2), Dense(1)]))\n"
        "probe(lambda p: p.reference, case); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_last_upstream_takes_the_steps_of_the_output():
    """A model may return another number of steps than it is given."""
    layers = [LSTM(3), RepeatVector(5), LSTM(2, return_sequences=True), Dense(2)]
    found = outcomes(shipped, Case("repeat", Sequential(layers), 2, 3, 2))
    assert found["last upstream"] == RIGHT
