"""A network that trains itself: loss, Dense and LSTM in one method, which returns no gradient.

The gradient is what the update took away: (before - after) / learning_rate. But the update rounds. A
weight of about 1 is rounded by 1e-16, and that over a learning rate of 0.01 is 1e-14: measured here, 600
eps of the gradient, where 44 may pass. It is 72 eps at 0.1, 8 at 1, and from 10 on the 2 eps that the
gradient has anyway, since the step then drowns the weight and not the weight the step. So the learning
rate is huge, and a power of two, which scales without rounding. The weights are of no use after that,
and are thrown away. This judges one update, and plain gradient descent alone.
"""

import numpy as np
import pytest

import tapecheck
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Problem
from tapecheck.layout import Layout, gradient_from_update

# ---- the implementation: time-major, packed rows [1, x, h], many to one, mean squared error


def sigmoid(z):
    """Elementwise."""
    return 1 / (1 + np.exp(-z))


class Net:
    """Weights `W` (1+D+H, 4H) with gates i, f, o, g and the bias in row 0, `V` (H, K), `v` (K,)."""

    def __init__(self, W, V, v):
        self.W, self.V, self.v = W, V, v

    def train(self, xs, target, learning_rate):
        """One step of gradient descent on xs (T, B, D) and target (B, K). Returns the loss."""
        T, B, D = xs.shape
        H = len(self.V)
        inputs, gates, cs, h = [], [], [np.zeros((B, H))], np.zeros((B, H))
        for x in xs:
            inputs.append(np.hstack([np.ones((B, 1)), x, h]))
            z = inputs[-1] @ self.W
            i, f, o = np.hsplit(sigmoid(z[:, : 3 * H]), 3)
            g = np.tanh(z[:, 3 * H :])
            gates.append((i, f, o, g))
            cs.append(f * cs[-1] + i * g)
            h = o * np.tanh(cs[-1])
        y = h @ self.V + self.v
        dy = 2 * (y - target) / y.size

        dh, dc, dW = dy @ self.V.T, np.zeros((B, H)), np.zeros_like(self.W)
        for t in reversed(range(T)):
            i, f, o, g = gates[t]
            tanh_c = np.tanh(cs[t + 1])
            dc = dc + dh * o * (1 - tanh_c**2)
            dz_i, dz_f = dc * g * i * (1 - i), dc * self.state_before(cs, t) * f * (1 - f)
            dz_o, dz_g = dh * tanh_c * o * (1 - o), dc * i * (1 - g**2)
            dz = np.hstack([dz_i, dz_f, dz_o, dz_g])
            dW += inputs[t].T @ dz
            dh, dc = (dz @ self.W.T)[:, 1 + D :], dc * f

        self.W -= learning_rate * dW
        self.V -= learning_rate * h.T @ dy
        self.v -= learning_rate * dy.sum(axis=0)
        return ((y - target) ** 2).mean()

    def state_before(self, cs, t):
        """The cell state that step t began with."""
        return cs[t]


# ---- the adapter

LAYOUT = Layout(gates="ifog", kernel="W", concatenated="1xh", dense_kernel="V", dense_bias="v", axes="TBD")


def adapter(problem: Problem, learning_rate: float = 2.0**20) -> dict[str, np.ndarray]:
    """One update, and the gradients that it came from."""
    before = LAYOUT.weights(problem)
    net = Net(**LAYOUT.weights(problem))
    net.train(LAYOUT.theirs(problem.x), LAYOUT.theirs(problem.y), learning_rate)
    return LAYOUT.gradients(problem, gradient_from_update(before, vars(net), learning_rate))


# ---- the tests

CASE = Case("own-update", Sequential([LSTM(3), Dense(2)]))


def test_right():
    """The network's update is that of the right gradient."""
    tapecheck.check(CASE, implementation=adapter).assert_passed()


def test_a_learning_rate_that_cannot_be_changed():
    """With weights in longdouble the update rounds 2,000 times less, and a usual learning rate will do."""

    def wide(problem: Problem) -> dict[str, np.ndarray]:
        before = {name: weight.astype(np.longdouble) for name, weight in LAYOUT.weights(problem).items()}
        net = Net(**{name: weight.copy() for name, weight in before.items()})
        net.train(LAYOUT.theirs(problem.x), LAYOUT.theirs(problem.y), 0.01)
        return LAYOUT.gradients(problem, gradient_from_update(before, vars(net), 0.01))

    tapecheck.check(CASE, implementation=wide).assert_passed()


def test_off_by_one_in_the_state(monkeypatch):
    """The state after the step in place of the one before it is found, in the forget gate alone."""
    monkeypatch.setattr(Net, "state_before", lambda self, cs, t: cs[t + 1])
    report = tapecheck.check(CASE, implementation=adapter)
    assert report.verdict == "failed"
    assert not report.tensors["lstm/bias"].passed
    assert report.tensors["dense/kernel"].passed


@pytest.mark.parametrize(
    ("learning_rate", "verdict"), [(0.01, "failed"), (2.0**20, "passed"), (2.0**100, "passed")]
)
def test_learning_rates(learning_rate, verdict):
    """After an update with a usual learning rate too little is left of a right gradient; with a huge
    one, all of it.
    """
    report = tapecheck.check(CASE, implementation=lambda problem: adapter(problem, learning_rate))
    errors = {name: f"{tensor.error:.1f} of {tensor.limit:.0f}" for name, tensor in report.tensors.items()}
    print(f"learning rate {learning_rate:g}: {errors}")
    assert report.verdict == verdict
