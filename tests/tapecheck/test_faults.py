"""The faults are real: they are the textbook's own lines, edited, and do what they say."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reference_impl
from reference_impl import LSTM, Dense, Flatten, Named, Sequential
from tapecheck import Case, Result
from tapecheck.adequacy import sees
from tapecheck.exact import run_textbook
from tapecheck.faults import WHY, Fault, clipped_by_norm, clipped_by_value, faults, program, slope, times

SEQUENCES = Case(
    "faults-sequences",
    Sequential([LSTM(5, return_sequences=True), Dense(4, activation="tanh")]),
    batch=3,
    timesteps=7,
    features=6,
    initial_state="random",
)
LAST = replace(SEQUENCES, name="faults-last", model=Sequential([LSTM(5), Dense(4)]))
SOFTMAX = replace(
    SEQUENCES,
    name="faults-softmax",
    model=Sequential([LSTM(4), Dense(5, activation="softmax")]),
    loss="categorical_crossentropy",
)
FLATTEN = replace(
    SEQUENCES, name="faults-flatten", model=Sequential([LSTM(5, return_sequences=True), Flatten(), Dense(4)])
)


def find(case, quantity, wrong):
    """The one fault that computes `wrong`."""
    (fault,) = [f for f in faults(case.problem()) if (f.quantity, f.wrong) == (quantity, wrong)]
    return fault


@pytest.mark.parametrize("case", [SEQUENCES, LAST, SOFTMAX, FLATTEN], ids=lambda case: case.name)
def test_without_an_edit_the_program_is_the_textbook(case):
    """Run a line at a time from its source, the textbook gives the same bits as when Python runs it."""
    problem = case.problem()
    book = run_textbook(problem, np.asarray)
    key = next(line.key for line in program.LSTM_BACKWARD.assignments if line.target == "dh")
    same = program.compiled_lines("dh = dh_above + dh_next")
    found = program.backpropagate(problem, {key: same})
    assert found.output.tobytes() == book.output.tobytes()
    assert {n: g.tobytes() for n, g in found.gradients.items()} == {
        n: g.tobytes() for n, g in book.gradients.items()
    }


@pytest.mark.parametrize("case", [SEQUENCES, LAST, SOFTMAX], ids=lambda case: case.name)
def test_every_location_is_the_line_of_the_equation(case):
    """The line that a fault points at assigns what the fault says is wrong."""
    root = Path(reference_impl.__file__).parent
    pointed = [fault for fault in faults(case.problem()) if fault.location]
    assert len(pointed) > 500
    for fault in pointed:
        file, line = fault.location.split(":")
        text = (root / file).read_text().splitlines()[int(line) - 1]
        target = re.match(r"[\w, ]+?(?= = )", fault.right)
        if file.startswith("losses/"):
            assert text.lstrip().startswith("return") or "def" in text
        elif target and target[0] in text.partition("=")[0]:
            continue
        else:
            assert re.search(r"^\s*[\w, ]+ = ", text), (fault, text)


def test_every_fault_says_what_it_is():
    """Each has a quantity, both equations, which differ, and a reason in words."""
    for fault in faults(SEQUENCES.problem()):
        assert fault.quantity
        assert fault.right != fault.wrong, fault
        assert fault.kind in WHY
        assert len(fault.why) > 15
        assert all(part.isascii() for part in (fault.right, fault.wrong, fault.why))


# The classes of what people really get wrong, with an equation of each.
PEOPLE = {
    "recurrence not carried": ("dh_next", "dh_next = 0"),
    "cell carry missing": ("dc_next", "dc_next = 0"),
    "recurrent kernel not transposed": ("dh_next", "dh_next = dz @ W_h"),
    "off by one in the state": ("df", "df = dc * c"),
    "derivative of an activated value": ("dz_g", "dz_g = dg * (1 - tanh(g) * tanh(g))"),
    "gate derivative left out": ("dz_f", "dz_f = df"),
    "copy and paste between gates": ("db", "db = db + dz_o_from_f.sum(axis=0)"),
    "overwrite instead of accumulate": ("dW_x", "dW_x = x_t.T @ dz"),
    "normalisation": ("db", "db = db + dz.mean(axis=0)"),
    "x of the last step for all steps": ("dW_x", "dW_x = dW_x + x_t_last.T @ dz"),
    "sign": ("sign", "all gradients times -1"),
    "stale cache": ("cache", "i, f, g, o of the last step"),
    "float32 buffers": ("precision", "rounded to float32"),
    "a different forward": ("h", "h = o * c"),
    "truncation": ("truncation", "dh_next = dc_next = 0 after 2 steps from the end"),
    "clipping inside backward": ("clipping", "dz = clip(dz, -0.1, 0.1)"),
}


@pytest.mark.parametrize(("kind", "named"), PEOPLE.items(), ids=PEOPLE)
def test_what_people_get_wrong_is_among_them(kind, named):
    """Each class of docs/faults.md has its fault, under that name."""
    assert find(SEQUENCES, *named).kind == kind


def test_last_step_loss_at_every_step_needs_a_model_without_sequences():
    """dh_above at all steps is right with return_sequences=True, and a fault without."""
    wrong = "dh_above = dlogits @ W_y.T at every step"
    assert sees(LAST, [find(LAST, "dh_above", wrong)])
    assert not sees(SEQUENCES, [find(SEQUENCES, "dh_above", wrong)])


@pytest.mark.parametrize("case", [SEQUENCES, LAST, SOFTMAX], ids=lambda case: case.name)
def test_one_small_problem_shows_nearly_all_of_them(case):
    """What leaves no trace is an edit that changes nothing, a clip that is too wide to act, a cut after
    more steps than there are, or what only the other kind of model has.
    """
    every = faults(case.problem())
    visible = sees(case, every)
    runs = [fault for fault in every if answers(fault, case.problem())]
    hidden = [fault for fault in runs if fault not in visible]
    allowed = ("clipping", "truncation", "dh_above", "dlogits", "dW_y", "db_y")
    nothing = {"z = x_t @ W_x + h @ W_h + b", "c = f * c + i * g"}  # h and c are still the step before's
    nothing |= {f"dz_{k} = d{k} * (1 - {k}) * (1 - (1 - {k}))" for k in "ifo"}  # sigma' is symmetric
    surprising = [fault for fault in hidden if fault.quantity not in allowed and fault.wrong not in nothing]
    assert [str(fault) for fault in surprising] == []
    assert len(visible) > 1000


def answers(fault, problem):
    """Whether the faulty program runs at all and returns gradients of the right shapes."""
    try:
        found = fault(problem)
    except (ArithmeticError, AttributeError, IndexError, KeyError, NameError, TypeError, ValueError):
        return False
    right = problem.reference.gradients
    return all(np.shape(found.gradients[name]) == right[name].shape for name in right)


def test_an_edit_does_what_it_says():
    """`dW_h += h_t.T @ dz` by hand: the states shifted by one, all else right."""
    problem = SEQUENCES.problem()
    found = find(SEQUENCES, "dW_h", "dW_h = dW_h + h.T @ dz")(problem)
    trace = run_textbook(problem, np.asarray).trace
    dz = np.concatenate([trace[f"lstm/dz_{gate}"] for gate in "ifgo"], axis=2)
    by_hand = np.einsum("bth,btk->hk", trace["lstm/h"], dz)
    np.testing.assert_allclose(found.gradients["lstm/recurrent_kernel"], by_hand, rtol=1e-12)
    right = run_textbook(problem, np.asarray).gradients
    assert [n for n in right if found.gradients[n].tobytes() != right[n].tobytes()] == [
        "lstm/recurrent_kernel"
    ]


def test_names_of_other_steps_mean_other_steps():
    """`f_next` is the next step's f: dc_next by hand, for the gradient of the initial cell state."""
    problem = replace(SEQUENCES, name="faults-two-steps", timesteps=2).problem()
    found = find(SEQUENCES, "dc_next", "dc_next = dc * f_last")(problem)
    _, _, values = program.forward(problem, {})
    trace = run_textbook(problem, np.asarray).trace
    last = values[0].values[1]
    # At t = 1 the last step's f is its own, so dc at t = 0 is the right one; only what leaves t = 0 differs.
    np.testing.assert_allclose(
        found.gradients["lstm/initial_c"], trace["lstm/dc"][:, 0] * last["f"], rtol=1e-12
    )


