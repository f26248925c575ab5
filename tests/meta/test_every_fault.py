"""Every known mistake goes through the checker: detected wherever it shows, and named."""

from functools import cache

import numpy as np
import pytest
from measure import CASES, LATE, MODULES, case_of, planted

import tf_oracle
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, check
from tapecheck.adequacy import sees, unseen
from tapecheck.catalogue import CATALOGUE
from tapecheck.compare import FAILED, compare
from tapecheck.diagnose import diagnose
from tapecheck.exact import exact, run_textbook
from tapecheck.faults import BROKEN, faults, further

CASE = Case(
    "every-fault",
    Sequential([LSTM(5, return_sequences=True), Dense(4, activation="tanh")]),
    batch=3,
    timesteps=7,
    features=6,
    initial_state="random",
)


def test_every_visible_fault_fails():
    """Measured against TensorFlow and the exact gradient, each fault that changes anything fails in at
    least one tensor, and each that changes nothing passes in all.
    """
    problem = CASE.problem()
    true = exact(problem).tensors
    oracle = tf_oracle.run(problem.model, problem, problem.loss).gradients
    book = run_textbook(problem, np.asarray).gradients
    every = faults(problem) + further(problem)
    visible = {fault for fault in sees(CASE, every) if fault.phase != "forward"}
    assert len(visible) > 1000
    with np.errstate(all="ignore"):
        for fault in every:
            if fault.phase == "forward":
                continue
            try:
                wrong = fault.run(problem).gradients
            except BROKEN:
                continue
            verdicts = {
                compare(name, wrong[name], oracle[name], book[name], true[name], problem.dtype).verdict
                for name in problem.tensors
            }
            assert (FAILED in verdicts) == (fault in visible), str(fault)


def test_catalogue_sees_every_fault():
    """What any case could be made to see, the catalogue sees: no mistake is hidden from all its cases."""
    assert unseen(CATALOGUE) == frozenset()


def test_further_faults_show():
    """Each mistake in a part of an equation, or around it, changes something: none is there for nothing."""
    every = further(CASE.problem())
    assert len(every) > 400
    assert sees(CASE, every) == frozenset(every)


@cache
def sample(made):
    """Ten faults that show, drawn once for all."""
    visible = sorted(sees(CASE, made(CASE.problem())), key=str)
    return [visible[k] for k in np.random.default_rng(7).permutation(len(visible))[:10]]


@pytest.mark.parametrize("made", [faults, further], ids=["equation", "part"])
@pytest.mark.parametrize("number", range(10))
def test_a_sample_is_named_as_itself(number, made):
    """A fault, given as an implementation, is diagnosed as itself or as one with the same numbers."""
    problem, fault = CASE.problem(), sample(made)[number]
    first = diagnose(fault, problem, fault(problem))[0]
    assert fault.wrong in (first.equation, *first.same) or fault.quantity == first.quantity


BUGS = [(module, bug) for module in MODULES for bug in MODULES[module].BUGS]


@pytest.mark.parametrize(("module", "bug"), BUGS, ids=[f"{module}-{bug}" for module, bug in BUGS])
def test_handwritten_mistakes_fail(module, bug):
    """Other people's styles of code: each mistake fails the check."""
    assert check(case_of(module, bug), planted(module, bug)).verdict == FAILED


UNTUNED = [(module, bug) for module, bug in BUGS if module in LATE]


@pytest.mark.parametrize(("module", "bug"), UNTUNED, ids=[f"{module}-{bug}" for module, bug in UNTUNED])
def test_what_is_said_for_certain_is_true(module, bug):
    """On code that no matcher was written for, a certain diagnosis names the wrong equation, or one with
    the same numbers. `python tests/meta/measure.py` prints how many are named, of these and all others.
    """
    problem, implementation = case_of(module, bug).problem(), planted(module, bug)
    expected = MODULES[module].BUGS[bug]
    for diagnosis in diagnose(implementation, problem, implementation(problem)):
        same = {equation.partition(" = ")[0] for equation in diagnosis.same}
        assert not diagnosis.certain or ({diagnosis.quantity} | same) & set(expected[0]), diagnosis


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("case", [CASES["sequences"], CASES["last"]], ids=lambda case: case.name)
def test_handwritten_code_without_the_mistake_passes(module, case):
    """Each of these styles is right when nothing is planted: it passes and has no diagnosis."""
    report = check(case, planted(module))
    report.assert_passed()
    assert report.diagnoses == ()
