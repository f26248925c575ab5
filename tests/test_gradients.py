"""The harness on its own catalogue: NumPy and Keras side by side, every case, every tensor."""

import numpy as np
import pytest

import tf_oracle.models
from tapecheck.case import Case
from tapecheck.catalogue import CATALOGUE
from tapecheck.compare import FACTOR, FLOOR, compare, errors
from tapecheck.complexstep import complex_steps
from tapecheck.exact import named, run_textbook

pytestmark = pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.name)


def fast(problem):
    """The fast form's output, loss and gradients by tensor name."""
    mine = problem.reference
    return {"output": mine.output, "loss": np.asarray(mine.loss, problem.dtype), **mine.gradients}


def one_equation_a_line(problem):
    """The textbook form's, in the problem's own dtype."""
    return named(run_textbook(problem, np.asarray))[0]


def test_weights_reach_keras_bit_for_bit(sides):
    """What Keras holds after the transfer is, to the bit, what was drawn, and nothing else."""
    assert list(sides.oracle.weights) == list(sides.problem.weights)
    for name, weight in sides.problem.weights.items():
        assert sides.oracle.weights[name].dtype == weight.dtype
        assert sides.oracle.weights[name].tobytes() == weight.tobytes(), name


def test_weights_come_back_from_keras_bit_for_bit(sides):
    """Keras's own initial weights, read out by tensor name and put into another twin, arrive unchanged;
    NumPy's `init` gives tensors of the same names and shapes.
    """
    problem = sides.problem
    build = tf_oracle.models.build
    first = build(problem.model, problem.x.shape, problem.dtype.name)
    second = build(problem.model, problem.x.shape, problem.dtype.name)
    drawn_by_keras = tf_oracle.models.get_weights(first)
    tf_oracle.models.set_weights(second, drawn_by_keras)
    for name, weight in tf_oracle.models.get_weights(second).items():
        assert weight.tobytes() == drawn_by_keras[name].tobytes(), name
    ours = problem.model.init(np.random.default_rng(0), problem.x.shape)
    assert {name: weight.shape for name, weight in ours.items()} == {
        name: weight.shape for name, weight in drawn_by_keras.items()
    }


def test_shapes_and_parameter_counts(sides):
    """Every layer has Keras's name, type, output shape and parameter count."""
    expected = [
        (
            name,
            type(layer).__name__,
            shape,
            sum(int(np.prod(weight)) for weight in layer.weight_shapes(given).values()),
        )
        for name, layer, given, shape in sides.problem.model.shapes(sides.problem.x.shape)
    ]
    assert [tuple(layer) for layer in sides.oracle.layers] == expected
    for name, gradient in sides.oracle.gradients.items():
        assert sides.problem.reference.gradients[name].shape == gradient.shape, name


@pytest.mark.parametrize("form", [fast, one_equation_a_line])
def test_forward_and_gradients(sides, form):
    """Output, loss and every gradient are within the limit, in the case's dtype, for both forms."""
    problem, oracle, exact = sides
    mine, book = form(problem), one_equation_a_line(problem)
    theirs = {
        "output": oracle.output,
        "loss": np.asarray(oracle.loss, problem.dtype),
        **oracle.gradients,
    }
    if problem.loss is None:
        del theirs["loss"]  # a free upstream gradient has no loss of its own
    assert set(theirs) <= set(mine)
    for name, value in theirs.items():
        tensor = compare(name, mine[name], value, book[name], exact.tensors[name], problem.dtype)
        assert tensor.verdict == "passed", tensor


def test_complex_step_agrees(sides):
    """The third witness, which knows nothing of any backward pass, confirms every entry of the exact
    gradient within the measure in float64; a dozen of each tensor where the model is large.
    """
    problem, _, exact = sides
    large = exact.arithmetic != "ball arithmetic"
    rng = np.random.default_rng(len(problem.case.name))
    float64 = np.dtype(np.float64)
    doubles = named(run_textbook(problem, lambda array: array.astype(float64)))[0]
    for name in problem.tensors:
        true = exact.tensors[name]
        stepped = true.copy()
        entries = rng.permutation(true.size)[: 12 if large else None]
        stepped.flat[entries] = complex_steps(problem, name, entries)
        own_error = float(errors(name, doubles[name], true, float64).max())
        assert errors(name, stepped, true, float64).max() <= FACTOR * max(own_error, FLOOR), name


def test_exact_radius(sides):
    """The exact values are known to below 2^-70 of scale, or, in a wider float, far better than the dtype."""
    if sides.exact.arithmetic == "ball arithmetic":
        assert sides.exact.radius < 2.0**-70
    else:
        assert sides.exact.radius < 2.0**-8 * np.finfo(sides.problem.dtype).eps


def test_draw_is_the_same_every_time(case: Case):
    """Two problems of one case are the same to the bit, so that a failure can be rerun."""
    one, other = case.problem(), case.problem()
    assert one.x.tobytes() == other.x.tobytes()
    assert one.y.tobytes() == other.y.tobytes()
    for name, weight in one.weights.items():
        assert weight.tobytes() == other.weights[name].tobytes(), name
