"""Layout: every way that weights may lie, there and back, and in their products; what is refused."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl import GATES, LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.layout import Layout
from tapecheck.layout.declaration import AXES, BIAS_SHAPES, CONCATENATED, VECTORS

anything = settings(deadline=None)
ORDERS = ["".join(order) for order in permutations(GATES)]


@st.composite
def gates(draw):
    """ "ifgo" any way round, with or without a comma after each letter."""
    order = draw(st.sampled_from(ORDERS))
    return "".join(gate + draw(st.sampled_from(["", ","])) for gate in order[:3]) + order[3]


@st.composite
def layouts(draw):
    """Any layout that has everything, with names of its own."""
    order = draw(gates())
    return Layout(
        gates=order,
        gate_names=draw(st.sampled_from([(), [part.upper() for part in order.split(",")]])),
        kernel="W{gate}",
        recurrent_kernel="U{gate}",
        bias=draw(st.sampled_from(["b{gate}", ("b{gate}", "b2{gate}")])),
        concatenated=draw(st.sampled_from(CONCATENATED)),
        vectors=draw(st.sampled_from(sorted(VECTORS))),
        bias_shape=draw(st.sampled_from(sorted(BIAS_SHAPES))),
        dense_kernel="V",
        dense_bias="v",
        gradient="d{name}",
        axes=draw(st.sampled_from(AXES)),
    )


@st.composite
def problems(draw, largest_batch=3):
    """A problem of small sizes, whose weights are whole numbers, so that every sum of them is exact."""
    size = st.integers(1, 4)
    units, outputs, steps, features = draw(size), draw(size), draw(size), draw(size)
    model = Sequential([LSTM(units, return_sequences=True), Dense(outputs)])
    problem = Case("p", model, draw(st.integers(1, largest_batch)), steps, features).problem()
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return replace(problem, weights=whole(rng, problem.weights))


def whole(rng, arrays):
    """Whole numbers in the shapes of `arrays`."""
    return {name: rng.integers(-99, 100, np.shape(array)).astype(float) for name, array in arrays.items()}


def as_gradients(layout, weights):
    """Their weights under the names of their gradients, a second bias's the same as the first's."""
    return {f"d{name}": weights[name.replace("b2", "b")] for name in weights}


# ---- weights and gradients


@anything
@given(layouts(), problems())
def test_weights_there_and_back(layout, problem):
    """Weights, taken for gradients in their layout, come back as what they were."""
    back = layout.gradients(problem, as_gradients(layout, layout.weights(problem)))
    assert back.keys() == problem.weights.keys()
    for name, array in problem.weights.items():
        np.testing.assert_array_equal(back[name], array, strict=True)


@anything
@given(layouts(), problems())
def test_weights_do_the_same(layout, problem):
    """One step's z from their weights, by the products that the declaration speaks of, is ours."""
    B, H = len(problem.x), problem.model.layers[0].units
    rng = np.random.default_rng(0)
    inputs = whole(rng, {"x": problem.x[:, 0], "h": np.zeros((B, H))}) | {"1": np.ones((B, 1))}
    ours = problem.weights
    z = inputs["x"] @ ours["lstm/kernel"] + inputs["h"] @ ours["lstm/recurrent_kernel"] + ours["lstm/bias"]
    z_of = dict(zip(GATES, np.split(z, 4, axis=1), strict=True))

    theirs = layout.weights(problem)

    def product(inputs, W):
        return inputs @ W if layout.vectors == "row" else (W @ inputs.T).T

    for letters, gate in zip(
        layout.gates.split(","), layout.gate_names or layout.gates.split(","), strict=True
    ):
        if layout.concatenated:
            taken = np.hstack([inputs[letter] for letter in layout.concatenated])
            found = product(taken, theirs[f"W{gate}"])
        else:
            found = product(inputs["x"], theirs[f"W{gate}"]) + product(inputs["h"], theirs[f"U{gate}"])
        if "1" not in layout.concatenated:
            biases = (layout.bias,) if isinstance(layout.bias, str) else layout.bias
            for name in biases:
                b = theirs[name.replace("{gate}", gate)]
                n = len(letters) * H
                assert b.shape == {"(H,)": (n,), "(1,H)": (1, n), "(H,1)": (n, 1)}[layout.bias_shape]
                found = found + b.ravel()
        np.testing.assert_array_equal(found, np.hstack([z_of[letter] for letter in letters]))
    logits = product(inputs["h"], theirs["V"]) + theirs["v"].ravel()
    np.testing.assert_array_equal(logits, inputs["h"] @ ours["dense/kernel"] + ours["dense/bias"])


