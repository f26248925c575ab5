"""The fast LSTM against the textbook one: the same gradients, and nothing of the caller's touched."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl import GATES, LSTM, Dense, Sequential, memory, recurrence, textbook
from reference_impl.activations import ACTIVATIONS, activation_problems
from reference_impl.sequential import own
from tapecheck import Case, check
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.problem import Problem

DTYPES = ("float32", "float64")
# Those that need no argument; an exponential of exponentials overflows within a few steps.
ACTIVATION = st.sampled_from(
    [None, *(name for name in ACTIVATIONS if not activation_problems("", name) and name != "exponential")]
)


def worst_ratio(problem: Problem) -> float:
    """The largest error of the fast form over the limit that the textbook, in the same dtype, sets it:
    the project's measure with the textbook in TensorFlow's place.
    """

    def backpropagate(dtype: type) -> textbook.Pass:
        return textbook.backpropagate(
            problem.model, problem.map(lambda array: array.astype(dtype)), problem.loss
        )

    exact, same = backpropagate(np.longdouble).gradients, backpropagate(problem.dtype.type).gradients
    found = problem.reference.gradients
    assert found.keys() == exact.keys()
    assert all(found[key].shape == exact[key].shape for key in exact)
    assert all(found[key].dtype == problem.dtype for key in exact)
    return max(
        errors(key, found[key], exact[key], problem.dtype).max()
        / (FACTOR * max(errors(key, same[key], exact[key], problem.dtype).max(), FLOOR))
        for key in exact
    )


def first_layer(case: Case) -> tuple[LSTM, dict[str, np.ndarray], dict[str, np.ndarray], Problem]:
    """The first layer of a case's model, its weights and states, and the problem."""
    problem = case.problem()
    layer = problem.model.layers[0]
    return layer, own(problem.weights, "lstm"), own(problem.initial_state, "lstm"), problem


@settings(deadline=None, derandomize=True)
@given(
    sizes=st.tuples(*[st.integers(1, 7)] * 4),
    activation=ACTIVATION,
    recurrent_activation=ACTIVATION,
    use_bias=st.booleans(),
    return_sequences=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 999),
)
def test_the_textbook_s_gradients(
    sizes: tuple[int, ...],
    activation: str | None,
    recurrent_activation: str | None,
    use_bias: bool,
    return_sequences: bool,
    dtype: str,
    seed: int,
) -> None:
    """Every activation, on either side of the cell, and every size from 1 on: as accurate as the textbook."""
    B, T, D, H = sizes
    lstm = LSTM(H, activation, recurrent_activation, use_bias, return_sequences=return_sequences)
    model = Sequential([lstm, Dense(3)])
    case = Case("drawn", model, B, T, D, dtype=dtype, initial_state="random")
    problem = case.draw(np.random.default_rng(seed))
    smaller = {name: array / 4 for name, array in problem.weights.items()}  # linear gates multiply up
    assert worst_ratio(replace(problem, weights=smaller)) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("B", "T"), [(1, 25), (3, 7), (11, 3), (2, 40)])
def test_gradients_in_parts(B: int, T: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """dW, db and dx of more rows than one product takes: in several parts, the last one shorter, and in parts
    of one step, that has more rows than that.
    """
    monkeypatch.setattr(recurrence, "ROWS", 10)
    model = Sequential([LSTM(9, return_sequences=True), Dense(2)])
    assert worst_ratio(Case("parts", model, B, T, 3, dtype=dtype).problem()) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [-20.0, 20.0])
@pytest.mark.parametrize("gate", GATES)
def test_saturated_gates(gate: str, bias: float, dtype: str) -> None:
    """A gate nearly closed, and one nearly open: the tiny gradients that remain are as right as TensorFlow's.

    The shorter sigmoid, (1 + tanh(z/2)) / 2, fails here.
    """
    problem = Case(
        f"{gate}-at-{bias:+g}", Sequential([LSTM(5, return_sequences=True), Dense(2)]), dtype=dtype
    ).problem()
    biases = problem.weights["lstm/bias"].copy()
    biases.reshape(4, 5)[GATES.index(gate)] += bias
    check(replace(problem, weights=problem.weights | {"lstm/bias": biases})).assert_passed()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_has_the_right_limits_and_no_warning(dtype: str) -> None:
    """exp(-z) overflows for a hugely negative z; the pass is finite, silent, and 0 or 1 at the ends."""
    case = Case("huge", Sequential([LSTM(2, return_sequences=True)]), 2, 4, 1, dtype=dtype)
    layer, weights, state, problem = first_layer(case)
    for bias, gate in ((-1e4, 0), (1e4, 1)):
        huge = weights | {"bias": np.full_like(weights["bias"], bias)}
        output, cache = layer.forward(huge, problem.x, state)
        assert (cache.gates[:, :3] == gate).all()
        found = layer.backward(huge, cache, np.ones_like(output))
        assert all(np.isfinite(array).all() for array in found.values())


