"""What is run around code that is only a part: our head, a time loop, an update instead of gradients."""

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Flatten, Sequential
from reference_impl.textbook import lstm as textbook
from tapecheck import Case, check
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.layout import Layout, gradient_from_update, run_head, unroll

# ---- the head and the loop

HEADS = {
    "all-steps": Sequential([LSTM(3, return_sequences=True), Dense(2, activation="softmax")]),
    "last-step": Sequential([LSTM(3), Dense(2, activation="softmax")]),
    "flatten": Sequential([LSTM(3, return_sequences=True), Flatten(), Dense(4), Dense(2, "softmax")]),
    "no-head": Sequential([LSTM(3, return_sequences=True)]),
}


@pytest.mark.parametrize(("name", "alone"), [*((name, False) for name in HEADS), ("last-step", True)])
def test_run_head(name, alone):
    """Our LSTM with `dh` from run_head has the gradients, output and loss of the whole model, for h of
    all steps, and of the last step `alone`.
    """
    model = HEADS[name]
    loss = "mean_squared_error" if name == "no-head" else "categorical_crossentropy"
    problem = Case(name, model, loss=loss).problem()
    layout = Layout(axes="DBT")
    lstm = Sequential([model.layers[0] if alone else LSTM(3, return_sequences=True)])
    weights = {key: array for key, array in problem.weights.items() if key.startswith("lstm/")}

    head = run_head(problem, layout, layout.theirs(lstm.predict(weights, problem.x)))
    _, below = lstm.loss_and_gradients(weights, problem.x, layout.ours(head.dh), loss=None)

    expected = problem.reference
    assert head.loss == expected.loss
    np.testing.assert_array_equal(head.output, expected.output)
    assert (below | head.gradients).keys() == expected.gradients.keys()
    for tensor, gradient in (below | head.gradients).items():
        exact = expected.gradients[tensor].astype(np.longdouble)  # up to the order of its sums
        assert errors(tensor, gradient, exact, problem.dtype).max() <= FACTOR * FLOOR, tensor


def test_outputs_of_an_lstm_that_do_not_fit(refused):
    """run_head wants h of every step where every step counts, of the problem's sizes and dtype."""
    problem = Case("p", Sequential([LSTM(3, return_sequences=True), Dense(2)])).problem()
    h = np.zeros((3, 5, 3))
    [said] = refused(run_head, problem, Layout(), h[:, -1])
    assert said == "`h` has shape (3, 3), but should be (3, 5, 3): (B, T, H)"
    [said] = refused(run_head, problem, Layout(), np.zeros((3, 6, 3)))
    assert said.endswith("(B, T, H); axis 1 is 6, not T = 5")
    [said] = refused(run_head, problem, Layout(), h.astype(np.float32))
    assert said == "`h` is float32, but should be float64, as `x` is"


@pytest.mark.parametrize("axes", ["TBD", "DBT", "BDT", "TD", "DT"])
def test_unroll(axes):
    """The textbook's step, in any axes, is right inside the loop: x, states and weights."""
    layer = LSTM(3)
    case = Case(
        f"unroll-{axes}",
        Sequential([layer, Dense(2)]),
        batch=3 if "B" in axes else 1,
        initial_state="random",
    )
    layout = Layout(axes=axes, dense_kernel=None, dense_bias=None, gradient="d {name}")

    def step_forward(x, h, c, weights):
        own = {name.removeprefix("lstm/"): array for name, array in weights.items()}
        state = {"initial_h": layout.ours(h), "initial_c": layout.ours(c)}
        h, steps, _ = textbook.forward(layer, own, layout.ours(x)[:, None], state)
        return layout.theirs(h), layout.theirs(steps[0]["c"]), (own, steps)

    def step_backward(dh, dc, cache):
        own, [step] = cache
        i, f, g, o, phi_c = (step[name] for name in ("i", "f", "g", "o", "phi_c"))
        dh = layout.ours(dh)
        dc = layout.ours(dc) + dh * o * (1 - phi_c**2)
        dz = np.hstack(
            [
                dc * g * i * (1 - i),
                dc * step["c_prev"] * f * (1 - f),
                dc * i * (1 - g**2),
                dh * phi_c * o * (1 - o),
            ]
        )
        dx, dh_prev = dz @ own["kernel"].T, dz @ own["recurrent_kernel"].T
        gradients = {
            "d lstm/kernel": step["x_t"].T @ dz,
            "d lstm/recurrent_kernel": step["h_prev"].T @ dz,
            "d lstm/bias": dz.sum(axis=0),
        }
        return *map(layout.theirs, (dx, dh_prev, dc * f)), gradients

    report = check(case, implementation=lambda p: unroll(p, layout, step_forward, step_backward))
    report.assert_passed()
    assert all(tensor.passed for tensor in report.tensors.values())


# ---- an update in place of gradients


def test_gradient_from_update():
    """The gradient is what the update took away, over the learning rate."""
    before = {"W": np.array([[1.0, 2.0]]), "b": np.array([4.0])}
    after = {"W": np.array([[0.5, 3.0]]), "b": np.array([4.0])}
    found = gradient_from_update(before, after, 0.25)
    np.testing.assert_array_equal(found["W"], [[2.0, -4.0]])
    np.testing.assert_array_equal(found["b"], [0.0])


def test_update_that_does_not_fit(refused):
    """Everything wrong with an update is said at once, aliasing above all: it would read as zero."""
    W = np.ones((2, 3))
    before, after = {"W": W, "b": W, "u": W}, {"W": W, "b": np.ones(3), "v": W}
    assert refused(gradient_from_update, before, after, 0.0) == [
        "`learning_rate` = 0.0, but should be a finite number that is not 0",
        "weight 'W' is the same array before and after: copy it before the update",
        "weight 'b' has shape (3,) in `after`, but should be (2, 3), as in `before`",
        "weight 'u' is missing in `after`",
    ]