@anything
@given(layouts(), problems())
def test_gradients_are_the_same_linear_map(layout, problem):
    """<dtheirs, theirs> = <dours, ours>: to first order the loss moves alike, in either form."""
    theirs = layout.weights(problem)
    d_theirs = as_gradients(layout, whole(np.random.default_rng(1), theirs))
    d_ours = layout.gradients(problem, d_theirs)
    assert sum((d_theirs[f"d{name}"] * theirs[name]).sum() for name in theirs) == sum(
        (d_ours[name] * problem.weights[name]).sum() for name in problem.weights
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_defaults_are_ours(dtype):
    """A Layout() without arguments changes nothing, the dtype neither, and hands out copies."""
    problem = Case("p", Sequential([LSTM(3), Dense(2)]), dtype=dtype).problem()
    found = Layout().weights(problem)
    assert found.keys() == problem.weights.keys()
    for name, array in problem.weights.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert not np.shares_memory(found[name], array)


def test_parts_that_are_not_theirs():
    """With `dense_kernel` or `kernel` None, nothing is asked of that part."""
    problem = Case("p", Sequential([LSTM(3), Dense(2)])).problem()
    no_dense, no_lstm = Layout(dense_kernel=None, dense_bias=None), Layout(kernel=None)
    assert list(no_dense.weights(problem)) == ["lstm/kernel", "lstm/recurrent_kernel", "lstm/bias"]
    assert list(no_lstm.weights(problem)) == ["dense/kernel", "dense/bias"]
    assert list(no_lstm.gradients(problem, problem.weights)) == ["dense/kernel", "dense/bias"]


def test_float32_shows():
    """One float32 matrix among float64 ones makes its tensors float32, which no check passes."""
    problem = Case("p", Sequential([LSTM(3), Dense(2)])).problem()
    layout = Layout(gates="i,f,g,o", kernel="W{gate}", recurrent_kernel="U{gate}", bias="b{gate}")
    theirs = layout.weights(problem)
    theirs["Wf"] = theirs["Wf"].astype(np.float32)
    dtypes = {name: array.dtype for name, array in layout.gradients(problem, theirs).items()}
    assert dtypes.pop("lstm/kernel") == np.float32
    assert set(dtypes.values()) == {np.dtype(np.float64)}


def test_a_layout_for_each_layer_of_a_stack(refused):
    """With `lstm` and `dense` named, each layer goes out and comes back by itself, and together they are all
    weights; a gradient that does not fit is refused by the name that it has in the model.
    """
    layers = [LSTM(3, return_sequences=True), LSTM(2), Dense(4), Dense(5)]
    problem = Case("p", Sequential(layers), initial_state="random").problem()
    own = dict(gates="o,f,i,g", vectors="column", bias_shape="(H,1)", concatenated="xh", axes="TBD")
    lower = Layout(**own, lstm="lstm", kernel="A{gate}", bias="a{gate}", dense_kernel="V", dense_bias="v")
    names = dict(kernel="B{gate}", bias="b{gate}", dense_kernel="W", dense_bias="w")
    upper = Layout(**own, **names, lstm="lstm_1", dense="dense_1")
    theirs = lower.weights(problem) | upper.weights(problem)
    assert theirs["Bo"].shape == (2, 3 + 2)
    assert theirs["W"].shape == (5, 4)
    h = problem.initial_state["lstm_1/initial_h"]
    back = lower.gradients(problem, theirs) | upper.gradients(problem, theirs, initial_h=upper.theirs(h))
    assert back.keys() == {*problem.weights, "lstm_1/initial_h"}
    for name, array in back.items():
        np.testing.assert_array_equal(array, problem.tensors[name])
    [said] = refused(upper.gradients, problem, theirs, initial_c=np.zeros((3, 3)))
    assert said.startswith("gradient of `lstm_1/initial_c` has shape (3, 3), but should be (3, 2)")


# ---- sequences and states


@anything
@given(st.sampled_from(AXES), st.data())
def test_axes(axes, data):
    """Every number of a sequence and of a state is where the letters say, and comes back."""
    layout = Layout(axes=axes)
    problem = data.draw(problems(3 if "B" in axes else 1))
    for ours, letters in ((problem.x, "BTD"), (problem.x[:, 0], "BD")):
        theirs = layout.theirs(ours)
        for place in np.ndindex(ours.shape):
            at = dict(zip(letters, place, strict=True))
            assert theirs[tuple(at[axis] for axis in axes if axis in at)] == ours[place]
        assert theirs.ndim == len([axis for axis in axes if axis in letters])
        assert not np.shares_memory(theirs, ours)
        np.testing.assert_array_equal(layout.ours(theirs), ours, strict=True)


def test_gradients_of_inputs():
    """The gradients of x and of the states come back in our axes, under our names."""
    case = Case("p", Sequential([LSTM(3), Dense(2)]), initial_state="random")
    problem = case.problem()
    layout = Layout(axes="DBT")
    ours = problem.reference.gradients
    found = layout.gradients(
        problem,
        ours,
        x=layout.theirs(ours["x"]),
        initial_h=layout.theirs(ours["lstm/initial_h"]),
        initial_c=layout.theirs(ours["lstm/initial_c"]),
    )
    assert found.keys() == ours.keys()
    for name in ours:
        np.testing.assert_array_equal(found[name], ours[name], strict=True)


# ---- what is refused


@pytest.mark.parametrize("order", ["ifg", "ifgg", "ifco", "ifgo,", ",ifgo", "i,f,,g,o", ""])
def test_gates_that_are_no_permutation(refused, order):
    """Gates are i, f, g and o once each, and no matrix is without one."""
    [said] = refused(Layout, gates=order)
    assert said.startswith(f"`gates` = {order!r}, but should be a permutation of 'ifgo'")


def test_everything_wrong_is_said_at_once(refused):
    """A declaration with many mistakes is refused with all of them."""
    said = refused(
        Layout,
        gates="i,f,g,o",
        gate_names="ifo",
        concatenated="hh",
        vectors="rows",
        bias_shape="(H)",
        axes="BTX",
        gradient="dW",
    )
    assert [sentence.split("`")[1] for sentence in said] == [
        "gate_names",
        "concatenated",
        "vectors",
        "bias_shape",
        "axes",
        "gradient",
    ]


def test_one_name_for_several_arrays(refused):
    """One matrix a gate needs a name for each."""
    [said] = refused(Layout, gates="i,f,g,o", kernel="W", recurrent_kernel="U{gate}", bias="b{gate}")
    assert said.startswith("4 arrays are named 'W', but should have a name each: write {gate} in it")


def test_model_that_does_not_fit(refused):
    """Two LSTMs, a bias that the layout has no place for, and a batch where it has no axis are refused."""
    two = Case("two", Sequential([LSTM(3, return_sequences=True), LSTM(2), Dense(2)])).problem()
    [said] = refused(Layout().weights, two)
    assert said.endswith("should be one LSTM, then Dense or Flatten layers")
    [said] = refused(Layout(lstm="lstm_2").weights, two)
    assert said == "`lstm` = 'lstm_2', but should be one of lstm, lstm_1; did you mean 'lstm_1'?"
    problem = Case("p", Sequential([LSTM(3), Dense(2)])).problem()
    [said] = refused(Layout(bias=None).weights, problem)
    assert said == "`bias` = None, but the model has one: use LSTM(use_bias=False)"
    [said] = refused(Layout(axes="TD").theirs, problem.x)
    assert said == "batch = 3, but should be 1: axes 'TD' hold one sequence"
    [said] = refused(Layout(axes="TD").ours, np.zeros((1, 2, 3)))
    assert said == "shape = (1, 2, 3), but should have axes 'TD', or 'D' at one step"
