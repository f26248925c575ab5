"""The table against the installed Keras: every loss, every argument, every default; and what is refused."""

import inspect

import numpy as np
import pytest

from reference_impl import Named
from reference_impl.losses import LOSSES, NOT_ARGUMENTS, loss_problems, output_problems, sign_problems
from reference_impl.losses.checks import KINDS
from reference_impl.spec import look_up
from tf_oracle.losses import loss_class
from tf_oracle.start import load

NAMES = [name for name in LOSSES if name]


def test_every_loss_of_keras_is_in_the_table():
    """Each class and each function that `keras.losses` exports has one entry."""
    losses = load().keras.losses
    classes = {each for each in vars(losses).values() if inspect.isclass(each)} - {losses.Loss}
    assert {loss_class(name) for name in NAMES} == classes
    functions = {name for name, each in vars(losses).items() if inspect.isfunction(each)}
    assert functions - {"get", "serialize", "deserialize"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_defaults_are_those_of_keras(name):
    """Each argument of the class is taken, with Keras's default, or left out by name with a reason."""
    parameters = inspect.signature(loss_class(name)).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items() if key not in NOT_ARGUMENTS}
    assert LOSSES[name].defaults == defaults
    assert set(defaults) <= set(KINDS)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("hubber", "`loss` = 'hubber', but should be one of binary_crossentropy, "),
        ("hubber", "; did you mean 'huber'?"),
        (3, "`loss` = 3, but should be one of"),
        (Named("huber", delt=2.0), "but huber has no argument 'delt'; did you mean 'delta'?"),
        (
            Named("huber", dtype="float64"),
            "but dtype is not supported: a loss computes in the dtype of the case",
        ),
        (Named("huber", delta=0), "`delta` of huber = 0, but should be a number above 0"),
        (Named("huber", delta=True), "`delta` of huber = True"),
        (
            Named("huber", reduction="avg"),
            "`reduction` of huber = 'avg', but should be one of sum_over_batch",
        ),
        (Named("huber", reduction=["sum"]), "`reduction` of huber = ('sum',), but should be one of"),
        (Named("binary_crossentropy", label_smoothing=1.5), "= 1.5, but should be a number from 0 to 1"),
        (Named("binary_crossentropy", axis=1), "`axis` of binary_crossentropy = 1, but should be -1"),
        (Named("binary_crossentropy", from_logits=1), "= 1, but should be True or False"),
        (Named("sparse_categorical_crossentropy", ignore_class=0.5), "should be a whole number or None"),
        (Named("categorical_focal_crossentropy", alpha=-1), "= -1, but should be a number from 0 on"),
        (Named("categorical_generalized_cross_entropy", q=1), "= 1, but should be a number between 0 and 1"),
        (Named("dice", axis="all"), "= 'all', but should be an axis, or a tuple of them"),
    ],
)
def test_wrong_arguments_are_named(loss, said):
    """Each argument is checked by itself, with its value and what it should be."""
    assert said in "\n".join(loss_problems(loss))


