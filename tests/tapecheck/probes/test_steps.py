"""One step, or the recurrence; and dz read off the gradients, layer by layer."""

from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.localize import Divergence
from tapecheck.probes import NOT_APPLICABLE, RULED_OUT, SUSPECT, derived

LAST_STEP = Case("probes-last", Sequential([LSTM(4), Dense(2)]), 3, 5, 3)
STACKED = Case("probes-stacked", Sequential([LSTM(3, return_sequences=True), LSTM(4), Dense(2)]), 3, 5, 4)


def test_last_steps_loss_at_every_step(edited, probed):
    """With return_sequences=False: wrong also where the steps are apart, so not the recurrence alone."""
    implementation = edited(
        "dy = np.stack([0 * dy] * (T - 1) + [dy], axis=1)", "dy = np.stack([dy] * T, axis=1)"
    )
    found = probed(implementation, LAST_STEP)
    assert found["two steps"].outcome == SUSPECT
    assert "what an earlier step is given (dh_above" in found["two steps"].says
    assert found["W_h = 0, f = 0"].outcome == RULED_OUT
    assert found["dz"].localization.first_divergence == Divergence("backward", "lstm", 3, "dh")
    assert found["last upstream"].outcome == NOT_APPLICABLE


def test_initial_state_forgotten(every_step, edited, suspicions):
    """Right from rest, wrong from other states: not the recurrence, but the step that starts from them."""
    forgotten = edited("df = dc * c_prev", "df = dc * c_prev * (t > 0)")
    found = suspicions(forgotten, replace(every_step, initial_state="random"))
    assert (
        found["two steps"] == "exact from initial states of zero: the step that starts from others is wrong"
    )
    assert found["dz"].startswith("dz of lstm first goes wrong at step 0, in dz_f")
    assert suspicions(forgotten) == {}  # there is nothing to see from zero states


def test_wrong_only_past_two_steps(edited, suspicions):
    """dc_next with the next step's f is right at T = 2, where there is no middle step."""
    found = suspicions(edited("dc_next = dc * f", "dc_next = dc * steps[min(t + 1, T - 1)]['f']"))
    assert (
        found["two steps"] == "exact at T = 2 and wrong at T = 3: what passes through a middle step is wrong"
    )
    assert found["dz"].startswith("dz of lstm first goes wrong at step 2, in dc")


def test_wrong_only_past_three_steps(edited, suspicions):
    """A recurrence that is cut after three steps goes through a middle step as it should: none is blamed."""
    cut = ("dh_next = dz @ W_h.T", "dh_next = (T - 1 - t < 3) * (dz @ W_h.T)")
    found = suspicions(edited(*cut))
    assert found["two steps"] == (
        "exact at T = 2 and 3, wrong at T = 5: what comes from further back (a cut of the recurrence), "
        "or grows on its way (a limit)"
    )


def test_first_step_left_out(edited, suspicions):
    """Three steps of dz in dW_x are said to be, without a guess at why."""
    edit = ("dW_x = dW_x + x_t.T @ dz", "dW_x = dW_x + (t > 0) * x_t.T @ dz")
    assert suspicions(edited(*edit))["dz"].endswith("dW_x holds x_t of the steps 1, 2, 3, 4 only")


def test_what_all_gates_share(edited, suspicions):
    """An upstream gradient that is wrong for the LSTM alone shows in every gate, and no gate is named."""
    found = suspicions(edited("dh_above = dy[:, t]", "dh_above = np.abs(dy[:, t])"))
    assert (
        found["one step"]
        == "wrong at T = 1 in lstm/kernel and lstm/bias: what all gates share, or their order"
    )


