"""The taps: what is heard inside the real Keras layer is the exact trace, and the layer is left as it was."""

from dataclasses import replace

import numpy as np
import pytest

import tf_oracle
from reference_impl import LSTM, Dense, Flatten, Sequential
from reference_impl.textbook import backpropagate
from tapecheck import Case
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.exact import exact
from tf_oracle import taps
from tf_oracle.models import build
from tf_oracle.start import load

SEQUENCES = Sequential([LSTM(5, return_sequences=True), Dense(2, activation="tanh")])
STACKED = Sequential([LSTM(3, return_sequences=True), LSTM(5), Dense(2)])
SOFTMAX = Sequential([LSTM(4, activation="softmax", recurrent_activation="softmax"), Dense(2)])
CASES = [
    Case("taps-every-step", SEQUENCES),
    Case("taps-last-step", Sequential([LSTM(5), Dense(2)]), timesteps=6),
    Case("taps-stacked", STACKED),
    Case("taps-states", STACKED, initial_state="random"),
    Case("taps-float32", SEQUENCES, dtype="float32", initial_state="random"),
    Case("taps-relu", Sequential([LSTM(4, activation="relu", return_sequences=True), Flatten(), Dense(2)])),
    Case("taps-softmax", SOFTMAX),
    Case("taps-linear", Sequential([LSTM(4, activation=None, use_bias=False), Dense(2)])),
    Case("taps-one-step", SEQUENCES, timesteps=1),
    Case("taps-logits", Sequential([LSTM(4), Dense(1, activation="sigmoid")]), loss="binary_crossentropy"),
    Case("taps-free-upstream", SEQUENCES, loss=None),
]


def tapped(problem):
    """The trace of a problem off the Keras layers."""
    p = problem
    return taps.run(p.model, p, p.loss)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_trace_is_the_exact_one(case):
    """Every gate, state and gradient at every step is exact, to the error of the textbook in floats."""
    p = case.problem()
    trace, true = tapped(p), exact(p).trace
    floats = backpropagate(p.model, p, p.loss).trace
    assert set(trace) == set(true)
    for name, value in trace.items():
        assert (value.shape, value.dtype) == (true[name].shape, p.dtype), name
        limit = FACTOR * max(errors(name, floats[name], true[name], p.dtype).max(), FLOOR)
        assert errors(name, value, true[name], p.dtype).max() <= limit, name


def test_trace_belongs_to_the_gradients_of_the_tape():
    """Its dz, summed over batch and steps, are the bias's gradient of the untapped run."""
    p = Case("taps-sum", SEQUENCES).problem()
    trace = tapped(p)
    db = np.concatenate([trace[f"lstm/dz_{gate}"].sum(axis=(0, 1)) for gate in "ifgo"])
    oracle = tf_oracle.run(p.model, p, p.loss)
    theirs = oracle.gradients["lstm/bias"].astype(np.longdouble)
    assert errors("lstm/bias", db, theirs, p.dtype).max() <= FACTOR * FLOOR


def test_a_wrong_time_step_would_show():
    """The exact trace one step late is far from what is heard: the extra first call is really left out."""
    p = Case("taps-late", SEQUENCES).problem()
    trace, true = tapped(p), exact(p).trace
    for name, value in trace.items():
        assert errors(name, np.roll(value, 1, axis=1), true[name], p.dtype).max() > 1e9, name


def test_every_call_gives_the_same_bits():
    """Deterministic, and unmoved by a run of another problem in between."""
    p = Case("taps-again", SEQUENCES).problem()
    first = tapped(p)
    tapped(replace(p, x=-p.x))
    again = tapped(p)
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)


def test_cell_is_restored():
    """Within the block the cell is heard; after it, also after an error, it is as it was."""
    twin = build(SEQUENCES, (2, 3, 4), "float64")
    cell = twin.layers[0].cell
    before = cell.activation, cell.recurrent_activation, dict(vars(cell))
    with taps.tapped(cell) as heard:
        twin(np.zeros((2, 3, 4)))
        assert len(heard) == 3 + 1  # Keras's call for the shape comes first
    with pytest.raises(ZeroDivisionError), taps.tapped(cell):
        raise ZeroDivisionError
    assert (cell.activation, cell.recurrent_activation) == before[:2]
    assert cell.activation is load().keras.activations.tanh
    assert "call" not in vars(cell)
    twin(np.zeros((2, 3, 4)))
    assert len(heard) == 4
