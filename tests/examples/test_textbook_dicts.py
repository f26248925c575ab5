"""A textbook LSTM: one matrix a gate on [h, x], column vectors, arrays (n, m, T), everything in dicts."""

import numpy as np
import pytest

import tapecheck
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Problem, Result
from tapecheck.layout import Layout, run_head

# ---- the implementation: n_x features, m examples, T_x steps, n_a units


def sigmoid(z):
    """Elementwise."""
    return 1 / (1 + np.exp(-z))


def cell_forward(xt, a_prev, c_prev, parameters):
    """One step: xt (n_x, m), a_prev and c_prev (n_a, m)."""
    concat = np.vstack([a_prev, xt])
    ft = sigmoid(parameters["Wf"] @ concat + parameters["bf"])
    it = sigmoid(parameters["Wi"] @ concat + parameters["bi"])
    cct = np.tanh(parameters["Wc"] @ concat + parameters["bc"])
    ot = sigmoid(parameters["Wo"] @ concat + parameters["bo"])
    c_next = ft * c_prev + it * cct
    a_next = ot * np.tanh(c_next)
    return a_next, c_next, (concat, c_prev, c_next, ft, it, cct, ot)


def lstm_forward(x, a0, c0, parameters):
    """x (n_x, m, T_x) gives a (n_a, m, T_x)."""
    a = np.zeros((*a0.shape, x.shape[2]))
    a_next, c_next, caches = a0, c0, []
    for t in range(x.shape[2]):
        a_next, c_next, cache = cell_forward(x[:, :, t], a_next, c_next, parameters)
        a[:, :, t] = a_next
        caches.append(cache)
    return a, caches


def cell_backward(da_next, dc_next, cache, parameters):
    """Gradients of one step, from da_next (from above and from the next step) and dc_next (n_a, m)."""
    concat, c_prev, c_next, ft, it, cct, ot = cache
    n_a = len(da_next)
    dc = dc_next + da_next * ot * (1 - np.tanh(c_next) ** 2)
    dz = {
        "f": dc * c_prev * ft * (1 - ft),
        "i": dc * cct * it * (1 - it),
        "c": dc * it * (1 - cct**2),
        "o": da_next * np.tanh(c_next) * ot * (1 - ot),
    }
    dconcat = sum(parameters[f"W{gate}"].T @ dz[gate] for gate in dz)
    gradients = {f"dW{gate}": dz[gate] @ concat.T for gate in dz}
    gradients |= {f"db{gate}": dz[gate].sum(axis=1, keepdims=True) for gate in dz}
    return gradients | {"dxt": dconcat[n_a:], "da_prev": dconcat[:n_a], "dc_prev": dc * ft}


def lstm_backward(da, caches, parameters):
    """da (n_a, m, T_x) is what comes from above at each step."""
    n_a, m, T_x = da.shape
    n_x = len(caches[0][0]) - n_a
    gradients = {f"d{name}": np.zeros_like(parameters[name]) for name in parameters}
    dx, da_prev, dc_prev = np.zeros((n_x, m, T_x)), np.zeros((n_a, m)), np.zeros((n_a, m))
    for t in reversed(range(T_x)):
        step = cell_backward(da[:, :, t] + da_prev, dc_prev, caches[t], parameters)
        dx[:, :, t], da_prev, dc_prev = step["dxt"], step["da_prev"], step["dc_prev"]
        for name in gradients:
            gradients[name] += step[name]
    return gradients | {"dx": dx, "da0": da_prev, "dc0": dc_prev}


# ---- the adapter: the head is tapecheck's, since the implementation ends with the LSTM

LAYOUT = Layout(
    gates="f,i,g,o",
    gate_names="fico",
    kernel="W{gate}",
    concatenated="hx",
    vectors="column",
    bias="b{gate}",
    bias_shape="(H,1)",
    dense_kernel=None,
    dense_bias=None,
    gradient="d{name}",
    axes="DBT",
)


def adapter(problem: Problem) -> Result:
    """The whole model on one problem."""
    parameters = LAYOUT.weights(problem)
    a0, c0 = (LAYOUT.theirs(state) for state in problem.initial_state.values())
    a, caches = lstm_forward(LAYOUT.theirs(problem.x), a0, c0, parameters)
    head = run_head(problem, LAYOUT, a)
    theirs = lstm_backward(head.dh, caches, parameters)
    ours = LAYOUT.gradients(problem, theirs, x=theirs["dx"], initial_h=theirs["da0"], initial_c=theirs["dc0"])
    return Result(ours | head.gradients, head.output, head.loss)


# ---- the tests

MANY_TO_MANY = Case(
    "textbook-dicts",
    Sequential([LSTM(3, return_sequences=True), Dense(2, activation="softmax")]),
    loss="categorical_crossentropy",
    initial_state="random",
)
MANY_TO_ONE = Case("textbook-dicts-last", Sequential([LSTM(3), Dense(2)]))


@pytest.mark.parametrize("case", [MANY_TO_MANY, MANY_TO_ONE], ids=lambda case: case.name)
def test_right(case):
    """The textbook LSTM is right, with a softmax head on every step and a linear one on the last."""
    tapecheck.check(case, implementation=adapter).assert_passed()


def test_cell_carry_missing(monkeypatch):
    """A dc that does not come back from the step after it is found; the head stays right."""
    right = cell_backward
    monkeypatch.setitem(globals(), "cell_backward", lambda da, dc, *rest: right(da, np.zeros_like(dc), *rest))
    report = tapecheck.check(MANY_TO_MANY, implementation=adapter)
    assert report.verdict == "failed"
    assert not report.tensors["lstm/kernel"].passed
    assert report.tensors["dense/kernel"].passed
