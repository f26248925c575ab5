"""The diagnosis names what is wrong, and says nothing for certain that it does not know."""

from dataclasses import replace

import numpy as np
import pytest

from tapecheck import CATALOGUE, Result
from tapecheck.catalogue import named
from tapecheck.diagnose import diagnose
from tapecheck.faults import faults, program, slope, times

(CASE,) = named(["random-state"])
MODELS = named(
    [
        "thread-sequences",
        "thread-last-step",
        "sequences-linear-mse-float32",
        "last-step-softmax-upstream",
        "relu-inside",
        "stacked",
        "no-head",
    ]
)


def fault_of(case, quantity, wrong):
    """The one fault that computes `wrong`."""
    (fault,) = [f for f in faults(case.problem()) if (f.quantity, f.wrong) == (quantity, wrong)]
    return fault


def in_dtype(fault):
    """The fault as an implementation that answers in the problem's dtype."""

    def implementation(problem):
        answer = fault(problem)
        gradients = {name: array.astype(problem.dtype) for name, array in answer.gradients.items()}
        return Result(gradients, answer.output.astype(problem.dtype))

    return implementation


def diagnoses(implementation, case=CASE, **options):
    """What is said of an implementation on a case."""
    problem = case.problem()
    return diagnose(implementation, problem, implementation(problem.copy()), **options)


@pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.name)
def test_nothing_is_said_of_what_is_right(case):
    """The shipped implementation has no diagnosis, on any case, not even with pairs."""
    assert diagnoses(lambda problem: problem.reference, case, pairs=True) == []


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
@pytest.mark.parametrize(
    ("quantity", "wrong"),
    [
        ("dh_next", "dh_next = dz @ W_h"),
        ("dW_h", "dW_h = dW_h + h.T @ dz"),
        ("dc_next", "dc_next = dc"),
        ("sign", "all gradients times -1"),
    ],
)
def test_the_equation_is_named_in_every_model(case, quantity, wrong):
    """One mistake, in other dtypes, losses, heads and stacks: first, for certain, with what was computed."""
    first = diagnoses(in_dtype(fault_of(case, quantity, wrong)), case)[0]
    assert (first.quantity, first.equation) == (quantity, wrong)
    assert first.certain
    assert first.error < 100
    if quantity != "sign":
        target = first.right.split(" = ")[0]
        file, line = first.location.split(":")
        assert (file, target) == ("textbook/lstm.py", quantity)
        assert int(line) > 0


def test_a_wrong_forward_pass_is_found_with_its_own_gradient():
    """No tanh on the cell, in a model whose gradients are right for that: the forward pass is named."""
    fault = fault_of(CASE, "h", "h = o * c")

    first = diagnoses(lambda problem: with_own_gradient(fault, problem))[0]
    assert (first.quantity, first.fault, first.certain) == ("h", "a different forward", True)
    assert "right for this forward pass" in first.explanation


def with_own_gradient(fault, problem):
    """The faulty forward pass with its own gradient, by a complex step in every entry."""
    gradients = {}
    for name, array in {**problem.weights, "x": problem.x, **problem.initial_state}.items():
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            direction = np.zeros_like(array)
            direction[index] = 1
            gradient[index] = slope(fault, problem, {name: direction})
        gradients[name] = gradient
    return Result(gradients, program.forward(problem, fault.code)[0])


def test_a_backward_pass_for_another_forward_pass_is_said_to_be_that():
    """The textbook's backward equations behind a wrong forward pass: the forward pass is to be mended."""
    first = diagnoses(fault_of(CASE, "g", "g = sigmoid(z_g)"))[0]
    assert (first.quantity, first.certain) == ("g", True)
    assert "backward equations are the right ones" in first.explanation


def test_a_mistake_that_is_no_known_one_is_located_and_not_certain():
    """dc_next = dc * f**1.5 is no single edit: its equation is named by its residual, as a lead."""
    code = {program.LSTM_BACKWARD.lines["dc_next"].key: program.compiled_lines("dc_next = dc * f**1.5")}

    def implementation(problem):
        found = program.backpropagate(problem, code)
        return Result(found.gradients, found.output)

    found = diagnoses(implementation)
    assert [each.quantity for each in found] == ["dc_next"]
    assert not found[0].certain
    assert found[0].fault == "unknown"


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_certain_diagnosis(seed):
    """Gradients that come of no equation are explained by none."""

    def implementation(problem):
        rng = np.random.default_rng([seed, *problem.x.shape])
        right = problem.reference
        return Result(
            {
                name: array + 0.01 * rng.standard_normal(array.shape)
                for name, array in right.gradients.items()
            },
            right.output,
        )

    assert not any(found.certain for found in diagnoses(implementation))