def test_a_fault_is_an_implementation():
    """Called with a problem it answers as an implementation does."""
    answer = find(SEQUENCES, "df", "df = dc * c")(SEQUENCES.problem())
    assert isinstance(answer, Result)
    assert set(answer.gradients) == set(SEQUENCES.problem().tensors)


def test_two_faults_at_once():
    """The sum of two faults changes what each of them changes."""
    problem = SEQUENCES.problem()
    bias = find(SEQUENCES, "db", "db = db + dz.mean(axis=0)")
    head = find(SEQUENCES, "db_y", "db_y = d_rows.mean(axis=0)")
    both = (bias + head)(problem).gradients
    np.testing.assert_array_equal(both["lstm/bias"], bias(problem).gradients["lstm/bias"])
    np.testing.assert_array_equal(both["dense/bias"], head(problem).gradients["dense/bias"])


def test_conventions_add_up_too():
    """A factor after a fault acts on the faulty gradients."""
    problem = SEQUENCES.problem()
    fault = find(SEQUENCES, "df", "df = dc * c")
    both = (fault + times(3.0))(problem).gradients
    for name, gradient in fault(problem).gradients.items():
        np.testing.assert_array_equal(both[name], 3 * gradient)


def test_clipping_by_value_and_by_norm():
    """No value, and no common norm, is above the limit; what is below it is left alone."""
    problem = SEQUENCES.problem()
    right = run_textbook(problem, np.asarray).gradients
    clipped = clipped_by_value(0.01, right)(problem).gradients
    assert max(np.abs(g).max() for g in clipped.values()) == 0.01
    norm = np.sqrt(sum(np.sum(g**2) for g in clipped_by_norm(0.01, right)(problem).gradients.values()))
    np.testing.assert_allclose(norm, 0.01, rtol=1e-12)
    wide = clipped_by_norm(1e6, right)(problem).gradients
    assert all(wide[name].tobytes() == right[name].tobytes() for name in right)


