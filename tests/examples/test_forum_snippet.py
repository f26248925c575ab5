"""The Dense loop of the forum thread that this project began with, in running form: as posted and mended.

What was posted is a sketch, so some of it is filled in: the brackets that were left open, `x[t]` for
"the output vector of the LSTM layer", and columns (N, 1) at each step, which its products ask for. The
LSTM, which was left out there as clear, is ours. What its author wanted to know, and what comes out:
- yes, the gradients of one Dense on all steps are summed over the steps, and `do[t]` is passed down;
- no, it is not right yet: Keras averages the squared errors over steps and outputs, so every gradient
  is T_x * K times too large; and `+= alpha *` climbs the loss, so the weights move the wrong way.
"""

import numpy as np
import pytest

import tapecheck
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Problem
from tapecheck.layout import Layout, gradient_from_update

# ---- the implementation: T_x steps of columns; x (T_x, H, 1), Y and Y_pred (T_x, K, 1), Wx (K, H), b (K, 1)


def relu_forward(x, Wx, b):
    """Y_pred of all steps."""
    return np.maximum(Wx @ x + b, 0)


def as_posted(x, Y, Y_pred, Wx, b, alpha):
    """Updates Wx and b, and returns do (T_x, H, 1)."""
    do = np.zeros_like(x)
    dWx = np.zeros_like(Wx)
    db = np.zeros_like(b)
    for t in range(len(x)):
        dY = 2 * (Y_pred[t] - Y[t])
        dAct = ((Y_pred[t] > 0) + 0) * dY
        db += dAct
        dWx += dAct @ x[t].T
        do[t] = Wx.T @ dAct
    Wx += alpha * dWx
    b += alpha * db
    return do


def mended(x, Y, Y_pred, Wx, b, alpha):
    """As posted but for three lines: the mean over steps and outputs, and the sign of both updates."""
    do = np.zeros_like(x)
    dWx = np.zeros_like(Wx)
    db = np.zeros_like(b)
    for t in range(len(x)):
        dY = 2 * (Y_pred[t] - Y[t]) / Y.size
        dAct = ((Y_pred[t] > 0) + 0) * dY
        db += dAct
        dWx += dAct @ x[t].T
        do[t] = Wx.T @ dAct
    Wx -= alpha * dWx
    b -= alpha * db
    return do


# ---- the adapter: our LSTM runs below their Dense; what comes down to it is theirs, hence loss=None

LAYOUT = Layout(
    kernel=None, dense_kernel="Wx", dense_bias="b", vectors="column", bias_shape="(H,1)", axes="TDB"
)
ALPHA = 2.0**20  # large, so that the update does not round the gradient away: see test_own_update.py


def adapter(problem: Problem, dense_backward=mended) -> dict[str, np.ndarray]:
    """The whole model on one problem, with one of the two loops."""
    lstm = Sequential(problem.model.layers[:1])
    lstm_weights = {name: w for name, w in problem.weights.items() if name.startswith("lstm/")}
    x = LAYOUT.theirs(lstm.predict(lstm_weights, problem.x))

    before, after = LAYOUT.weights(problem), LAYOUT.weights(problem)
    Y_pred = relu_forward(x, **after)
    do = dense_backward(x, LAYOUT.theirs(problem.y), Y_pred, **after, alpha=ALPHA)
    dense = LAYOUT.gradients(problem, gradient_from_update(before, after, ALPHA))

    _, below = lstm.loss_and_gradients(lstm_weights, problem.x, LAYOUT.ours(do), loss=None)
    return below | dense


def adapter_as_posted(problem: Problem) -> dict[str, np.ndarray]:
    """The same with the loop as posted."""
    return adapter(problem, as_posted)


# ---- the tests

CASE = Case(
    "forum-snippet",
    Sequential([LSTM(8, return_sequences=True), Dense(1, activation="relu")]),
    batch=1,
    timesteps=3,
    features=2,
)


def test_mended_is_right():
    """With the mean over the steps and a step downhill, the sum over the time steps is right."""
    tapecheck.check(CASE, implementation=adapter).assert_passed()


def test_as_posted_is_wrong():
    """Everything is T_x * K = 3 times too large, and the update of the Dense layer goes uphill."""
    report = tapecheck.check(CASE, implementation=adapter_as_posted)
    assert report.verdict == "failed"
    assert report.tensors["lstm/kernel"].factor == pytest.approx(3)
    assert report.tensors["dense/kernel"].factor == pytest.approx(-3)
    assert report.tensors["dense/bias"].factor == pytest.approx(-3)