def test_not_a_number_has_no_certain_diagnosis():
    """NaN is reproduced by nothing."""

    def implementation(problem):
        return {name: array * np.nan for name, array in problem.reference.gradients.items()}

    problem = CASE.problem()
    found = diagnose(implementation, problem, Result(implementation(problem)))
    assert not any(each.certain for each in found)


def test_nothing_returned_is_not_diagnosed():
    """Without a single gradient there is nothing to explain."""
    assert diagnose(lambda problem: {}, CASE.problem(), Result({})) == []


def only(*names):
    """The fault dW_x = x_t.T @ dz, answering with some of the tensors."""
    fault = fault_of(CASE, "dW_x", "dW_x = x_t.T @ dz")
    return lambda problem: Result({name: fault(problem).gradients[name] for name in names})


def test_some_tensors_are_enough():
    """An implementation that returns the LSTM's weights alone is diagnosed from these."""
    first = diagnoses(only("lstm/kernel", "lstm/recurrent_kernel", "lstm/bias"))[0]
    assert (first.quantity, first.equation, first.certain) == ("dW_x", "dW_x = x_t.T @ dz", True)


def test_an_implementation_of_one_size_is_asked_with_other_draws():
    """It refuses all other sizes, and its mistake is named from problems of its own size."""
    fault = fault_of(CASE, "df", "df = dc * c")

    def implementation(problem):
        if problem.x.shape != CASE.input_shape:
            raise ValueError("another size")
        return fault(problem)

    first = diagnoses(implementation)[0]
    assert (first.quantity, first.equation, first.certain) == ("df", "df = dc * c", True)


def test_one_answer_alone_is_never_certain():
    """An implementation that answers nothing but the problem itself leaves room for chance."""
    fault = fault_of(CASE, "df", "df = dc * c")
    given = CASE.problem()

    def implementation(problem):
        if problem.x.tobytes() != given.x.tobytes():
            raise ValueError("another problem")
        return fault(problem)

    first = diagnose(implementation, given, implementation(given))[0]
    assert (first.quantity, first.equation, first.certain) == ("df", "df = dc * c", False)


def test_what_sizes_cannot_tell_apart_is_not_certain():
    """With K = 2 and no other size to ask for, a factor 2 may be K: both are said, neither for certain."""
    case = replace(CASE, name="diagnosed-two", batch=3, timesteps=5)

    def implementation(problem):
        if problem.y.shape[-1] != 2:
            raise ValueError("another size")
        right = problem.reference
        return Result({name: 2 * array for name, array in right.gradients.items()}, right.output)

    found = diagnoses(implementation, case)
    assert {"all gradients times 2", "all gradients times K"} <= {each.equation for each in found}
    assert not any(each.certain for each in found)


def test_a_factor_of_no_known_kind_is_read_off():
    """All gradients times 0.37: the number is in the diagnosis."""
    first = diagnoses(times(0.37))[0]
    assert (first.quantity, first.equation, first.certain) == ("scale", "all gradients times 0.37", True)


def test_two_mistakes_are_both_named_with_pairs():
    """One in the gates, one in the carry, neither alone explaining anything."""
    both = fault_of(CASE, "dz_f", "dz_f = df") + fault_of(CASE, "dh_next", "dh_next = dz @ W_h")
    found = diagnoses(both, pairs=True)
    assert {each.quantity for each in found} == {"dz_f", "dh_next"}
    assert all(each.certain for each in found)
    without = diagnoses(both)
    assert not any(each.certain for each in without)


@pytest.mark.parametrize(
    ("names", "quantity", "equation"),
    [
        (["lstm/recurrent_kernel"], "dW_h", "dW_h + 0.01 * W_h"),
        (["dense/kernel", "lstm/kernel"], "dW_y", "dW_y + 0.01 * W_y, and so in lstm/kernel"),
    ],
)
def test_weight_decay_inside_the_backward_pass(names, quantity, equation):
    """A share of the weights in their gradients is told by its size, in one weight or in several."""

    def implementation(problem):
        right = problem.reference.gradients
        return Result({n: g + 0.01 * problem.weights[n] if n in names else g for n, g in right.items()})

    (found,) = diagnoses(implementation)
    assert (found.quantity, found.fault, found.certain) == (quantity, "term added", True)
    assert found.equation == equation


def test_a_mistake_of_one_size_alone_is_a_lead():
    """What explains this case and no other is said so, and not for certain."""
    shape, fault = CASE.problem().x.shape, fault_of(CASE, "df", "df = dc * c")

    def implementation(problem):
        return fault(problem) if problem.x.shape == shape else problem.reference

    first = diagnoses(implementation)[0]
    assert (first.equation, first.certain) == ("df = dc * c", False)
    assert first.explanation.endswith(
        "Explains all that is wrong here, and not the answers to other problems"
    )