def test_the_head_alone(changed, suspicions):
    """A head kernel that holds the last step only, and a stray 1/T: from the head on, not the recurrence."""

    def of_the_last_step(problem, gradients):
        steps = derived.steered(problem, np.eye(problem.x.shape[1])[-1][:, None])
        return gradients | {"dense/kernel": steps.reference.gradients["dense/kernel"]}

    def over_steps(problem, gradients):
        return {name: g / problem.x.shape[1] for name, g in gradients.items()}

    found = suspicions(changed(of_the_last_step))
    assert found["last upstream"].endswith("only where an earlier step has one, as in its dlogits")
    already = "exact at T = 1, wrong at T = 2, and dense/kernel already: not the recurrence alone"
    assert found["two steps"] == already
    found = suspicions(changed(over_steps))
    assert "every gradient is 0.2 times" in found["common factor"]
    assert found["two steps"] == already.replace("dense/kernel", "dense/kernel and dense/bias")


@pytest.mark.parametrize(
    ("name", "equation"),
    [
        ("x", "dx_t = dz @ W_x.T"),
        ("lstm/initial_h", "dh_next = dz @ W_h.T of the first step"),
        ("lstm/initial_c", "dc_next = dc * f of the first step"),
    ],
)
def test_gradients_of_the_inputs_alone(every_step, changed, suspicions, name, equation):
    """Where only what is handed on is wrong, it is said what that is, and nothing else is suspected."""
    implementation = changed(lambda p, g: g | {name: 1.5 * g[name]})
    found = suspicions(implementation, replace(every_step, initial_state="random"))
    assert found.pop("handed on") == (
        f"every weight is right, but {name}, {equation}, is not: what a step hands on, not its dz"
    )
    assert list(found) == (["dz"] if name == "x" else [])


# ---- dz of one LSTM in a stack, and of what it is made


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
def test_the_wrong_layer_of_a_stack(edited, probed, edit, where):
    """A mistake in one LSTM of two is found in that one, at its step and quantity, without a trace."""
    found = probed(edited(*edit), STACKED)
    assert found["dz"].localization.first_divergence == Divergence("backward", *where)


def test_sums_of_an_upper_layer(edited, probed):
    """Where dW_x of the upper LSTM is wrong and dz is not, that is said, and which steps have a share."""
    edit = ("dW_x = dW_x + x_t.T @ dz", "dW_x = x_t.T @ dz + (0 if layer.units == 4 else dW_x)")
    found = probed(edited(*edit), STACKED)
    assert found["dz"].says.startswith(
        "dz of lstm_1 is right, as its sums show, but dW_x holds x_t of step 0"
    )
    edit = ("db = db + dz.sum(axis=0)", "db = db + dz.sum(axis=0) * (1 + (layer.units == 4))")
    found = probed(edited(*edit), STACKED)
    assert found["dz"].says == "dz of lstm_1 is right at every step and gate, but db = sum of dz is not"


def test_a_right_bias_acquits_dz(probed):
    """Without dx, where one gate's dW_x and dW_h are wrong and its db is right, its dz is right as well."""

    def implementation(problem):
        gradients = dict(problem.reference.gradients)
        H = problem.model.layers[0].units
        gradients = {name: g for name, g in gradients.items() if name in problem.weights}
        for name in ("lstm/kernel", "lstm/recurrent_kernel"):
            gradients[name] = gradients[name] * np.repeat([1, 1, 1, 1.0001], H)
        return gradients

    found = probed(implementation)
    assert found["dz"].says.endswith("dW_x is not the sum of x_t.T @ dz and dW_h is wrong too")
    assert found["dz"].localization is None


def test_a_layer_that_cannot_be_read_is_said(edited, probed):
    """Where the LSTM below has no bias to open its gates, the upper one is not read, and that is said."""
    layers = [LSTM(3, return_sequences=True, use_bias=False), LSTM(4), Dense(2)]
    case = Case("probes-unread", Sequential(layers), 3, 5, 4)
    found = probed(edited(*IN_ONE_LAYER["lower dz_f"][0]), case)
    assert "dz of lstm first goes wrong at step 4, in dz_f" in found["dz"].says
    assert "unread above it: lstm_1 (the layers below it do not let single steps through)" in found["dz"].says


def test_an_upper_layer_is_not_blamed_on_the_lower_one(changed, probed):
    """With a wrong head the first LSTM's dz is wrong from the last step on: from above."""
    found = probed(changed(lambda p, g: {k: 2 * v for k, v in g.items()}))
    assert "dh_above (the loss, a layer above)" in found["dz"].says
