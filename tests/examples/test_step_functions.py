"""One step forward and one step backward, row vectors, gates packed; the loop over time is not theirs."""

import numpy as np

import tapecheck
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Problem, Result
from tapecheck.layout import Layout, unroll

# ---- the implementation: N examples, D features, H units


def sigmoid(z):
    """Elementwise."""
    return 1 / (1 + np.exp(-z))


def d_tanh(y):
    """The derivative of tanh, from its value."""
    return 1 - y**2


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """x (N, D), prev_h and prev_c (N, H), Wx (D, 4H), Wh (H, 4H), b (4H,)."""
    ai, af, ao, ag = np.hsplit(x @ Wx + prev_h @ Wh + b, 4)
    i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def lstm_step_backward(dnext_h, dnext_c, cache):
    """Gradients of all that the step took, in that order."""
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * d_tanh(tanh_c)
    dai = dc * g * i * (1 - i)
    daf = dc * prev_c * f * (1 - f)
    dao = dnext_h * tanh_c * o * (1 - o)
    dag = dc * i * d_tanh(g)
    da = np.hstack([dai, daf, dao, dag])
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


# ---- the adapter: unroll brings the loop and the head

LAYOUT = Layout(
    gates="ifog", kernel="Wx", recurrent_kernel="Wh", bias="b", dense_kernel=None, dense_bias=None
)


def adapter(problem: Problem) -> Result:
    """The whole model on one problem."""

    def step_forward(x, h, c, weights):
        return lstm_step_forward(x, h, c, **weights)

    def step_backward(dh, dc, cache):
        dx, dh_prev, dc_prev, dWx, dWh, db = lstm_step_backward(dh, dc, cache)
        return dx, dh_prev, dc_prev, {"Wx": dWx, "Wh": dWh, "b": db}

    return unroll(problem, LAYOUT, step_forward, step_backward)


# ---- the tests

CASE = Case(
    "step-functions",
    Sequential([LSTM(3, return_sequences=True), Dense(2, activation="tanh")]),
    initial_state="random",
)


def test_right():
    """The two step functions are right, and so is the loop around them."""
    tapecheck.check(CASE, implementation=adapter).assert_passed()


def test_derivative_of_an_activated_value(monkeypatch):
    """tanh applied once more to a g that is tanh already is found."""
    monkeypatch.setitem(globals(), "d_tanh", lambda y: 1 - np.tanh(y) ** 2)
    report = tapecheck.check(CASE, implementation=adapter)
    assert report.verdict == "failed"
    assert not report.tensors["lstm/bias"].passed
    assert all(tensor.passed for tensor in report.forward.values())
