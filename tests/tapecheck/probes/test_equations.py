"""Every classic wrong equation: exactly the true suspicions, and where dz first goes wrong."""

import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.localize import Divergence
from tapecheck.probes import SUSPECT

RECURRENCE = "exact at T = 1, wrong at T = 2 before the last step: the recurrence (dh_next, dc_next)"
CUT = "exact with W_h = 0 and the forget gate closed: the mistake shows only where a later step hands"
OPEN = "exact with the forget gate closed: the mistake shows only where gate f is open, as in dc_next"
BY_BLOCKS = (
    "H = W_h.shape[0]; dh_next = sum(dz[:, k : k + H] @ W_h[:, k : k + H] for k in range(0, 4 * H, H))"
)

EQUATIONS = {
    "c_t for c_prev": (
        ("df = dc * c_prev", "df = dc * c"),
        {
            "one step": "wrong at T = 1 in gate f: the step itself, not the recurrence",
            "f = 0": OPEN,
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 4, in dz_f: dc * c_prev, times the derivative of gate f",
        },
        (4, "dz_f"),
    ),
    "forget gate's derivative left out": (
        ("dz_f = d_sigma(df, z_f, f)", "dz_f = df * f"),
        {
            "two steps": "wrong at T = 2 in gate f of the last step: dz_f, not the recurrence",
            "f = 0": OPEN,
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
            "W_h = 0": "exact with W_h = 0: the mistake shows only where W_h hands something on",
            "W_h = 0, f = 0": CUT,
            "symmetric W_h": "the mistake shows only where W_h is not its own transpose, as in dh_next",
            "dz": "first goes wrong at step 3, in dh = dh_above + dh_next",
        },
        (3, "dh"),
    ),
    "recurrence not carried": (
        ("dh_next = dz @ W_h.T", "dh_next = 0 * dh"),
        {
            "two steps": RECURRENCE,
            "W_h = 0": "exact with W_h = 0: the mistake shows only where W_h hands something on",
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 3, in dh = dh_above + dh_next",
        },
        (3, "dh"),
    ),
    "cell carry missing": (
        ("dc_next = dc * f", "dc_next = 0 * dc"),
        {
            "two steps": RECURRENCE,
            "f = 0": OPEN,
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 3, in dc = dh * o * (1 - tanh(c)**2) + dc_next",
        },
        (3, "dc"),
    ),
    "upstream at the last step only": (
        ("dh_above = dy[:, t]", "dh_above = dy[:, t] * (t == T - 1)"),
        {
            "last upstream": "the mistake shows only where an earlier step has one, as in its dh_above",
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
    "dc_next past the activation of g": (
        ("dz_g = d_phi(dg, z_g, g)", "dz_g = d_phi((dc - dc_next) * i, z_g, g) + dc_next * i"),
        {
            "two steps": RECURRENCE,
            "f = 0": OPEN,
            "W_h = 0, f = 0": CUT,
            "dz": "first goes wrong at step 3, in dz_g",
        },
        (3, "dz_g"),
    ),
    "bias of gate f counted twice": (
        ("db = db + dz.sum(axis=0)", "db = db + np.hstack([dz_i, 2 * dz_f, dz_g, dz_o]).sum(axis=0)"),
        {
            "two steps": "wrong at T = 2 in lstm/bias alone: how dz is added up, not the recurrence",
            "f = 0": OPEN,
            "W_h = 0, f = 0": CUT,
            "dz": "is right at every step and gate, but db = sum of dz is not",
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


def divergence(found):
    """Where the dz that an experiment has read goes wrong first; None where it has read none."""
    return found.localization and found.localization.first_divergence


def same_suspicions(found, expected):
    """Exactly the expected probes are suspicious, and each says the expected words."""
    said = {name: p.says for name, p in found.items() if p.outcome == SUSPECT}
    assert list(said) == list(expected)
    for name, words in expected.items():
        assert words in said[name], name


@pytest.mark.parametrize(("edit", "expected", "where"), EQUATIONS.values(), ids=EQUATIONS)
def test_wrong_equation(edited, probed, edit, expected, where):
    """Exactly the true suspicions, in true words, and the step and quantity of the first wrong dz."""
    found = probed(edited(*edit))
    same_suspicions(found, expected)
    assert divergence(found["dz"]) == (Divergence("backward", "lstm", *where) if where else None)


@pytest.mark.parametrize(("edit", "expected", "where"), EQUATIONS.values(), ids=EQUATIONS)
def test_wrong_equation_is_found_without_dx(edited, probed, edit, expected, where):
    """Code that returns no gradient of x, as most does not: dz is read off the kernel's, to the same end."""
    implementation = edited(*edit)

    def weights_only(problem):
        return {name: g for name, g in implementation(problem).gradients.items() if name in problem.weights}

    found = probed(weights_only)
    assert divergence(found["dz"]) == (Divergence("backward", "lstm", *where) if where else None)
    del found["dz"]
    same_suspicions(
        found, {name: words for name, words in expected.items() if name not in ("dz", "handed on")}
    )


def test_two_lstms(edited, probed):
    """In a stack a missing transpose shows as in one layer, first in the one nearest the loss."""
    edit, _, _ = EQUATIONS["recurrent kernel not transposed"]
    stacked = Case("probes-stacked", Sequential([LSTM(3, return_sequences=True), LSTM(4), Dense(2)]), 3, 5, 4)
    found = probed(edited(*edit), stacked)
    assert found["symmetric W_h"].outcome == SUSPECT
    assert found["two steps"].says.startswith(RECURRENCE)
    assert divergence(found["dz"]) == Divergence("backward", "lstm_1", 3, "dh")
