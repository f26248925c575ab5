"""Where Keras's activations compute something else than documented, or lose digits, on Keras itself.

`figures("heading")` is the text block that docs/findings.md shows under that heading.
"""

from collections.abc import Callable

import numpy as np
import pytest
from flint import ctx

from reference_impl import Named
from reference_impl.activations import activation
from reference_impl.spec import Array
from tapecheck.balls import to_balls, to_longdouble
from tapecheck.catalogue import KERAS_OFF
from tapecheck.exact import run_textbook
from tf_oracle.activations import IN_FLOAT64
from tf_oracle.activations import activation as in_dtype
from tf_oracle.start import load

Figures = Callable[[str], str]
Which = str | Named


def row(title: str, *cells: str) -> str:
    """A line of a table: its title, and cells of 10 characters and more."""
    return f"{title:44}" + "".join(f"{cell:>10}" for cell in cells)


def keras_pass(which: Which, z: Array, *, raw: bool = True) -> tuple[Array, Array]:
    """Keras's own value and slopes at z; not `raw`, those of the oracle's function."""
    tf, keras = load()
    named = which if isinstance(which, Named) else Named(which)
    function = getattr(keras.activations, named.name) if raw else in_dtype(which, z.dtype.name)
    arguments = named.arguments if raw else {}
    at = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(at)
        y = function(at, **arguments)
    return y.numpy(), tape.gradient(y, at).numpy()


def our_pass(which: Which, z: Array) -> tuple[Array, Array]:
    """The handwritten value and slopes."""
    one = activation(which)
    y = one.value(z)
    return y, one.backward(0 * z + 1, z, y)


def exact_pass(which: Which, z: Array) -> tuple[Array, Array]:
    """The same by ball arithmetic."""
    with ctx.workprec(300):
        y, dz = our_pass(which, to_balls(z))
        return to_longdouble(y), to_longdouble(dz)


def in_eps(found: Array, true: Array) -> float:
    """The error of one number in eps of its exact value."""
    return float(abs((found - true) / true)[0] / np.finfo(found.dtype).eps)


def size(error: float) -> str:
    """An error in eps, or "rounding"."""
    return "rounding" if error < 16 else f"{error:.0e}"


def test_sparsemax_subtracts_the_wrong_threshold(figures: Figures) -> None:
    """Keras's output does not sum to 1 and is farther from z than ours, which is the nearest point of all."""
    z = np.array([1.0, 0.9, 0.0])
    theirs, ours = keras_pass("sparsemax", z)[0], our_pass("sparsemax", z)[0]
    lines = [
        f"{'':37}{'value':>21}{'sum':>16}{'distance':>15}",
        *(
            f"{title:37}" + "".join(f"{value + 0:8.4f}" for value in y) + rest
            for title, y, rest in (
                ("z", z, ""),
                ("Keras", theirs, f"{theirs.sum():13.4f}{np.linalg.norm(theirs - z):15.4f}"),
                ("nearest point on the simplex", ours, f"{ours.sum():13.4f}{np.linalg.norm(ours - z):15.4f}"),
            )
        ),
    ]
    assert figures("15. sparsemax subtracts the wrong threshold") == "\n".join(lines)
    assert ours.sum() == pytest.approx(1)
    others = np.random.default_rng(0).dirichlet([1, 1, 1], 1000)
    assert np.linalg.norm(others - z, axis=1).min() >= np.linalg.norm(ours - z)


