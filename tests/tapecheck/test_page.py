"""The text of a report: the first line says what matters most, and everything fits."""

import inspect

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from reference_impl.textbook import lstm
from tapecheck import Case, Result, check
from tapecheck.exact import run_textbook
from tapecheck.localize import copy_of, sequential
from tapecheck.rerun import RUN, Run

CASE = Case("page", Sequential([LSTM(4, return_sequences=True), Dense(2)]), 3, 6, 5)


def right(problem, **changes):
    """The right gradients, some of them changed."""
    gradients = {name: gradient.copy() for name, gradient in problem.reference.gradients.items()}
    for name, change in changes.items():
        gradients[name.replace("_", "/", 1)] = change(gradients[name.replace("_", "/", 1)])
    return gradients


def doubled(problem):
    """The right gradients times two."""
    return {name: 2 * gradient for name, gradient in problem.reference.gradients.items()}


def with_nan(*index):
    """A change that puts NaN at one place, and inf after it."""

    def change(gradient):
        gradient[index] = np.nan
        gradient[-1, -1] = np.inf
        return gradient

    return change


def forward(problem, gradients=None, output=0.0, loss=1.0):
    """An answer with another output and loss."""
    mine = problem.reference
    return Result(gradients or mine.gradients, mine.output + output, mine.loss * loss)


def test_another_shape_stands_in_the_table():
    """All of it, where the other tensors have a cosine."""
    text = str(check(CASE, lambda p: right(p, lstm_kernel=np.transpose)))
    (row,) = [line for line in text.splitlines() if "FAIL" in line]
    assert row.endswith("  shape (16, 5)")


