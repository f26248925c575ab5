"""A forward pass that is another one is asked gate by gate, by its output alone."""

import pytest

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Result
from tapecheck.faults import program
from tapecheck.search.each_gate import wrong_gates

CASE = Case("gates", Sequential([LSTM(4, return_sequences=True), Dense(2)]), initial_state="random")


def forward(**lines):
    """The implementation with lines of the LSTM's forward pass exchanged."""
    code = {
        program.LSTM_FORWARD.lines[target].key: program.compiled_lines(f"{target} = {text}")
        for target, text in lines.items()
    }
    return lambda problem: Result({}, program.forward(problem, code)[0])


@pytest.mark.parametrize("head", [None, "tanh", "sigmoid", "relu", "softmax"])
@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ({"i": "sigma(z_i)**2"}, ["i"]),
        ({"f": "sigma(2 * z_f)"}, ["f"]),
        ({"g": "phi(z_g)**3"}, ["g"]),
        ({"o": "sigma(z_o)**2", "f": "sigma(2 * z_f)"}, ["f", "o"]),
        ({"phi_c": "c / (1 + c * c)"}, ["h"]),
        ({"z": "x[:, t] @ W_x + 2 * (h_prev @ W_h) + b"}, ["z"]),
    ],
    ids=str,
)
def test_the_wrong_gate_is_named(lines, wrong, head):
    """Each by itself and two together; the cell's activation; and what goes into right gates."""
    model = Sequential([LSTM(4, return_sequences=True), Dense(5, activation=head)])
    case = Case("gates", model, initial_state="random", loss="mean_squared_error")
    assert wrong_gates(forward(**lines), case) == wrong


def test_nothing_is_said_of_what_cannot_be_asked():
    """No head to see h through, no bias to open a gate with, no output, or an error."""
    bare = Case("gates-bare", Sequential([LSTM(4)]))
    unbiased = Case("gates-unbiased", Sequential([LSTM(4, use_bias=False), Dense(2)]))
    wrong = forward(i="sigma(z_i)**2")
    assert wrong_gates(wrong, bare) == wrong_gates(wrong, unbiased) == []
    assert wrong_gates(lambda problem: Result({}), CASE) == []

    def refuses(problem):
        raise ValueError("another size")

    assert wrong_gates(refuses, CASE) == []


def test_without_a_state_to_start_from_the_forget_gate_is_not_asked():
    """With c_prev = 0 nothing of it is to be seen."""
    case = Case("gates-zero", CASE.model)
    assert wrong_gates(forward(f="sigma(2 * z_f)", o="sigma(z_o)**2"), case) == ["o"]
    assert wrong_gates(forward(f="sigma(2 * z_f)"), case) == ["z"]
