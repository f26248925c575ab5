"""The checker on trial: every classic mistake is planted, and none may read "passed".

A wrong backward pass is the textbook's own source with one line edited, run as someone else's
implementation through `check`, TensorFlow included.
"""

import ast
import inspect
from types import ModuleType

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from reference_impl.textbook import dense, lstm, sequential
from tapecheck import Case, check

ON_EVERY_STEP = Case(
    "planted", Sequential([LSTM(5, return_sequences=True), Dense(2, activation="tanh")]), 3, 6, 4
)
ON_THE_LAST = Case("planted-last-step", Sequential([LSTM(5), Dense(2)]), 3, 6, 4, initial_state="random")
SQUARE = Case("planted-square", Sequential([LSTM(3, return_sequences=True), Dense(3)]), 2, 5, 3)


def edited(module: ModuleType, right: str, wrong: str) -> ModuleType:
    """A copy of a textbook module with one piece of its source, which stands there once, replaced."""
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"{right!r} stands {source.count(right)} times in {module.__name__}"
    source = source.replace(right, wrong)
    ast.parse(source)
    copy = ModuleType(module.__name__)
    copy.__file__ = module.__file__
    exec(compile(source, str(module.__file__), "exec"), copy.__dict__)
    return copy


def with_edit(monkeypatch, module: ModuleType, right: str, wrong: str):
    """The textbook as an implementation, one edit in it."""
    copy = edited(module, right, wrong)
    monkeypatch.setattr(sequential, module.__name__.rpartition(".")[2], copy)
    run = sequential.backpropagate

    def implementation(problem):
        with monkeypatch.context() as edit:
            edit.setattr(sequential, module.__name__.rpartition(".")[2], copy)
            return run(problem.model, problem, problem.loss).gradients

    monkeypatch.undo()
    return implementation


# class in the field -> the line as it should be, and as people write it
EQUATIONS = {
    "recurrence not carried": ("dh_next = dz @ W_h.T", "dh_next = 0 * h"),
    "cell carry missing": ("dc_next = dc * f", "dc_next = 0 * c"),
    "cell carry without the forget gate": ("dc_next = dc * f", "dc_next = dc"),
    "cell carry through the input gate": ("dc_next = dc * f", "dc_next = dc * i"),
    "carry into dc dropped": (", phi_c) + dc_next", ", phi_c)"),
    "recurrent kernel of another gate order": (
        "dh_next = dz @ W_h.T",
        "dh_next = np.concatenate([dz_f, dz_i, dz_g, dz_o], axis=1) @ W_h.T",
    ),
    "off by one in the cell state": ("df = dc * c_prev", "df = dc * c"),
    "off by one in the hidden state": ("h_prev.T @ dz", "h.T @ dz"),
    "derivative of an activated value": ("dz_g = d_phi(dg, z_g, g)", "dz_g = d_phi(dg, z_g, np.tanh(g))"),
    "tanh of the cell differentiated twice": ("d_phi(dh * o, c, phi_c)", "d_phi(dh * o, c, np.tanh(phi_c))"),
    "derivative of the raw cell state": ("d_phi(dh * o, c, phi_c)", "d_phi(dh * o, c, c)"),
    "tanh of the cell not differentiated": ("d_phi(dh * o, c, phi_c)", "dh * o"),
    "forget gate's derivative left out": ("dz_f = d_sigma(df, z_f, f)", "dz_f = df * f"),
    "input gate's derivative left out": ("dz_i = d_sigma(di, z_i, i)", "dz_i = di"),
    "output gate's derivative left out": ("dz_o = d_sigma(do, z_o, o)", "dz_o = do * (1 - o)"),
    "candidate's derivative left out": ("dz_g = d_phi(dg, z_g, g)", "dz_g = dg"),
    "input gate times the wrong factor": ("di = dc * g", "di = dc * i"),
    "candidate times the wrong factor": ("dg = dc * i", "dg = dc * g"),
    "output gate sees the raw cell": ("do = dh * phi_c", "do = dh * c"),
    "output gate sees the upstream alone": ("do = dh * phi_c", "do = dh_above * phi_c"),
    "copy and paste between gates": ("dz_o = d_sigma(do, z_o, o)", "dz_o = d_sigma(df, z_f, f)"),
    "input kernel overwritten": ("dW_x = dW_x + x_t.T @ dz", "dW_x = x_t.T @ dz"),
    "recurrent kernel overwritten": ("dW_h = dW_h + h_prev.T @ dz", "dW_h = h_prev.T @ dz"),
    "bias overwritten": ("db = db + dz.sum(axis=0)", "db = dz.sum(axis=0)"),
    "bias averaged over the batch": ("dz.sum(axis=0)", "dz.mean(axis=0)"),
    "stale cache": ("h = steps[t].values()", "h = steps[-1].values()"),
    "x of the last step for all": ("x_t.T @ dz", "steps[-1]['x_t'].T @ dz"),
    "upstream of the step after": ("dh_above = dy[:, t]", "dh_above = dy[:, min(t + 1, T - 1)]"),
    "states carried the wrong way": ("for t in reversed(range(T))", "for t in range(T)"),
    "truncated before the first step": ("reversed(range(T))", "reversed(range(1, T))"),
}


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("case", [ON_EVERY_STEP, ON_THE_LAST], ids=lambda case: case.name)
def test_wrong_equation_fails(case, name, monkeypatch):
    """One wrong line of the LSTM's backward pass never passes, whether all steps have a loss or one."""
    right, wrong = EQUATIONS[name]
    if name == "truncated before the first step":
        right, wrong = "dW_x = dW_x + x_t.T @ dz", "dW_x = dW_x + (t > 0) * x_t.T @ dz"
    if case is ON_THE_LAST and name == "upstream of the step after":
        right, wrong = "[0 * dy] * (T - 1) + [dy]", "[dy] * T"  # the last step's loss at every step
    report = check(case, with_edit(monkeypatch, lstm, right, wrong))
    assert report.verdict == "failed", f"{right} -> {wrong}\n{report}"


