"""The pytest plugin, installed with the package.

import tapecheck
from mypackage.lstm import gradients

@tapecheck.cases()
def test_gradients(case, gradient_check):
    gradient_check(case, gradients)
"""

import base64
import os
import pickle
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest

from reference_impl.spec import BadInput
from tapecheck.adequacy import blind_to
from tapecheck.answer import Limited
from tapecheck.case import Case
from tapecheck.catalogue import CATALOGUE
from tapecheck.check import check
from tapecheck.cli import seconds
from tapecheck.imports import imported
from tapecheck.problem import Implementation, Problem
from tapecheck.report import GradientMismatch, Report
from tapecheck.rerun import RUN, called, quoted, run_of_test
from tapecheck.text import fitted, table
from tf_oracle import versions

NEAREST = "tapecheck_nearest_to_limit"
SHARE = "tapecheck_share_of_limit"
TERMINAL = pytest.StashKey[int]()
OWN_CASES = pytest.StashKey[list[Case]]()
# Cases of the user's own whose blind spots are shown: some half a second each, once for cases alike.
MOST_CASES = 12


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --implementation package.module:function --time-limit 10 --pairs`."""
    group = parser.getgroup("tapecheck")
    group.addoption(
        "--implementation",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="the implementation that the gradient_check fixture checks where a test names none",
    )
    group.addoption(
        "--time-limit",
        type=seconds,
        metavar="SECONDS",
        help="give an implementation that the gradient_check fixture checks so long for each call",
    )
    group.addoption(
        "--pairs",
        action="store_true",
        help="let a failed gradient_check look for two mistakes at once, which takes up to half a minute",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a path that names nothing before the first test runs. Keep the terminal's standard error,
    which pytest redirects while a test runs, for what a time limit may have to say.
    """
    config.stash[TERMINAL] = os.dup(2)
    path = config.getoption("--implementation")
    if path:
        try:
            imported(path)
        except BadInput as problem:
            raise pytest.UsageError(str(problem)) from problem


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close it again."""
    if TERMINAL in config.stash:
        os.close(config.stash[TERMINAL])
        del config.stash[TERMINAL]


def pytest_report_header(config: pytest.Config) -> str | None:
    """Which implementation is checked, and against what; nothing without the option."""
    path = config.getoption("--implementation")
    if not path:
        return None
    installed = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"tapecheck: {path} against {installed}"


@pytest.fixture
def gradient_check(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """A function (case, implementation=None) -> Report that fails the test unless the check passes, and
    skips it where the implementation raises NotImplementedError.

    `case` is as for `tapecheck.check`; None stands for what `--implementation` names, or else for the
    shipped implementation.
    """
    config = request.config
    path, limit = config.getoption("--implementation"), config.getoption("--time-limit")

    def checked(case: Case | Problem | str, implementation: Implementation | None = None) -> Report:
        __tracebackhide__ = True
        name, refused = "", ""
        try:
            if implementation is None and path:
                implementation, name = imported(path), path
            if implementation is not None and limit:
                implementation = Limited(implementation, limit, config.stash[TERMINAL])
            report = check(case, implementation, pairs=config.getoption("--pairs"), name=name)
        except BadInput as problem:
            refused = str(problem)
        if refused:  # out of the handler, so that pytest does not print the exception as well
            pytest.fail(refused, pytrace=False)
        if report.answer.not_done:  # it raised NotImplementedError, which says so
            pytest.skip(f"the implementation {report.answer.failure}")
        nearest = max(report.rows, key=lambda tensor: tensor.share_of_limit)
        request.node.user_properties += [(NEAREST, nearest.name), (SHARE, nearest.share_of_limit)]
        report.assert_passed()
        own = report.problem.case
        if own not in CATALOGUE:
            request.node.stash.setdefault(OWN_CASES, []).append(own)
        return report

    return checked


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """While a test runs, let every report know how it is run again, wherever its check comes from."""
    config = item.config
    before = RUN.set(run_of_test(node(item), config.invocation_params.dir, call(config)))
    try:
        return (yield)
    finally:
        RUN.reset(before)


def node(item: pytest.Item) -> str:
    """The test as it is named from the folder in which pytest was started."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    return "::".join([path, *item.nodeid.split("::")[1:]])


def call(config: pytest.Config) -> str:
    """How pytest was called, with the options that a check depends on, and in one process."""
    words = [called("pytest", getattr(config, "workerinput", {}).get("mainargv", sys.argv))]
    if config.pluginmanager.hasplugin("xdist"):
        words.append("-n0")
    for option in ("--implementation", "--time-limit"):
        if given := config.getoption(option):
            words += [option, quoted(f"{given:g}" if isinstance(given, float) else given)]
    return " ".join([*words, *["--pairs"] * config.getoption("--pairs")])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On CI pytest prints whole messages in its short summary: keep the first line of a mismatch there.
    And what cases of the user's own a test checked goes with its report, as text that a worker can send.
    """
    report = yield
    if call.when == "call" and OWN_CASES in item.stash:
        vars(report)["tapecheck_own_cases"] = base64.b64encode(pickle.dumps(item.stash[OWN_CASES])).decode()
    if os.environ.get("CI") and call.excinfo and call.excinfo.errisinstance(GradientMismatch):
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is not None:
            crash.message = crash.message.splitlines()[0]
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The five tests that came nearest to their limit, and what cases of the user's own cannot see."""
    found = []
    own: dict[str, Case] = {}
    for report in terminalreporter.stats.get("passed", []):
        properties = dict(report.user_properties)
        if SHARE in properties:
            found.append((properties[SHARE], properties[NEAREST], report.nodeid))
        sent = getattr(report, "tapecheck_own_cases", "")
        own |= {case.name: case for case in (pickle.loads(base64.b64decode(sent)) if sent else ())}
    if found:
        terminalreporter.section("nearest to the limit", sep="-")
        rows = [[f"{share:.2f}", name, nodeid] for share, name, nodeid in sorted(found, reverse=True)[:5]]
        for line in table(["error/limit", "tensor", "test"], rows, left=(1, 2)):
            terminalreporter.write_line(line)
    if own:
        terminalreporter.section("what your own cases cannot see", sep="-")
        for case in list(own.values())[:MOST_CASES]:
            for line in fitted([f"{case.name}: {blind_to(case)}"]):
                terminalreporter.write_line(line)
        if len(own) > MOST_CASES:
            terminalreporter.write_line(
                f"and {len(own) - MOST_CASES} more; a printed report says it for each"
            )
