"""What becomes of numbers that only one side has, and the words for a shape that does not fit."""

from itertools import permutations

import numpy as np

from reference_impl import LSTM, Dense, Flatten, Sequential
from tapecheck import Case
from tapecheck.layout import Layout


def test_second_bias_cannot_hide():
    """Of two bias gradients that should be equal, a wrong number in either shows; so does a NaN."""
    problem = Case("p", Sequential([LSTM(3), Dense(2)])).problem()
    layout = Layout(bias=("b_ih", "b_hh"))
    right = problem.reference.gradients["lstm/bias"]
    off, nan = right.copy(), right.copy()
    off[4] += 1e-9
    nan[7] = np.nan
    for first, second in permutations([right, off, nan], 2):
        theirs = {**problem.reference.gradients, "b_ih": first, "b_hh": second}
        found = layout.gradients(problem, theirs)["lstm/bias"]
        expected = np.where(first == right, second, first)
        np.testing.assert_array_equal(found, expected)
    assert not layout.weights(problem)["b_hh"].any()


def test_bias_that_the_model_has_not():
    """Where their code has biases and the model has none, they are zeros and their gradients are dropped."""
    problem = Case("p", Sequential([LSTM(3, use_bias=False), Dense(2, use_bias=False)])).problem()
    theirs = Layout(concatenated="1xh").weights(problem)
    assert not theirs["lstm/kernel"][0].any()
    assert not theirs["dense/bias"].any()
    assert Layout(concatenated="1xh").gradients(problem, theirs).keys() == problem.weights.keys()


def test_gradients_that_do_not_fit(refused):
    """Each gradient that is missing, no array, or of another shape is named, and the axis too."""
    problem = Case("p", Sequential([LSTM(3), Dense(2)])).problem()
    layout = Layout(
        gates="i,f,g,o",
        kernel="W{gate}",
        concatenated="hx",
        vectors="column",
        bias="b{gate}",
        axes="DBT",
        dense_kernel="V",
        dense_bias="v",
    )
    theirs = layout.weights(problem)
    theirs |= {"Wf": theirs["Wf"].T, "Wg": theirs["Wg"][:, 1:], "bi": [0.0] * 3, "bf": theirs["bf"][:, None]}
    theirs["Wout"] = theirs.pop("Wo")
    assert refused(layout.gradients, problem, theirs, x=problem.x, initial_h=np.zeros((3, 2))) == [
        "gradient 'bi' is a list, but should be a NumPy array (3,): (H,)",
        "gradient 'Wf' has shape (7, 3), but should be (3, 7): (H, H+D); it is transposed",
        "gradient 'bf' has shape (3, 1), but should be (3,): (H,)",
        "gradient 'Wg' has shape (3, 6), but should be (3, 7): (H, H+D); axis 1 is 6, not H+D = 7",
        "gradient 'Wo' (3, 7): (H, H+D) is missing; did you mean 'Wout'?",
        "gradient of `x` has shape (3, 5, 4), but should be (4, 3, 5): (D, B, T); axis 0 is 3, not D = 4; "
        "axis 1 is 5, not B = 3; axis 2 is 4, not T = 5",
        "gradient of `lstm/initial_h` has shape (3, 2), but should be (3, 3): (H, B); axis 1 is 2, not B = 3",
    ]


def test_flattened_dense_in_letters(refused):
    """Below Flatten, the rows of a Dense kernel are T*H."""
    problem = Case("p", Sequential([LSTM(3, return_sequences=True), Flatten(), Dense(2)])).problem()
    theirs = problem.weights | {"dense/kernel": np.zeros((3, 2))}
    [said] = refused(Layout().gradients, problem, theirs)
    assert said.endswith("should be (15, 2): (T*H, K); axis 0 is 3, not T*H = 15")
