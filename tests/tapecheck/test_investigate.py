"""A failed check is investigated: what was found is on the report, and nothing is on a passed one."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Flatten, Sequential
from reference_impl.textbook import lstm, sequential
from tapecheck import Case, Result, check
from tapecheck.exact import run_textbook
from tapecheck.faults import faults
from tapecheck.localize import copy_of
from tapecheck.probes import derived

CASE = Case(
    "investigate",
    Sequential([LSTM(4, return_sequences=True), Dense(3, activation="tanh")]),
    initial_state="random",
)


def mistaken(quantity, wrong, of=CASE):
    """The fault that computes `wrong`, as anyone's implementation: gradients and nothing else."""
    (fault,) = [f for f in faults(of.problem()) if (f.quantity, f.wrong) == (quantity, wrong)]
    return lambda problem: Result(fault(problem).gradients)


def test_report_carries_the_diagnosis():
    """The first line names the equation, `diagnoses` holds it, `first_divergence` has gate and last step."""
    report = check(CASE, mistaken("df", "df = dc * c"))
    assert str(report).startswith("gradient mismatch: df = dc * c, not dc * c_prev; ")
    assert (report.diagnoses[0].quantity, report.diagnoses[0].certain) == ("df", True)
    first = report.first_divergence
    assert (first.phase, first.layer, first.step, first.gate) == ("backward", "lstm", CASE.timesteps - 1, "f")


def test_what_two_long_equations_share_is_said_once():
    """The first line has room for what tells them apart."""
    report = check(CASE, mistaken("dc", "dc = dh * o * (1 - phi_c * phi_c)"))
    assert report.headline.startswith(
        "gradient mismatch: dc = dh * o * (1 - phi_c * phi_c), not ... + dc_next; "
    )


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_sum_over_one_step_is_said_as_an_equation(which):
    """The first line of a head's gradient that is one step's names the gradient."""
    for quantity, one in (("dW_y", "dW_y = h.T @ dlogits"), ("db_y", "db_y = dlogits")):
        report = check(CASE, mistaken(quantity, f"{one} of the {which} step alone"))
        assert report.headline.startswith(f"gradient mismatch: {one} of the {which} step alone, not ")
        assert report.diagnoses[0].right == f"{quantity} = sum of {one.partition(' = ')[2]} over all steps"
    report = check(CASE, mistaken("dW_y", f"dW_y, db_y = those of the {which} step alone"))
    assert report.headline.startswith(
        f"gradient mismatch: dW_y, db_y = those of the {which} step alone, not "
    )


def test_weights_scaled_after_the_backward_pass():
    """Clipped by their norm, the weights' gradients are wrong by one factor, and those of x are right: no
    sum over the steps is to blame.
    """
    labels = Case(
        "clipped",
        Sequential([LSTM(4), Dense(3, activation="softmax")]),
        loss="categorical_crossentropy",
    )

    def clipped(problem):
        gradients = problem.reference.gradients
        weights = {name: gradients[name] for name in problem.weights}
        norm = np.sqrt(sum(float((g**2).sum()) for g in weights.values()))
        return gradients | {name: g * min(1, 0.1 / norm) for name, g in weights.items()}

    report = check(labels, clipped)
    assert report.headline.startswith(
        "gradient mismatch: the weights' gradients scaled down to a common norm"
    )
    assert "perhaps wrong" not in str(report)


def test_something_added_from_a_step_on():
    """Adding f to dc is a gradient without an upstream one, but no other forward pass: the step is named."""
    book, wrong = copy_of(sequential), copy_of(lstm)
    exec(inspect.getsource(lstm).replace("dc_next = dc * f", "dc_next = f if t else dc * f"), vars(wrong))
    vars(book)["lstm"] = wrong

    def implementation(problem):
        return run_textbook(problem, np.asarray, book).gradients

    report = check(CASE, implementation)
    step = CASE.timesteps - 2
    assert report.headline.startswith(f"gradient mismatch: dc wrong from step {step} backwards; ")


def test_experiments_are_told():
    """The text says what the experiments on the implementation point to."""
    text = str(check(CASE, mistaken("dh_next", "dh_next = 0")))
    assert "experiments" in text
    assert "exact with W_h = 0: the mistake shows only where W_h hands something on" in text


def test_trace_localizes_the_first_divergence():
    """With a trace that goes wrong at one step, that step and quantity are named in report and text."""

    def traced(problem):
        run = run_textbook(problem, np.asarray)
        trace = {name: array.copy() for name, array in run.trace.items()}
        trace["lstm/dz_o"][:, 2] *= 1.5
        gradients = {name: gradient * 1.0001 for name, gradient in run.gradients.items()}
        return Result(gradients, trace=trace)

    report = check(CASE, traced)
    first = report.first_divergence
    assert (first.phase, first.step, first.quantity) == ("backward", 2, "dz_o")
    assert "<- first divergence" in str(report)