@pytest.mark.parametrize(
    ("loss", "head", "shape", "said"),
    [
        ("binary_crossentropy", "softmax", (4, 3), "take the softmax's logits for a sigmoid's"),
        ("binary_focal_crossentropy", "softmax", (4, 3), "take the softmax's logits for a sigmoid's"),
        ("categorical_crossentropy", "sigmoid", (4, 3), "take the sigmoid's logits for a softmax's"),
        ("sparse_categorical_crossentropy", "sigmoid", (4, 3), "take the sigmoid's logits for a softmax's"),
        (Named("binary_crossentropy", from_logits=True), "sigmoid", (4, 3), "they are probabilities"),
        (Named("binary_crossentropy", from_logits=True), "softmax", (4, 3), "they are probabilities"),
        (Named("categorical_focal_crossentropy", from_logits=True), "softmax", (4, 3), "are probabilities"),
        ("categorical_crossentropy", "softmax", (4, 1), "one output, but needs two or more"),
        ("cosine_similarity", None, (4, 1), "one output, but needs two or more"),
        (
            Named("categorical_focal_crossentropy", alpha=(1.0, 2.0)),
            "softmax",
            (4, 3),
            "`alpha` has 2 numbers",
        ),
        (
            Named("dice", axis=0),
            "sigmoid",
            (4, 3),
            "`axis` = 0 should be -1, all axes after the batch, or None",
        ),
        (Named("dice", axis=(0, 2)), "sigmoid", (4, 5, 3), "`axis` = (0, 2) should be -1"),
        (Named("dice", axis=5), "sigmoid", (4, 5, 3), "`axis` = 5 should be -1"),
        ("circle", None, (4, 5, 3), "output (4, 5, 3), but needs one embedding a sample, (B, K)"),
        ("circle", None, (2, 3), "a batch of 2, but needs 3 samples or more"),
        ("ctc", None, (4, 3), "output (4, 3), but needs logits for every step, (B, T, K)"),
    ],
)
def test_losses_that_do_not_fit_the_head_are_refused(loss, head, shape, said):
    """One sentence says what the head has and what the loss needs."""
    (found,) = loss_problems(loss, head, shape)
    assert said in found
    assert repr(loss) in found


def test_losses_of_logarithms_need_outputs_that_are_never_negative():
    """By the activation, whatever its input; and by the very output, where the activation does not say."""
    for loss in ("poisson", Named("categorical_generalized_cross_entropy", q=0.3)):
        for activation in (None, "tanh", Named("leaky_relu", negative_slope=0.1)):
            (said,) = sign_problems(loss, activation)
            assert "outputs: a negative one has no logarithm or power" in said
        for activation in ("sigmoid", "softmax", "softplus", "exponential"):
            assert sign_problems(loss, activation) == []
        (said,) = output_problems(loss, np.array([[0.5, -0.25]]), None)
        assert "on an output that holds -0.25: a negative one" in said
        assert output_problems(loss, np.array([[0.5, 0.1]]), None) == []
    assert sign_problems("poisson", "relu") == output_problems("poisson", np.zeros((2, 3)), None) == []
    (said,) = sign_problems("categorical_generalized_cross_entropy", "relu")
    assert "on relu outputs: the derivative at 0 is infinite" in said
    (said,) = output_problems("categorical_generalized_cross_entropy", np.zeros((2, 3)), None)
    assert "on an output that holds 0.0: the derivative at 0 is infinite" in said
    assert sign_problems("mean_squared_logarithmic_error", None) == []  # it is clipped there


def test_losses_of_whole_samples_take_no_masked_steps():
    """Keras would multiply values (B,) by a mask (B, T)."""
    output, mask = np.ones((2, 5, 3)), np.ones((2, 5), bool)
    for loss in ("ctc", Named("dice", axis=(1, 2))):
        (said,) = output_problems(loss, output, mask)
        assert "it takes all steps of a sample together" in said
        assert output_problems(loss, output, None) == []
    assert output_problems("dice", output, mask) == []
    assert output_problems("mean_squared_error", output, mask) == []


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (None, "softmax"),
        ("binary_crossentropy", "sigmoid"),
        (Named("binary_crossentropy", from_logits=True), None),
        (Named("sparse_categorical_crossentropy", ignore_class=0), "sigmoid"),  # Keras has lost the logits
        ("categorical_focal_crossentropy", "sigmoid"),
        ("poisson", "relu"),
        ("mean_squared_logarithmic_error", None),  # clipped where it is negative
        (Named("dice", axis=(1,)), "sigmoid"),
    ],
)
def test_losses_that_fit_are_taken(loss, head):
    """What Keras computes as documented is never refused."""
    assert loss_problems(loss, head, (4, 3)) == []