def test_celu_has_the_slope_2_at_zero(figures: Figures) -> None:
    """The tape gives 2; a central difference of Keras's own value, and the complex step, give 1."""
    zero, step = np.zeros(1), 1e-6
    difference = (keras_pass("celu", zero + step)[0] - keras_pass("celu", zero - step)[0]) / (2 * step)
    stepped = activation("celu").value(zero + 1e-100j).imag / 1e-100
    lines = [
        row("tape of celu at 0", f"{keras_pass('celu', zero)[1][0]:.4f}"),
        row("central difference of Keras's own value", f"{difference[0]:.4f}"),
        row("complex step of the definition", f"{stepped[0]:.4f}"),
    ]
    assert figures("16. celu has the slope 2 at zero") == "\n".join(lines)
    assert our_pass("celu", zero)[1].tolist() == [1.0]
    (case,) = [case for case in KERAS_OFF if case.name == "keras-celu-at-zero"]
    cells = run_textbook(case.problem(), np.asarray).trace["lstm/c"][:, 0]
    assert (cells == 0).mean() == 0.6  # "three fifths"


CONSTANTS = [
    ("leaky_relu(negative_slope=0.1)", Named("leaky_relu", negative_slope=0.1)),
    ("gelu(approximate=False)", "gelu"),
    ("gelu(approximate=True)", Named("gelu", approximate=True)),
]


def test_constants_are_float32_in_float64(figures: Figures) -> None:
    """The errors of Keras's own functions, and of those that the oracle uses in their place: rounding."""
    z = np.array([-1.0])
    lines = [row("error at z = -1, in eps of the value", "Keras", f"{'written in float64':>22}")]
    for title, which in CONSTANTS:
        true = exact_pass(which, z)[0]
        theirs, used = (in_eps(keras_pass(which, z, raw=raw)[0], true) for raw in (True, False))
        lines.append(row(title, f"{theirs:.0e}", f"{size(used):>22}"))
    assert figures("17. A trap: leaky_relu and gelu are float32 functions") == "\n".join(lines)


@pytest.mark.parametrize(("title", "which"), CONSTANTS)
def test_what_the_oracle_uses_is_keras_s_function(title: str, which: Which) -> None:
    """In float32 the functions that the oracle uses in float64 only are Keras's own, value and slope."""
    z = np.linspace(-4, 4, 41, dtype="float32")
    named = which if isinstance(which, Named) else Named(which, approximate=False)
    at = load().tf.constant(z)
    with load().tf.GradientTape() as tape:
        tape.watch(at)
        y = IN_FLOAT64[named.name](at, **named.arguments)
    expected = keras_pass(which, z)
    for found, theirs in zip((y, tape.gradient(y, at)), expected, strict=True):
        four_eps = 4 * np.finfo("float32").eps * np.abs(theirs).max()  # the same steps in another order
        assert np.abs(found - theirs).max() <= four_eps


CANCELLING: list[tuple[str, Which, float, int]] = [
    ("elu(-0.001) = exp(z) - 1", "elu", -0.001, 0),
    ("elu'(-10) = y + 1", "elu", -10.0, 1),
    ("selu(-0.001)", "selu", -0.001, 0),
    ("tanh_shrink(0.01) = z - tanh(z)", "tanh_shrink", 0.01, 0),
    ("tanh_shrink'(0.01) = 1 - (1 - tanh(z)**2)", "tanh_shrink", 0.01, 1),
    ("squareplus(-100) = (z + sqrt(z**2 + b)) / 2", "squareplus", -100.0, 0),
    ("squareplus'(-100)", "squareplus", -100.0, 1),
    ("gelu(-4, approximate=True)", Named("gelu", approximate=True), -4.0, 0),
    ("tanh'(5) = 1 - y**2", "tanh", 5.0, 1),
]


def test_values_and_slopes_that_cancel(figures: Figures) -> None:
    """Keras loses up to all digits where the handwritten form loses none, but for 1 - tanh**2."""
    lines = [row("", "Keras", "here").rstrip()]
    for title, which, at, part in CANCELLING:
        z = np.array([at], "float32")
        true = exact_pass(which, z)[part]
        errors = [in_eps(each(which, z)[part], true) for each in (keras_pass, our_pass)]
        lines.append(row(title, *map(size, errors)))
    assert figures("18. Values and slopes that cancel") == "\n".join(lines)