@pytest.mark.parametrize("case", [SEQUENCES, LAST, SOFTMAX], ids=lambda case: case.name)
def test_slope_is_that_of_the_forward_pass(case):
    """Without an edit the complex step along a direction is the gradient's component there."""
    problem = case.problem()
    nothing = Fault("none", "sign", "", "")
    rng = np.random.default_rng(0)
    for name, gradient in run_textbook(problem, np.asarray).gradients.items():
        direction = rng.standard_normal(gradient.shape)
        np.testing.assert_allclose(
            slope(nothing, problem, {name: direction}), np.sum(gradient * direction), rtol=1e-10
        )


def test_slope_of_another_forward_pass_is_another():
    """The gradient of h = o * c is not that of the model."""
    problem = SEQUENCES.problem()
    fault = find(SEQUENCES, "h", "h = o * c")
    direction = {"lstm/kernel": np.ones_like(problem.weights["lstm/kernel"])}
    right = np.sum(run_textbook(problem, np.asarray).gradients["lstm/kernel"])
    assert abs(slope(fault, problem, direction) - right) > 1e-3 * abs(right)


@pytest.mark.parametrize("case", [SEQUENCES, LAST], ids=lambda case: case.name)
def test_edits_of_the_loss_are_seen(case):
    """A wrong derivative of the loss itself, its sign or its factor, runs and shows in every tensor."""
    problem = case.problem()
    of_loss = [fault for fault in faults(problem) if fault.location.startswith("losses/")]
    assert {"sign", "normalisation"} <= {fault.kind for fault in of_loss}
    turned = {fault for fault in of_loss if fault.kind == "sign"}
    assert turned <= sees(case, of_loss)
    for fault in turned:
        wrong = fault.run(problem).gradients
        assert all(not np.array_equal(wrong[name], problem.reference.gradients[name]) for name in wrong)


@pytest.mark.parametrize(
    ("activation", "right", "wrong"),
    [
        (
            "silu",
            "dz_g = dg * sigmoid(z_g) * (1 + z_g * sigmoid(-z_g))",
            "dz_g = dg * sigmoid(g) * (1 + g * sigmoid(-g))",
        ),
        ("gelu", "dz_g = dg * gelu'(z_g)", "dz_g = dg * gelu'(g)"),
        (
            Named("elu", alpha=0.5),
            "dz_g = np.where(positive(z_g), dg, dg * 0.5 * np.exp(negative_part(z_g)))",
            "dz_g = np.where(positive(g), dg, dg * 0.5 * np.exp(negative_part(g)))",
        ),
    ],
    ids=["written out", "by name", "with its argument"],
)
def test_derivatives_that_read_z(activation, right, wrong):
    """Where a derivative is written in z, taking it of the activated value is a fault of its own, which
    runs and is seen; what is not read is never edited.
    """
    model = Sequential([LSTM(5, activation=activation, return_sequences=True), Dense(4)])
    case = replace(SEQUENCES, name="faults-of-z", model=model)
    fault = find(case, "dz_g", wrong)
    assert (fault.kind, fault.right) == ("derivative of an activated value", right)
    assert sees(case, [fault])
    assert not any(each.wrong == each.right for each in faults(case.problem()))
