"""What the tests of the probes share: implementations with a mistake, and what the probes find in them."""

import inspect

import pytest

from reference_impl import LSTM, Dense, Sequential
from reference_impl.textbook import lstm
from tapecheck import Case, Result
from tapecheck.exact import run_textbook
from tapecheck.localize import copy_of, sequential
from tapecheck.probes import SUSPECT, probe

EVERY_STEP = Case("probes", Sequential([LSTM(4, return_sequences=True), Dense(2)]), 3, 5, 3)


@pytest.fixture
def every_step():
    """The case that is probed where a test names no other."""
    return EVERY_STEP


# ---- implementations


@pytest.fixture
def edited():
    """What makes an implementation: the textbook with one piece of its LSTM's source replaced."""

    def make(right, wrong):
        source = inspect.getsource(lstm)
        assert source.count(right) == 1, right
        book, copy = copy_of(sequential), copy_of(lstm)
        exec(source.replace(right, wrong), vars(copy))
        vars(book)["lstm"] = copy

        def implementation(problem):
            run = run_textbook(problem, lambda array: array, book)
            return Result(run.gradients, run.output, run.loss)

        return implementation

    return make


@pytest.fixture
def shipped():
    """The implementation that is right: its gradients, with the output."""

    def implementation(problem):
        output, loss, gradients = problem.model.run(problem, problem.loss)
        return Result(gradients, output, loss)

    return implementation


@pytest.fixture
def changed(shipped):
    """What makes an implementation: `change(problem, gradients)` of the right gradients."""
    return lambda change: lambda problem: change(problem, dict(shipped(problem).gradients))


# ---- what the probes find


def by_name(implementation, case=EVERY_STEP):
    """Every probe by its name."""
    return {p.name: p for p in probe(implementation, case)}


@pytest.fixture
def probed():
    """Every probe of an implementation by its name."""
    return by_name


@pytest.fixture
def suspicions():
    """What each suspicious probe of an implementation says, by name."""
    return lambda *asked: {name: p.says for name, p in by_name(*asked).items() if p.outcome == SUSPECT}


@pytest.fixture
def outcomes():
    """The outcome of every probe of an implementation, by name."""
    return lambda *asked: {name: p.outcome for name, p in by_name(*asked).items()}
