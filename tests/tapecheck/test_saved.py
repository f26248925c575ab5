"""Saved checks: everything comes back, and a file from elsewhere is refused in one line."""

import json

import numpy as np
import pytest

from reference_impl import LSTM, BadInput, Dense, Flatten, Named, Sequential
from tapecheck import Case, Result, check
from tapecheck.cli import main
from tapecheck.saved import load, read, save, written

CASE = Case(
    "saved",
    Sequential([LSTM(4, return_sequences=True), Flatten(), Dense(2)]),
    3,
    6,
    5,
    initial_state="random",
)


def test_everything_comes_back(tmp_path):
    """Case, arrays and answer read from a file are those that were written, to the bit."""
    problem = CASE.problem()
    result = Result(
        problem.reference.gradients, problem.reference.output, 0.1, trace={"lstm/f": np.ones((3, 6, 4))}
    )
    save(problem, result, "mine:f", tmp_path / "saved.npz")
    read, answered, implementation = load(tmp_path / "saved.npz")
    assert read.case == CASE
    assert implementation == "mine:f"
    assert read.x.tobytes() == problem.x.tobytes()
    assert read.y.tobytes() == problem.y.tobytes()
    for group in ("weights", "initial_state"):
        for name, array in getattr(problem, group).items():
            assert getattr(read, group)[name].tobytes() == array.tobytes(), name
    for name, array in result.gradients.items():
        assert answered.gradients[name].tobytes() == array.tobytes(), name
    assert answered.output.tobytes() == result.output.tobytes()
    assert answered.loss == 0.1
    assert answered.trace["lstm/f"].shape == (3, 6, 4)


def test_replay_judges_the_saved_answer_again(tmp_path, capsys):
    """`tapecheck replay FILE` repeats the verdict, with its status, without the implementation."""

    def negative(problem):
        return {name: -gradient for name, gradient in problem.reference.gradients.items()}

    report = check(CASE, negative)
    path, fine = tmp_path / "negative.npz", tmp_path / "fine.npz"
    save(report.problem, report.answer.result, "mine:negative", path)
    assert main(["replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert "8 of 8 wrong [saved]" in out
    assert "mine:negative against TensorFlow" in out
    save(report.problem, report.problem.reference, "mine:right", fine)
    assert main(["replay", str(fine)]) == 0


class OnATape:
    """An object that refuses to become an array."""

    def __array__(self, *_, **__):
        raise RuntimeError("detach it first")

    def __repr__(self):
        return "on a tape"


def test_answers_that_are_no_arrays_are_saved_too(tmp_path):
    """A wrong answer of any type must not keep the problem from being saved."""
    odd = {"lstm/kernel": [[1.0], [2.0, 3.0]], "lstm/bias": None, "dense/bias": [1.0, 2.0], "x": OnATape()}
    save(CASE.problem(), Result(odd, loss="0.3"), "mine:odd", tmp_path / "odd.npz")
    _, answered, _ = load(tmp_path / "odd.npz")
    assert str(answered.loss) == "0.3"
    assert answered.gradients["lstm/kernel"].dtype.kind == "U"
    assert str(answered.gradients["x"]) == "on a tape"
    assert answered.gradients["dense/bias"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a zip"])
def test_other_files_are_refused(tmp_path, capsys, content):
    """A truncated or foreign file is one clear line and status 2, nothing executed from it."""
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="no file that tapecheck saved"):
        load(path)
    assert main(["replay", str(path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_npz_of_something_else_is_refused(tmp_path):
    """An npz without a case, or with pickled objects, is refused as well."""
    np.savez(tmp_path / "plain.npz", a=np.ones(3))
    np.savez(tmp_path / "pickled.npz", case=np.array([{"model": []}], dtype=object))
    for name in ("plain.npz", "pickled.npz"):
        with pytest.raises(BadInput, match="no file that tapecheck saved"):
            load(tmp_path / name)


def test_names_with_arguments_layers_within_layers_and_tuples_come_back():
    """All that an argument can be goes through JSON and back: the same case is made of it."""
    for value in (
        Named("leaky_relu", negative_slope=0.1),
        Named("weighted", alpha=(0.25, 0.75)),
        Dense(3, activation=Named("relu", max_value=6.0)),
        LSTM(2, activation=Dense(3)),
    ):
        text = json.dumps({"model": [value], "sizes": (1, 2)}, default=written)
        back = json.loads(text, object_hook=read)
        assert (repr(back["model"][0]), back["sizes"]) == (repr(value), (1, 2))


def test_a_case_that_does_not_fit_is_refused(tmp_path):
    """A file whose case has arguments that no case has is refused in one line, not with a traceback."""
    np.savez(tmp_path / "odd.npz", case=json.dumps({"name": "odd", "model": [], "rows": 3}))
    with pytest.raises(BadInput, match="no file that tapecheck saved"):
        load(tmp_path / "odd.npz")


def test_no_such_file(tmp_path, capsys):
    """A file that is not there is not called a wrong one, and nobody is told to read pickles."""
    assert main(["replay", str(tmp_path / "missing.npz")]) == 2
    assert "  - there is no such file" in capsys.readouterr().err
    (tmp_path / "text.npz").write_text("text")
    assert main(["replay", str(tmp_path / "text.npz")]) == 2
    assert "  - it is no file that tapecheck saved (ValueError)" in capsys.readouterr().err