@pytest.mark.parametrize(
    ("loss", "y", "said"),
    [
        ("binary_crossentropy", [[0.0, 1.5]], "holds 1.5, but should be within [0, 1]"),
        ("binary_crossentropy", [[-1.0, 1.0]], "holds -1.0"),
        ("categorical_crossentropy", [[1.0, 1.0]], "sums to 2.0, but should sum to 1"),
        ("categorical_crossentropy", [[0.0, 0.0]], "sums to 0.0"),
        ("categorical_crossentropy", [[-0.5, 1.5]], "within [0, 1]"),
        ("kl_divergence", [[0.5, 1.5]], "within [0, 1]"),
        ("sparse_categorical_crossentropy", [2.0], "holds 2.0, but should be a whole number from 0 to 1"),
        ("sparse_categorical_crossentropy", [-1.0], "holds -1.0, but should be a whole number from 0 to 1"),
        ("sparse_categorical_crossentropy", [0.5], "holds 0.5, but should be a whole number from 0 to 1"),
        ("categorical_generalized_cross_entropy", [7.0], "holds 7.0"),
        ("poisson", [[1.0, -2.0]], "holds -2.0, but should be 0 or more"),
        ("mean_squared_logarithmic_error", [[1.0, -2.0]], "holds -2.0, but should be 0 or more"),
        ("mean_absolute_percentage_error", [[1.0, 0.0]], "holds 0.0, but should not be zero"),
        ("cosine_similarity", [[0.0, 0.0]], "has a row of zeros"),
        ("hinge", [[1.0, 2.0]], "holds 2.0, but should be -1 or 1 (or 0 and 1, which Keras makes -1 and 1)"),
        ("squared_hinge", [[-1.0, 0.0]], "holds -1.0 and 0.0"),
        ("circle", [0.0, 0.0, 0.0], "holds nothing but 0.0"),
        ("circle", [0.0, 1.0, 2.0], "holds every class once"),
        ("circle", [0.5, 1.0, 1.0], "holds 0.5"),
    ],
)
def test_targets_that_a_loss_cannot_take_are_named(loss, y, said):
    """Targets out of a loss's range are refused with the value and what it should be."""
    found = look_up(LOSSES, loss)
    assert said in found.targets.problem(np.array(y), (len(y), 2), **found.arguments)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([[1.0, 0.0, 1.0]], "has a label after a 0"),
        (
            [[1.0, 1.0, 2.0]],
            "needs 4 steps, one for each label and one between equal ones, but the output has 3",
        ),
        ([[3.0, 0.0, 0.0]], "holds 3.0, but should be a whole number from 0 to 2"),
    ],
)
def test_sequences_that_ctc_cannot_take_are_named(y, said):
    """The blank is for padding, and the labels have to fit into the steps."""
    assert said in LOSSES["ctc"].targets.problem(np.array(y), (1, 3, 3))


def test_soft_labels_and_the_ignored_class_are_taken():
    """Labels within the range, and the class that is ignored, are no mistake."""
    ignoring = look_up(LOSSES, Named("sparse_categorical_crossentropy", ignore_class=-1))
    assert ignoring.targets.problem(np.array([-1.0, 1.0]), (2, 2), **ignoring.arguments) is None
    for loss, y in (("binary_crossentropy", [[0.1, 0.9]]), ("categorical_crossentropy", [[0.1, 0.2, 0.7]])):
        assert LOSSES[loss].targets.problem(np.array(y), (1, len(y[0]))) is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_is_what_is_taken(name):
    """Over 40 draws of every size, no loss finds fault with its own targets."""
    found = look_up(LOSSES, name)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(2, 6, rng.integers(2, 4)))
        if found.fits(shape, **found.arguments):
            continue
        y = found.targets.draw(rng, shape, **found.arguments)
        assert y.shape == found.targets.shape(shape)
        assert found.targets.problem(y, shape, **found.arguments) is None