AFTER_STEP_2 = (np.arange(6) > 2)[:, None]
# What comes back, and the first line of the report on it.
FIRST_LINES = {
    "a list": (
        lambda p: right(p, lstm_kernel=np.ndarray.tolist),
        "failed: lstm/kernel is a list, but should be a NumPy array of shape (5, 16) [page]",
    ),
    "transposed": (
        lambda p: right(p, lstm_kernel=np.transpose, dense_kernel=np.transpose),
        "failed: lstm/kernel has shape (16, 5), but should be (5, 16): transposed; 1 more like it [page]",
    ),
    "float32": (
        lambda p: right(p, lstm_bias=np.float32),
        "failed: lstm/bias is float32, but should be float64: precision was lost on the way [page]",
    ),
    "NaN": (
        lambda p: right(p, lstm_kernel=with_nan(2, 3)),
        "failed: lstm/kernel holds nan, first at [2, 3] [page]",
    ),
    "NaN in time": (
        lambda p: right(p, x=with_nan(2, 1)),
        "failed: x holds nan, first at [2, 1, 0] [page]",
    ),
    "inf": (
        lambda p: right(p, lstm_kernel=lambda g: g / 0.0),
        "failed: lstm/kernel holds ",
    ),
    "their name": (
        lambda p: {"dWx": p.reference.gradients["lstm/kernel"]},
        "failed: dWx is an unknown tensor; did you mean 'lstm/kernel'? [page]",
    ),
    "a misspelt name": (
        lambda p: right(p) | {"lstm/kernal": 1.0},
        "failed: lstm/kernal is an unknown tensor; did you mean 'lstm/kernel'? [page]",
    ),
    "a name that is no text": (
        lambda p: {0: p.x},
        "failed: 0 is an unknown tensor; did you mean 'x'? [page]",
    ),
    "the loss among gradients": (
        lambda p: right(p) | {"loss": 1.0},
        "failed: loss is an unknown tensor, and no gradient: return a tapecheck.Result with",
    ),
    "a Result of a list": (
        lambda p: Result([1.0]),
        "failed: the implementation returned a Result whose `gradients` are a list, but ",
    ),
    "nothing": (lambda p: {}, "failed: no gradient was returned [page]"),
    "another loss": (
        lambda p: forward(p, loss=2),
        "forward mismatch: loss is 2 x Keras's, the output is right; all 8 gradients are right [page]",
    ),
    "another loss and its gradients": (
        lambda p: forward(p, doubled(p), loss=2),
        "forward mismatch: loss is 2 x Keras's, all gradients times 2; 8 of 8 wrong [page]",
    ),
    "another output": (
        lambda p: forward(p, output=AFTER_STEP_2),
        "forward mismatch: output wrong from step 3 on; all 8 gradients are right [page]",
    ),
    "some weights": (
        lambda p: {"lstm/kernel": p.reference.gradients["lstm/kernel"]},
        "inconclusive: no gradient of lstm/recurrent_kernel, lstm/bias, dense/kernel and ",
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero")  # the implementation "inf" does it
@pytest.mark.parametrize(("implementation", "said"), FIRST_LINES.values(), ids=FIRST_LINES)
def test_first_line(implementation, said):
    """Each kind of wrong answer: what it is, with the name, the place, and what it should be."""
    first, *rest = str(check(CASE, implementation)).splitlines()
    assert first.startswith(said)
    assert rest[0] == ""


def test_a_narrower_dtype_is_a_diagnosis():
    """What the first line says of it is also among the diagnoses, for whoever reads those."""
    (found,) = check(CASE, lambda p: right(p, lstm_bias=np.float32)).diagnoses
    assert (found.quantity, found.fault, found.certain) == ("precision", "float32 buffers", True)
    assert found.equation == "lstm/bias in a narrower dtype"


def edited(problem, right, wrong):
    """The textbook with one line written otherwise; all of its trace."""
    source, book, wrong_lstm = inspect.getsource(lstm), copy_of(sequential), copy_of(lstm)
    assert source.count(right) == 1
    exec(source.replace(right, wrong), vars(wrong_lstm))
    vars(book)["lstm"] = wrong_lstm
    run = run_textbook(problem, lambda array: array, book)
    return Result(run.gradients, run.output, run.loss, run.trace)


def test_wrong_step_without_a_known_mistake():
    """Where no known mistake fits, the first line has the first wrong step and quantity."""
    odd = "do = dh * phi_c * (1 + (t == 2) / 7)"
    first = str(check(CASE, lambda p: edited(p, "do = dh * phi_c", odd).gradients)).splitlines()[0]
    assert first == "gradient mismatch: dz_o wrong from step 2 backwards; 6 of 8 wrong [page]"


def hard_output_gate(problem):
    """Another output gate, with which the forward pass is Keras's up to step 2."""
    return edited(problem, "o = sigma(z_o)", "o = sigma(z_o) if t < 3 else np.clip(z_o, 0, 1)")


def test_wrong_forward_pass_by_its_trace():
    """With a trace the first line has the gate and the step at which the forward pass goes wrong, and the
    text has that element beside the real Keras layer's.
    """
    text = str(check(CASE, hard_output_gate))
    assert text.startswith("forward mismatch: o wrong from step 3 on; ")
    (element,) = [line for line in text.splitlines() if line.startswith("  lstm/o[")]
    *_, keras, _, exact = element.split()
    assert "yours" in element
    assert float(keras) == pytest.approx(float(exact), rel=1e-6)


def test_wrong_forward_pass_without_any_sign_of_it():
    """With the gradients alone another forward pass is suspected, and no backward equation."""
    text = str(check(CASE, lambda p: hard_output_gate(p).gradients))
    assert text.startswith("gradient mismatch: another forward pass, or something added to the gradients; ")
    assert "perhaps wrong" not in text


def test_right_dz_and_a_wrong_sum():
    """Where dz is right and one of its sums is not, the first line says which."""
    first = str(check(CASE, lambda p: right(p, lstm_recurrent_kernel=lambda g: 1.01 * g))).splitlines()[0]
    sum_of = "dW_h = sum of h_prev.T @ dz is not"
    assert first == f"gradient mismatch: dz is right, {sum_of}; 1 of 8 wrong [page]"


def test_inputs_alone():
    """Where only gradients of inputs are wrong, the first line says so."""
    first = str(check(CASE, lambda p: right(p, lstm_initial_c=np.square))).splitlines()[0]
    assert first == "gradient mismatch: lstm/initial_c alone, every weight is right; 1 of 8 wrong [page]"


def test_worst_elements_by_gate_unit_and_step():
    """Where a gradient is farthest off is said in the derivation's words, not in an index alone."""

    def off(problem):
        gradients = right(problem)
        gradients["lstm/kernel"][1, 4 + 3] += 1  # gates of 4 units each: the fourth of f
        gradients["x"][2, 4, 0] += 1
        gradients["lstm/initial_c"][1, 2] += 1
        return gradients

    text = str(check(CASE, off))
    assert "lstm/kernel[1, 7] gate f unit 3 " in text
    assert "x[2, 4, 0] step 4 " in text
    assert "lstm/initial_c[1, 2] unit 2 " in text


def test_output_and_loss_stand_among_the_worst_elements():
    """A wrong forward pass is shown with the exact value, and is outvoted by it."""
    text = str(check(CASE, lambda p: forward(p, output=1)))
    assert "\n  output[" in text
    assert "TensorFlow and the exact value agree: this implementation is wrong" in text


def test_columns_of_a_failing_report():
    """Shape, bad of total, both errors, the limit, and how each lies to the exact one."""
    text = str(check(CASE, lambda p: right(p, lstm_bias=np.negative)))
    (header,) = [line for line in text.splitlines() if "bad/total" in line]
    assert header.split()[:6] == ["tensor", "shape", "bad/total", "yours", "TensorFlow", "limit"]
    assert header.endswith("against exact")
    (row,) = [line for line in text.splitlines() if line.startswith("  FAIL")]
    assert row.split()[1:4] == ["lstm/bias", "(16,)", "16/16"]
    assert row.endswith("-1 x exact")


def test_small_errors_are_not_called_a_factor():
    """An error of 1e-10 of scale is said to be that, and not "1 x exact"."""
    text = str(check(CASE, lambda p: right(p, lstm_bias=lambda g: g * (1 + 1e-10))))
    assert "off by 1e-10" in text
    assert "x exact" not in text


def by_a_very_long_name_that_nobody_would_want_to_read_in_every_line_of_a_report_but_here_it_is(problem):
    """An implementation that prints, writes and raises at length."""
    print("\u2588" * 200)
    for weight in problem.weights.values():
        weight += 1
    raise ValueError("wide \u2588 " * 40)


LONG = {
    "doubled": doubled,
    "raises": by_a_very_long_name_that_nobody_would_want_to_read_in_every_line_of_a_report_but_here_it_is,
    "names": lambda p: {name * 9: gradient for name, gradient in p.reference.gradients.items()},
    "lists": lambda p: {name: gradient.tolist() for name, gradient in p.reference.gradients.items()},
    "None": lambda p: dict.fromkeys(p.weights),
    "NaN": lambda p: forward(p, doubled(p), output=np.nan),
}


@pytest.mark.parametrize("implementation", LONG.values(), ids=LONG)
def test_everything_fits(implementation, tmp_path):
    """Names of 200 characters, wide text that is printed or raised, any answer: still ASCII of 100 columns,
    the verdict with the case on the first line.
    """
    before = RUN.set(Run(started=tmp_path))
    model = Sequential([LSTM(4, return_sequences=True), LSTM(3, return_sequences=True)] * 5)
    case = Case("a-case-with-a-long-name-" * 8, model, 2, 3, 5, None)
    try:
        with pytest.raises(AssertionError) as raised:
            check(case, implementation).assert_passed()
    finally:
        RUN.reset(before)
    lines = str(raised.value).splitlines()
    assert all(line.isascii() for line in lines)
    assert max(map(len, lines)) <= 100
    assert lines[0].endswith("-long-name-]")