def test_missing_transpose_fails_where_shapes_cannot_catch_it(monkeypatch):
    """`dz @ W_h` gate by gate, which fits because H is square, is told apart from `dz @ W_h.T`."""
    wrong = "dh_next = sum(d @ W for d, W in zip([dz_i, dz_f, dz_g, dz_o], np.split(W_h, 4, axis=1)))"
    report = check(SQUARE, with_edit(monkeypatch, lstm, "dh_next = dz @ W_h.T", wrong))
    assert report.verdict == "failed"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("dW_y = x_rows.T @ d_rows", "dW_y = x_rows[: len(x)].T @ d_rows[: len(x)]"),
        ("db_y = d_rows.sum(axis=0)", "db_y = d_rows.mean(axis=0)"),
        ("dh_above = dlogits @ W_y.T", "dh_above = dlogits @ W_y"),
        (".backward(dy, logits, y)", ".backward(dy, logits, logits)"),
        ("activation(layer.activation).backward(dy, logits, y)", "dy"),
    ],
)
def test_wrong_dense_equation_fails(right, wrong, monkeypatch):
    """One wrong line of the Dense backward pass never passes; here H = K, so shapes catch nothing."""
    case = Case(
        "planted-dense", Sequential([LSTM(3, return_sequences=True), Dense(3, activation="tanh")]), 2, 5, 4
    )
    report = check(case, with_edit(monkeypatch, dense, right, wrong))
    assert report.verdict == "failed"


def clipped_by_norm(gradient):
    """`tf.clip_by_norm`, at half of the largest entry."""
    norm = np.sqrt((gradient**2).sum())
    return gradient * min(1, 0.5 * np.abs(gradient).max() / norm)


# what is done to the right gradients afterwards
CONVENTIONS = {
    "summed where Keras averages": lambda g, B, T: g * B * T,
    "mean over the batch too often": lambda g, B, T: g / B,
    "a stray T": lambda g, B, T: g * T,
    "half the squared error": lambda g, B, T: g / 2,
    "a derivative off by a thousandth": lambda g, B, T: g * 1.001,
    "a derivative off by 1e-9": lambda g, B, T: g * (1 + 1e-9),
    "the negative gradient": lambda g, B, T: -g,
    "zeros": lambda g, B, T: 0 * g,
    "clipped elementwise": lambda g, B, T: np.clip(g, -0.5 * np.abs(g).max(), 0.5 * np.abs(g).max()),
    "clipped by norm": lambda g, B, T: clipped_by_norm(g),
    "rounded to float32 and back": lambda g, B, T: g.astype(np.float32).astype(np.float64),
    "gates in PyTorch's order": lambda g, B, T: (
        g if g.shape[-1] != 20 else g[..., [*range(5), *range(5, 10), *range(15, 20), *range(10, 15)]]
    ),
    "one entry wrong": lambda g, B, T: g + np.abs(g).max() * 1e-6 * (np.arange(g.size) == 1).reshape(g.shape),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_wrong_convention_fails(name):
    """Right equations with a wrong scale, sign, clipping, precision or layout never pass."""
    B, T, _ = ON_EVERY_STEP.input_shape
    change = CONVENTIONS[name]
    report = check(
        ON_EVERY_STEP,
        lambda problem: {k: change(g, B, T) for k, g in problem.reference.gradients.items()},
    )
    assert report.verdict == "failed", str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_tensor_alone_is_watched(dtype):
    """A relative error of 1000 eps in any single tensor is found in that tensor and in no other."""
    case = Case(
        f"planted-{dtype}", Sequential([LSTM(4, return_sequences=True), Dense(3)]), 3, 6, 5, dtype=dtype
    )
    grow = 1 + 1000 * np.finfo(dtype).eps
    for wrong in case.problem().tensors:
        report = check(
            case,
            lambda problem, wrong=wrong: {
                name: g * (grow if name == wrong else 1) for name, g in problem.reference.gradients.items()
            },
        )
        assert [t.name for t in report.tensors.values() if not t.passed] == [wrong]
        assert report.verdict == "failed"


def test_wrong_forward_is_said_first():
    """A result whose output is wrong says so on the first line, since gradients then mean nothing."""

    def other_forward(problem):
        mine = problem.reference
        return type(mine)(mine.gradients, output=mine.output * 1.01, loss=mine.loss)

    report = check(ON_EVERY_STEP, other_forward)
    assert str(report).startswith("forward mismatch: output")


def test_right_implementation_in_other_words_passes():
    """The edits above fail for what they change: the unedited textbook passes the same cases."""
    for case in (ON_EVERY_STEP, ON_THE_LAST, SQUARE):
        report = check(
            case,
            lambda p: sequential.backpropagate(p.model, p, p.loss).gradients,
        )
        report.assert_passed()