@pytest.mark.parametrize("return_sequences", [True, False])
def test_a_cache_serves_twice(return_sequences: bool) -> None:
    """Two backward passes on one cache give the same bits, and the second is not the first's arrays."""
    model = Sequential([LSTM(4, return_sequences=return_sequences)])
    layer, weights, state, problem = first_layer(Case("twice", model))
    _, cache = layer.forward(weights, problem.x, state)
    first = layer.backward(weights, cache, problem.y)
    kept = {name: array.copy() for name, array in first.items()}
    second = layer.backward(weights, cache, 2 * problem.y)
    third = layer.backward(weights, cache, problem.y)
    for name, array in kept.items():
        assert np.array_equal(first[name], array)
        assert np.array_equal(third[name], array)
        assert not np.array_equal(second[name], array)
        assert not np.shares_memory(first[name], third[name])


@pytest.mark.parametrize("return_sequences", [True, False])
def test_inputs_are_only_read(return_sequences: bool) -> None:
    """Read-only weights, states, x and y pass through, and no result shares memory with any of them."""
    case = Case("read-only", Sequential([LSTM(4, return_sequences=return_sequences), Dense(2)]))
    problem = replace(case, initial_state="random").problem()
    given = [problem.x, problem.y, *problem.weights.values(), *problem.initial_state.values()]
    for array in given:
        array.flags.writeable = False
    result = problem.reference
    for array in [result.output, *result.gradients.values()]:
        assert not any(np.shares_memory(array, source) for source in given)


def test_a_later_call_leaves_earlier_results_alone() -> None:
    """Nothing that was returned is a buffer which the next call writes into."""
    model = Sequential([LSTM(4, return_sequences=True), LSTM(3)])
    problem, other = (Case(name, model).problem() for name in ("one", "another"))
    output, _, gradients = model.run(problem, problem.loss)
    kept = [array.copy() for array in [output, *gradients.values()]]
    model.run(other, problem.loss)
    assert all(np.array_equal(a, b) for a, b in zip([output, *gradients.values()], kept, strict=True))


def test_memory_layout_of_the_input_does_not_matter() -> None:
    """Fortran order, a reversed view and a strided view of x, dy and the weights give the same gradients."""
    problem = Case("strides", Sequential([LSTM(4, return_sequences=True), Dense(2)]), 3, 5, 6).problem()

    def every_other(array: np.ndarray) -> np.ndarray:
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan)
        wide[..., ::2] = array
        return wide[..., ::2]

    expected = problem.reference.gradients
    for layout in (np.asfortranarray, every_other, lambda array: array[::-1].copy()[::-1]):
        weights = {name: layout(array) for name, array in problem.weights.items()}
        _, found = problem.model.loss_and_gradients(weights, layout(problem.x), layout(problem.y))
        for name, array in expected.items():
            assert (
                errors(name, found[name], array.astype(np.longdouble), problem.dtype).max() <= FACTOR * FLOOR
            )


@pytest.mark.parametrize("use_bias", [True, False])
def test_memory_is_what_the_derivation_needs(use_bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 1.3 times the arrays which the derivation needs for all steps, for any T.

    They are x and dx (D each); h, i, f, g, o, c, phi(c), dh_above (H each); and dz (4H): 12H + 2D numbers
    a row, and K for each of logits, y and their gradients.
    """
    B, D, H, K = 8, 16, 64, 4
    model = Sequential([LSTM(H, return_sequences=True, use_bias=use_bias), Dense(K)])
    for T in (40, 400):
        problem = Case("memory", model, B, T, D).problem()
        monkeypatch.setattr(memory, "kept", {})  # as in a new process: all is asked for
        tracemalloc.start()
        model.loss_and_gradients(problem.weights, problem.x, problem.y)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        needed = B * T * (12 * H + 2 * D + 3 * K) * problem.dtype.itemsize
        weights = 3 * sum(array.nbytes for array in problem.weights.values())  # reordered, transposed, dW
        assert peak <= 1.3 * needed + weights + 2**19  # and Python's own


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_against_tensorflow(return_sequences: bool, use_bias: bool, dtype: str, seed: int) -> None:
    """Random stacks of two, against the tape and the exact gradient."""
    B, T, D, H, G, K = (int(n) for n in np.random.default_rng(seed).integers(1, 9, 6))
    layers = [
        LSTM(H, return_sequences=True),
        LSTM(G, use_bias=use_bias, return_sequences=return_sequences),
        Dense(K, use_bias=use_bias),
    ]
    case = Case("stack", Sequential(layers), B, T, D, dtype=dtype, initial_state="random", seed=seed)
    check(case).assert_passed()
