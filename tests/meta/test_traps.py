"""The traps of a verdict, each of which a published check has fallen into: none may read "passed"."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

import tf_oracle
from reference_impl import LSTM, Dense, Sequential, textbook
from reference_impl.textbook import lstm, sequential
from tapecheck import Case, Result, check, referee
from tapecheck.localize import copy_of
from tapecheck.referee import NOBODY, OURS_OFF

CASE = Case("trap", Sequential([LSTM(5, return_sequences=True), Dense(1)]), 3, 6, 4)


def changed(name, change):
    """The shipped gradients with one tensor changed."""
    return lambda p: p.reference.gradients | {name: change(p.reference.gradients[name])}


@pytest.mark.parametrize("name", CASE.problem().tensors)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_fail(name, value):
    """One NaN or infinity in any tensor fails, and the report says where it is first."""

    def poison(gradient):
        gradient = gradient.copy()
        gradient.flat[-1] = value
        return gradient

    report = check(CASE, changed(name, poison))
    assert report.verdict == "failed"
    assert f"holds {value}" in str(report)


def test_nan_everywhere_fails():
    """NaN in every tensor does not agree with anything, NaN included."""
    report = check(CASE, lambda p: {k: g * np.nan for k, g in p.reference.gradients.items()})
    assert report.verdict == "failed"


@pytest.mark.parametrize("empty", [{}, Result({})])
def test_no_gradient_fails(empty):
    """An empty result fails and says why."""
    report = check(CASE, lambda p: empty)
    assert report.verdict == "failed"
    assert "no gradient was returned" in str(report)


@pytest.mark.parametrize("name", CASE.problem().weights)
def test_missing_weight_gradient_never_passes(name):
    """A result that leaves out a weight proves too little, and is listed as unchecked."""
    report = check(CASE, lambda p: {k: g for k, g in p.reference.gradients.items() if k != name})
    assert report.verdict == "inconclusive"
    assert report.tensors[name].verdict == "unchecked"
    assert name in str(report).splitlines()[0]


def test_missing_input_gradient_is_listed():
    """Code for training has no gradient of x or of the states: it passes, and the first line says so."""
    report = check(CASE, lambda p: {k: p.reference.gradients[k] for k in p.weights})
    assert report.verdict == "passed"
    assert "unchecked: x, lstm/initial_h, lstm/initial_c" in str(report).splitlines()[0]


def test_misspelt_tensor_fails_with_the_right_name():
    """A gradient under an unknown name is not dropped in silence."""
    report = check(CASE, lambda p: p.reference.gradients | {"lstm/kernal": p.x})
    assert report.verdict == "failed"
    assert "did you mean 'lstm/kernel'?" in report.headline


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("dense/kernel", lambda g: g[:, 0], "has shape (5,), but should be (5, 1)"),
        ("dense/bias", lambda g: g[:, None], "has shape (1, 1), but should be (1,)"),
        ("dense/bias", lambda g: g[0], "has shape (), but should be (1,)"),
        ("lstm/bias", lambda g: g[None], "has shape (1, 20), but should be (20,)"),
        ("lstm/kernel", lambda g: g.T, "has shape (20, 4), but should be (4, 20)"),
        ("lstm/kernel", lambda g: g.tolist(), "is a list, but should be a NumPy array"),
        ("lstm/kernel", lambda g: g.astype(np.float32), "is float32, but should be float64"),
        ("lstm/kernel", lambda g: g.astype(complex), "is complex128, but should be float64"),
        ("lstm/kernel", lambda g: np.zeros(g.shape, int), "is int64, but should be float64"),
        ("lstm/kernel", lambda g: g.astype(object), "is object, but should be float64"),
    ],
)
def test_wrong_shape_or_type_fails(name, change, said):
    """Nothing is broadcast, transposed or cast: (5,) is not (5, 1), float32 is not float64."""
    report = check(CASE, changed(name, change))
    assert report.verdict == "failed"
    assert said in str(report)


def test_float64_for_a_float32_problem_is_welcome():
    """More precision than asked for is no mistake."""
    case = replace(CASE, name="trap-float32", dtype="float32")
    report = check(case, lambda p: {k: g.astype(np.float64) for k, g in p.reference.gradients.items()})
    assert report.verdict == "passed"


def dead_problem(**changes):
    """A relu head whose pre-activations are all negative: every gradient is exactly zero."""
    case = Case("dead", Sequential([LSTM(5, return_sequences=True), Dense(2, activation="relu")]), 3, 6, 4)
    problem = case.problem()
    dead = problem.weights | {"dense/bias": np.full(2, -1e3)}
    return replace(problem, weights=dead, **changes)


def test_dead_head_is_inconclusive():
    """All-zero gradients that agree prove nothing, and the report says that the head is dead."""
    report = check(dead_problem())
    assert report.verdict == "inconclusive"
    assert "dead relu head" in str(report)


def test_wrong_gradient_on_a_dead_head_fails():
    """A slice whose exact value is zero must be zero: being wrong is never inconclusive."""
    report = check(dead_problem(), lambda p: {k: g + 1e-300 for k, g in p.reference.gradients.items()})
    assert report.verdict == "failed"


def test_vanished_late_gradients_are_not_passed_as_zero():
    """Gradients of x that vanish towards the first step are held to their own scale, step by step."""
    case = Case("vanishing", Sequential([LSTM(4, unit_forget_bias=False), Dense(2)]), 2, 100, 3)
    exact = check(case).tensors["x"]
    assert exact.passed

    def zero_early(gradient):
        gradient = gradient.copy()
        assert 0 < np.abs(gradient[:, 0]).max() < 1e-9 * np.abs(gradient).max()
        gradient[:, 0] = 0
        return gradient

    assert check(case, changed("x", zero_early)).tensors["x"].verdict == "failed"


def chaotic():
    """A float32 case so ill-conditioned that no gradient of it can be known."""
    case = Case("chaotic", Sequential([LSTM(20), Dense(2)]), 2, 200, 5, dtype="float32")
    problem = case.problem()
    wild = {k: (w * 16).astype(np.float32) if "lstm" in k else w for k, w in problem.weights.items()}
    return replace(problem, weights=wild)


def test_chaotic_case_is_never_passed_on_a_meaningless_limit():
    """Where TensorFlow itself is off by more than 1e-3 of scale, agreement proves nothing."""
    report = check(chaotic())
    worst = max(tensor.limit for tensor in report.tensors.values())
    assert worst * np.finfo(np.float32).eps > 1e-3
    assert report.verdict == "inconclusive"
    assert "ill-conditioned" in str(report) or "not known" in str(report)


def at_the_kink():
    """A relu head fed exactly zero by a cancellation that no precision can decide."""
    case = Case("kink", Sequential([LSTM(4, return_sequences=True), Dense(2, activation="relu")]), 2, 4, 3)
    problem = case.problem()
    opposite = problem.weights["dense/kernel"].copy()
    opposite[1] = -opposite[0]
    opposite[2:] = 0
    twins = {
        name: np.repeat(w.reshape(*w.shape[:-1], 4, 4)[..., :1], 4, axis=-1).reshape(w.shape)
        for name, w in problem.weights.items()
        if name.startswith("lstm")
    }
    flat = {"dense/kernel": opposite, "dense/bias": np.zeros(2)}
    return replace(problem, weights=problem.weights | twins | flat)


def test_unknown_exact_value_is_inconclusive():
    """Where no precision decides on which side of a kink the model is, nothing is claimed."""
    report = check(at_the_kink())
    assert report.verdict == "inconclusive"
    assert "sign of a ball" in str(report).splitlines()[0]


def test_wrong_shape_fails_even_where_the_exact_value_is_unknown():
    """What is wrong in any case is wrong in that case too."""
    report = check(at_the_kink(), lambda p: {"lstm/kernel": np.zeros(3)})
    assert report.verdict == "failed"


def with_oracle(monkeypatch, change):
    """TensorFlow as it would be if one of its gradients were wrong."""
    right = tf_oracle.run

    def wrong(*arguments):
        found = right(*arguments)
        return found._replace(gradients=found.gradients | change(found.gradients))

    monkeypatch.setattr(tf_oracle, "run", wrong)


def test_oracle_is_not_above_suspicion(monkeypatch):
    """A wrong TensorFlow neither fails a right candidate nor passes it: the report says who is off."""
    with_oracle(monkeypatch, lambda g: {"lstm/bias": g["lstm/bias"] * 1.01})
    report = check(CASE.problem())
    assert report.verdict == "inconclusive"
    assert "TensorFlow itself is off" in str(report)
    assert "this implementation and the complex step agree: TensorFlow is wrong" in str(report)


def test_wrong_candidate_fails_beside_a_wrong_oracle(monkeypatch):
    """A candidate that agrees with a wrong TensorFlow is wrong all the same."""
    with_oracle(monkeypatch, lambda g: {"lstm/bias": g["lstm/bias"] * 1.01})
    report = check(CASE.problem(), changed("lstm/bias", lambda g: g * 1.01))
    assert report.verdict == "failed"


WRONG_TEXTBOOK = [
    ("df = dc * c_prev", "df = dc * c"),
    ("db = db + dz.sum(axis=0)", "db = db + dz.sum(axis=0) * (1 + 1e-9)"),
]


@pytest.mark.parametrize("edit", WRONG_TEXTBOOK, ids=["df", "a little of db"])
def test_the_textbook_is_not_above_suspicion(monkeypatch, edit):
    """With a wrong equation in the textbook's backward pass, and so in the exact gradient, the complex step
    sides with TensorFlow. Then neither TensorFlow nor a right candidate is accused, and one with the
    textbook's mistake does not pass either: the report says that it is tapecheck's own, and in which tensor.
    """
    problem, right = CASE.problem(), check(CASE.problem())
    book, wrong = copy_of(sequential), copy_of(lstm)
    exec(inspect.getsource(lstm).replace(*edit), vars(wrong))
    vars(book)["lstm"] = wrong
    same = book.backpropagate(problem.model, problem, problem.loss).gradients
    monkeypatch.setattr(textbook, "backpropagate", book.backpropagate)
    for report in (check(problem), check(problem, lambda _: same)):
        bad = report.tensors["lstm/bias"]
        assert (report.verdict, bad.verdict, bad.note) == ("inconclusive", "inconclusive", OURS_OFF)
        assert report.tensors["dense/kernel"].passed
        first, *rest = str(report).splitlines()
        assert first.startswith("inconclusive: lstm/")
        assert "tapecheck's own gradient is off, please report it" in first
        assert any(
            "TensorFlow and the complex step agree: tapecheck's exact gradient" in line for line in rest
        )
        assert "TensorFlow itself is off" not in str(report)
    assert right.passed


def test_three_that_differ_accuse_nobody(monkeypatch):
    """Where the complex step agrees with neither, that is all that is said."""
    monkeypatch.setattr(referee, "complex_steps", lambda problem, name, entries: np.array([0.5]))
    with_oracle(monkeypatch, lambda g: {"lstm/bias": g["lstm/bias"] * 1.01})
    report = check(CASE.problem())
    assert report.verdict == "inconclusive"
    assert NOBODY in report.headline


def test_weights_that_do_not_arrive_fail(monkeypatch):
    """A twin with other weights is no twin."""
    right = tf_oracle.run

    def other_weights(*arguments):
        found = right(*arguments)
        moved = {name: np.nextafter(weight, 9) for name, weight in found.weights.items()}
        return found._replace(weights=moved)

    monkeypatch.setattr(tf_oracle, "run", other_weights)
    report = check(CASE.problem())
    assert report.verdict == "failed"
    assert "not those that were set" in str(report)


def test_inputs_of_the_problem_survive_an_implementation_that_writes_into_them():
    """An implementation that updates its weights in place works on a copy, and is compared fairly."""

    def in_place(problem):
        gradients = problem.reference.gradients
        for name, weight in problem.weights.items():
            weight -= gradients[name]
        return gradients

    check(CASE, in_place).assert_passed()
