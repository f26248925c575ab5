"""The benchmark compares one computation with the same one, and concludes only what its samples allow."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks import checking, checks, report
from benchmarks.__main__ import main
from benchmarks.checks import CHECKS
from benchmarks.measure import Row, assert_same, compare
from benchmarks.peers import PEERS, installed
from benchmarks.workloads import Workload
from tapecheck import CATALOGUE, sides

SMALL = Workload(2, 3, 4, 5, 2, "float64")


def row(numpy: list[float], peer: list[float]) -> Row:
    """A sample in seconds of each turn, as if measured."""
    samples = {"NumPy": [[s] for s in numpy], "peer": [[s] for s in peer]}
    return Row(SMALL, samples, {"peer": samples["NumPy"]}, [1e9], [1e-4])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in PEERS if name != "NumPy"])
def test_every_installed_peer_computes_the_same_gradients(name: str, dtype: str) -> None:
    """What is timed is one computation: gradients of all weights and of x agree with NumPy's."""
    if not find_spec(PEERS[name].library):  # peers are compared with where they are; none is required
        pytest.skip(f"{PEERS[name].library} is not installed")
    workload = Workload(2, 3, 4, 5, 2, dtype)
    found = {}
    for peer in ("NumPy", name):
        step, gradients = PEERS[peer].prepare(workload, 1)
        found[peer] = gradients(step())
    assert_same(name, workload, found[name], found["NumPy"])


def test_another_computation_is_refused() -> None:
    """A gradient off by a millionth of its scale, or of another shape or dtype, stops the benchmark."""
    right = {"x": np.random.default_rng(0).standard_normal((2, 3, 4))}
    for wrong in (right["x"] * (1 + 1e-6), right["x"][:1], right["x"].astype("float32"), right["x"] * np.nan):
        with pytest.raises(AssertionError, match=r"peer: x "):
            assert_same("peer", SMALL, {"x": wrong}, right)
    assert_same("peer", SMALL, {"x": right["x"] * (1 + 1e-15)}, right)


def test_product_flops() -> None:
    """Counted on paper for B = 2, T = 3, D = 4, H = 5, K = 2: each weight, twice a row, three times."""
    assert SMALL.product_flops == 2 * 3 * (2 * 3) * (4 * 20 + 5 * 20 + 5 * 2)
    for workload in (SMALL, replace(SMALL, B=700, T=10)):  # in one product, and in more than one
        of_bias = 2 * 2 * workload.B * workload.T * 4 * workload.H  # one more row, in z and dW
        assert sum(2 * m * k * n for m, k, n in workload.products) == workload.product_flops + of_bias


@pytest.mark.parametrize(
    ("numpy", "peer", "outcome"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], "faster"),
        ([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], "slower"),
        ([1.0, 1.5, 2.0], [1.1, 1.2, 2.1], "open"),
        ([1.0, 1.5, 4.0], [1.1, 1.6, 4.1], "faster"),
    ],
    ids=["faster", "slower", "now this, now that", "slow turns"],
)
def test_outcome_is_that_of_the_turns(numpy: list[float], peer: list[float], outcome: str) -> None:
    """A better median alone is no win, and a turn that was slow for both changes nothing."""
    assert row(numpy, peer).outcome("peer") == outcome


def test_a_noisy_machine_is_named() -> None:
    """Ratios that spread too far are said to be, whoever seems to win."""
    quiet, noisy = row([1.0, 1.01, 1.02], [3.0, 3.01, 3.02]), row([1.0, 1.01, 1.02], [2.0, 3.0, 4.0])
    assert "TOO NOISY" not in report.conclusion([quiet])
    assert "TOO NOISY TO TELL" in report.conclusion([noisy])
    assert f"{SMALL}: peer." in report.conclusion([noisy])


def test_table_and_conclusion_say_who_lost() -> None:
    """Ratio of medians, the mark of a lost row, and its name below."""
    lost = row([0.002, 0.002, 0.002], [0.001, 0.001, 0.001])
    assert "| **2.00** | 2.00 - 2.00 |" in report.table([lost])
    assert "1.00 (0.50x lost)" in report.table([lost])
    assert f"NumPy is slower than: peer on {SMALL}." in report.conclusion([lost])


def test_slope_of_a_power_law() -> None:
    """The exponent of cost ~ size**p is p."""
    sizes = [10, 100, 1000]
    assert report.slope(sizes, [3 * n**1.5 for n in sizes]) == pytest.approx(1.5, abs=1e-12)


def test_paste_replaces_what_is_between_the_marks(tmp_path: Path) -> None:
    """The rest of the page stays, twice over, and a page without marks is refused."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    for text in ("first", "second"):
        report.paste(page, "figures", text)
    assert page.read_text() == "before\n<!-- figures: begin -->\n\nsecond\n\n<!-- figures: end -->\nafter\n"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no part between"):
        report.paste(page, "other figures", "text")


def test_a_run_in_processes_of_their_own(tmp_path: Path) -> None:
    """NumPy's worker starts, agrees, is timed in every round, and the samples are written as JSON."""
    rows = compare([SMALL], ["NumPy"], threads=1, rounds=2, budget=0.1)
    assert len(rows[0].seconds["NumPy"]) == 2
    assert min(map(min, rows[0].seconds["NumPy"])) > 0
    report.dump(tmp_path / "run.json", comparison=rows)
    assert json.loads((tmp_path / "run.json").read_text())["comparison"][0]["workload"]["H"] == SMALL.H


def test_an_unknown_peer_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and the names that there are."""
    with pytest.raises(SystemExit) as stopped:
        main(["--peers", "Caffe"])
    assert stopped.value.code == 2
    assert "Caffe" in capsys.readouterr().err
    assert installed()[0] == "NumPy"


def test_what_a_check_costs_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command behind docs/performance.md runs, and its checks pass and fail as they should."""
    assert checking.main(["--turns", "1", "--cases", "one-of-each", "two-steps"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| two-steps |") == 1
    assert "a failing check" in printed
    assert "times the" in printed


def test_the_oracle_and_the_rest_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `tf_oracle` spends is TensorFlow's, and a slow exact gradient is not."""
    case = replace(CATALOGUE[0], seed=12345)
    before = checking.cost(case)
    slow = sides.exact
    monkeypatch.setattr(sides, "exact", lambda problem: max((slow(problem) for _ in range(20)), key=id))
    after = checking.cost(replace(case, seed=12346))
    assert after.rest > 3 * before.rest
    assert after.oracle < 2 * before.oracle


@pytest.mark.parametrize("name", CHECKS)
def test_every_gradient_check_finds_the_right_derivatives(name: str) -> None:
    """What is timed passes, and is as near to the exact derivatives as it claims to be."""
    if not find_spec(CHECKS[name].library):  # none is required here either
        pytest.skip(f"{CHECKS[name].library} is not installed")
    step, error = CHECKS[name].prepare()
    exact_to_rounding = CHECKS[name].library == "numpy"
    assert error(step()) < (1e-14 if exact_to_rounding else 1e-5)


def test_gradient_checks_in_processes_of_their_own() -> None:
    """They are timed in turn, and the table says how many times the complex step's time each takes."""
    seconds, errors = checks.compare(threads=1, rounds=1, names=["complex step of x"])
    assert min(seconds["complex step of x"][0]) > 0
    assert errors["complex step of x"] < 1e-14
    made_up = {"complex step": [[0.01]], "torch.autograd.gradcheck": [[1.5]]}
    assert "| 150 | 1e-08 |" in checks.table(made_up, dict.fromkeys(made_up, 1e-8))
