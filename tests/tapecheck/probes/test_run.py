"""All experiments in turn: none suspects the right code, a wrong one is not blamed on what is right."""

import subprocess
import sys

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Flatten, Sequential
from tapecheck import Case
from tapecheck.probes import EXPERIMENTS, NOT_APPLICABLE, RIGHT, RULED_OUT, probe


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
def test_right_code_raises_no_suspicion(edited, shipped, number):
    """On thirty random cases every probe of the shipped code and of the textbook is right, or not made."""
    case = random_case(np.random.default_rng(number), number)
    for implementation in (shipped, edited("c = f * c_prev + i * g", "c = i * g + f * c_prev")):
        found = probe(implementation, case)
        assert [str(p) for p in found if p.outcome not in (RIGHT, NOT_APPLICABLE)] == []
        assert {p.name: p.outcome for p in found}["one step"] == RIGHT


def test_every_probe_can_be_made(shipped, outcomes):
    """On the plain case none is left out: the tests of each see them all."""
    assert outcomes(shipped) == dict.fromkeys(EXPERIMENTS, RIGHT)


def test_what_is_ruled_out(edited, outcomes):
    """A missing cell carry is not the kernel's transpose, not dh_next, not the batch, not the loss."""
    found = outcomes(edited("dc_next = dc * f", "dc_next = 0 * dc"))
    ruled_out = [name for name, outcome in found.items() if outcome == RULED_OUT]
    assert ruled_out == [
        "precision",
        "free upstream",
        "common factor",
        "last upstream",
        "one row",
        "W_h = 0",
        "symmetric W_h",
    ]


def test_a_large_problem_is_probed_on_two_rows(shipped, outcomes):
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