def test_passing_checks_are_not_investigated():
    """A check that passes has no diagnosis and no divergence. It asks the implementation twice, then with
    larger targets, and that is all.
    """
    asked = []

    def counted(problem):
        asked.append(problem)
        return problem.reference.gradients

    report = check(CASE, counted)
    assert (report.passed, report.diagnoses, report.first_divergence) == (True, (), None)
    assert len(asked) == 3


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(3, activation="tanh")],
        [Flatten(), Dense(3)],
        [Dense(4, activation="tanh"), LSTM(3)],
        [LSTM(3)],
        [LSTM(3, return_sequences=True), Flatten()],
        [LSTM(3, return_sequences=True), LSTM(2), Dense(2), Dense(3)],
    ],
    ids=repr,
)
def test_every_kind_of_stack_is_investigated(layers):
    """Without an LSTM, without a head, with either twice: a common factor is named as what it is."""
    case = Case("investigate-stack", Sequential(layers))
    report = check(case, lambda p: {name: 2 * g for name, g in p.reference.gradients.items()})
    assert str(report).startswith("gradient mismatch: all gradients times 2; ")
    assert report.diagnoses[0].quantity == "scale"


def test_arrays_that_are_no_gradients_are_not_investigated():
    """With NaN or a wrong shape there is nothing to reproduce: that is said, and no equation accused."""
    report = check(CASE, lambda p: p.reference.gradients | {"lstm/bias": np.full(16, np.nan)})
    assert report.verdict == "failed"
    assert report.diagnoses == ()


def test_pairs_are_looked_for_on_request():
    """With `pairs=True`, two mistakes in different equations are both named."""
    keys = (("df", "df = dc * c"), ("do", "do = dh * c"))
    one, other = (
        next(fault for fault in faults(CASE.problem()) if (fault.quantity, fault.wrong) == key)
        for key in keys
    )
    both = one + other
    report = check(CASE, lambda problem: Result(both(problem).gradients), pairs=True)
    assert {"df", "do"} <= {diagnosis.quantity for diagnosis in report.diagnoses[:3]}


def test_code_without_a_batch():
    """Code that takes one sequence, and the first of any batch, is asked about one sequence alone."""
    one = Case("investigate-one", CASE.model, batch=1, timesteps=6)

    def first_row(problem):
        alone = derived.cut(problem, batch=1)
        return mistaken("df", "df = dc * c", of=one)(alone)

    report = check(one, first_row)
    assert str(report).startswith("gradient mismatch: df = dc * c, not dc * c_prev; ")
    assert report.first_divergence.gate == "f"


def test_code_that_takes_token_ids():
    """Code that reads nothing of x but which feature is 1 is diagnosed as any other, on inputs like it."""
    tokens = Case("investigate-tokens", CASE.model, timesteps=6, features=5, inputs="one_hot")

    def of_ids(problem):
        ids = problem.x.argmax(-1)
        x = np.eye(problem.x.shape[-1], dtype=problem.dtype)[ids]
        return mistaken("dc_next", "dc_next = 0", of=tokens)(replace(problem, x=x))

    assert check(tokens, lambda p: p.reference.gradients).passed
    report = check(tokens, of_ids)
    assert str(report).startswith("gradient mismatch: dc_next = 0, not dc * f; ")
    assert report.first_divergence.quantity == "dc"


def test_a_wrong_derivative_of_the_loss():
    """Where a given dy goes back rightly, and that of the loss is of no known form, the loss is to blame."""

    def odd(problem):
        if problem.loss is None:
            return problem.reference.gradients
        output = problem.reference.output
        dy = np.sin(output - problem.y) / output.size
        case = replace(problem.case, loss=None)
        return replace(problem, case=case, y=dy).reference.gradients

    report = check(CASE, odd)
    assert report.headline.startswith("gradient mismatch: right where dy is given, so it is dy: ")
    assert report.diagnoses[0].quantity == "dlogits"  # as far as the gradients alone can tell it from dy


def test_leads_that_would_mislead_are_not_told():
    """Where another forward pass shows in the gradients alone, no backward equation is a diagnosis either."""

    def another_gate(problem):
        weights = {name: np.where(name == "lstm/bias", 1.7, 1.0) * w for name, w in problem.weights.items()}
        return replace(problem, weights=weights).reference.gradients

    report = check(CASE, another_gate)
    assert report.headline.startswith("gradient mismatch: another forward pass, or something added")
    assert report.investigation.diagnoses
    assert report.diagnoses == ()
