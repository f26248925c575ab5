"""Every loss through the whole check: NumPy, Keras and the exact gradient, with weights and masks."""

from dataclasses import replace

import numpy as np
import pytest

from reference_impl import LSTM, BadInput, Dense, Masking, Named, Sequential
from reference_impl.losses import LOSSES, class_weights
from tapecheck import Case, check
from tapecheck.complexstep import complex_steps
from tapecheck.faults.weighing import weighing
from tapecheck.saved import load, save
from tf_oracle.start import load as load_keras

SEQUENCES = LSTM(4, return_sequences=True)
# A head on which each loss has a gradient everywhere, softmax where none is named.
HEADS = {
    **dict.fromkeys(("binary_crossentropy", "binary_focal_crossentropy", "dice", "tversky"), "sigmoid"),
    **dict.fromkeys(("poisson", "mean_squared_logarithmic_error"), "softplus"),
    **dict.fromkeys(("hinge", "squared_hinge", "categorical_hinge", "circle"), "tanh"),
    **dict.fromkeys(
        ("huber", "log_cosh", "cosine_similarity", "mean_absolute_percentage_error", "ctc"), None
    ),
}


def case_of(loss, number):
    """One case of a loss: on all steps or the last, in float64 or float32, weighed or not, masked or not."""
    name = loss.name if isinstance(loss, Named) else loss
    single = LOSSES[name].single
    steps = single or (number % 2 == 0 and name != "circle")
    return Case(
        f"loss-{name}-{number}",
        Sequential([LSTM(4, return_sequences=steps), Dense(3, activation=HEADS.get(name, "softmax"))]),
        4,
        6,
        2,
        loss=loss,
        dtype="float32" if single or number % 3 == 2 else "float64",
        sample_weight=(None, "sample", "step" if steps and not single else "sample")[number % 3],
        mask="random" if steps and not single and number % 4 == 0 else None,
    )


CASES = [case_of(loss, number) for number, loss in enumerate(name for name in LOSSES if name)] + [
    case_of(loss, number)
    for number, loss in enumerate(
        (
            Named("mean_squared_error", reduction="mean_with_sample_weight"),
            Named("huber", delta=0.5, reduction="sum"),
            Named("huber", delta=2.0, reduction=None),
            Named("sparse_categorical_crossentropy", ignore_class=-1),
            Named("categorical_focal_crossentropy", alpha=(0.1, 0.2, 0.7), label_smoothing=0.1),
            Named("tversky", alpha=0.3, beta=0.8, reduction="sum"),
            Named("circle", gamma=3.0, remove_diagonal=False, reduction="mean_with_sample_weight"),
        ),
        start=4,
    )
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_loss_passes(case):
    """The shipped implementation and Keras agree with the exact loss and gradients, and the draw proves
    something: neither a gradient nor a draw of targets is all zeros or all alike.
    """
    report = check(case)
    assert report.passed, str(report)
    assert "loss" in report.forward
    assert np.unique(report.problem.y).size > 1


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case.name)
def test_the_forward_pass_alone_gives_the_same_gradient(case):
    """The third witness, the complex step of the textbook's forward pass, knows nothing of derivatives."""
    problem = case.problem()
    names = ["dense/kernel", "lstm/bias"]
    for name in names:
        exact = check(case).exact.tensors[name]
        assert np.abs(complex_steps(problem, name) - exact).max() <= 1e-12 * np.abs(exact).max(), name


WEIGHED = Case(
    "weighed", Sequential([SEQUENCES, Dense(2)]), loss="huber", sample_weight="step", mask="random"
)


@pytest.mark.parametrize("number", range(4))
def test_mistakes_with_weights_and_masks_are_named(number):
    """Weights or a mask left out of the loss, and means over another number, are wrong, and are named."""
    fault = list(weighing(WEIGHED.problem()))[number]
    report = check(WEIGHED, fault)
    assert report.verdict == "failed"
    assert report.diagnoses[0].equation == fault.wrong
    assert report.diagnoses[0].fault == fault.kind


@pytest.mark.parametrize(
    "edit",
    [
        lambda p: {"sample_weight": None},
        lambda p: {"sample_weight": np.ones_like(p.sample_weight)},
        lambda p: {"mask": np.ones_like(p.mask)},
    ],
    ids=["no weights", "weights of one", "nothing masked"],
)
def test_leaving_out_weights_or_mask_is_wrong(edit):
    """Code that does not look at the weights of the samples, or at the mask of the loss, fails."""

    def careless(problem):
        return replace(problem, **edit(problem)).reference

    assert check(WEIGHED).passed
    assert check(WEIGHED, careless).verdict == "failed"


def test_weights_of_a_draw():
    """Between a half and two, some of them zero, of the shape that Keras multiplies the values by."""
    model = Sequential([SEQUENCES, Dense(2)])
    step = Case("weights", model, 4, 6, sample_weight="step").problem().sample_weight
    assert step.shape == (4, 6)
    assert (step == 0).sum() == 4
    assert ((step == 0) | ((step >= 0.5) & (step <= 2))).all()
    assert Case("weights", model, 4, 6, sample_weight="sample").problem().sample_weight.shape == (4, 1)
    last = Case("weights", Sequential([LSTM(4), Dense(2)]), 5, dtype="float32", sample_weight="sample")
    assert last.problem().sample_weight.shape == (5,)
    assert last.problem().sample_weight.dtype == np.float32


@pytest.mark.parametrize(
    ("loss", "units", "y"),
    [
        ("sparse_categorical_crossentropy", 3, [2.0, 0.0, 1.0, 2.0]),
        ("categorical_crossentropy", 3, np.eye(3)[[2, 0, 1, 2]]),
        ("binary_crossentropy", 1, [[1.0], [0.0], [1.0], [0.0]]),
    ],
)
def test_class_weights_are_those_of_fit(loss, units, y):
    """The weights of the samples are what Keras's own function makes of the labels."""
    load_keras()
    from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

    by_class = {0: 0.5, 2: 3.0}
    theirs = class_weight_to_sample_weights(np.asarray(y), by_class)
    assert class_weights(np.asarray(y), by_class).tolist() == theirs.tolist()
    head = Dense(units, activation="sigmoid" if units == 1 else "softmax")
    case = Case("by-class", Sequential([LSTM(4), head]), 4, loss=loss, class_weight=by_class)
    problem = case.problem()
    assert problem.sample_weight.tolist() == class_weights(problem.y, by_class).tolist()
    assert check(case).passed
    assert "class weights {0: 0.5, 2: 3.0}" in check(case).full()


def test_saved_and_loaded(tmp_path):
    """Arguments of the loss, weights of samples and of classes come back from a file."""
    softmax = Sequential([LSTM(4), Dense(3, activation="softmax")])
    focal = Named("categorical_focal_crossentropy", alpha=(0.1, 0.2, 0.7))
    for case in (
        Case("kept", softmax, loss=focal, sample_weight="sample"),
        Case("kept-classes", softmax, loss="sparse_categorical_crossentropy", class_weight={0: 0.5, 1: 2.0}),
    ):
        problem = case.problem()
        file = tmp_path / f"{case.name}.npz"
        save(problem, problem.reference, "mine", file)
        again, _, _ = load(file)
        assert again.case == case
        assert again.sample_weight.tobytes() == problem.sample_weight.tobytes()
        assert again.reference.loss == problem.reference.loss


def test_outputs_that_a_loss_clips_are_said():
    """A crossentropy of probabilities on a linear head passes, and the report says what it does not see."""
    case = Case("clipped", Sequential([LSTM(4), Dense(3)]), 5, loss="binary_crossentropy")
    text = " ".join(str(check(case)).split())
    assert "- note: binary_crossentropy clips " in text
    assert (
        "of 15 outputs, through which no gradient flows; use activation='sigmoid', or from_logits=True"
        in text
    )
    assert "clips" not in str(check(CASES[0]))


LAST, ALL = Sequential([LSTM(4), Dense(3)]), Sequential([SEQUENCES, Dense(3)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(sample_weight="steps"), "`sample_weight` = 'steps', but should be one of sample, step"),
        (dict(model=LAST, sample_weight="step"), "`sample_weight` = 'step', but should be one of sample"),
        (dict(loss=None, sample_weight="step"), "`sample_weight` is given, but `loss` = None"),
        (dict(loss=None, class_weight={0: 1.0}), "`class_weight` is given, but `loss` = None"),
        (dict(model=LAST, sample_weight="sample", class_weight={0: 1.0}), "Keras takes one of them"),
        (
            dict(class_weight={0: 1.0}),
            "`class_weight` is given, but Keras takes it only for one label a sample",
        ),
        (dict(model=LAST, class_weight=[1.0, 2.0]), "`class_weight` = [1.0, 2.0], but should be a dict"),
        (dict(model=LAST, class_weight={-1: 1.0}), "`class_weight` holds -1: 1.0"),
        (dict(model=LAST, class_weight={0: "much"}), "`class_weight` holds 0: 'much'"),
        (dict(loss="ctc"), "`loss` = 'ctc' in float64: Keras computes it in float32"),
        (dict(loss="ctc", dtype="float32", mask="random"), "it takes all steps of a sample together"),
        (dict(loss="poisson"), "`loss` = 'poisson' on linear outputs: a negative one has no logarithm"),
        (dict(loss="circle"), "`loss` = 'circle' on output (3, 5, 3), but needs one embedding a sample"),
        (dict(model=LAST, batch=2, loss="circle"), "a batch of 2, but needs 3 samples or more"),
        (dict(loss=Named("dice", axis=1)), "`axis` = 1 should be -1, all axes after the batch, or None"),
    ],
)
def test_cases_that_their_loss_does_not_fit_are_refused(arguments, said):
    """When the case is made, with what is wrong and what it should be."""
    with pytest.raises(BadInput) as raised:
        Case(**({"name": "bad", "model": ALL} | arguments))
    assert said in str(raised.value)


def test_a_mask_that_ends_before_the_loss_is_no_matter():
    """Only a mask that reaches the loss counts there: the last step of an LSTM has none."""
    dice = Named("dice", axis=(1,))
    model = Sequential([Masking(), LSTM(4), Dense(3, activation="sigmoid")])
    assert check(Case("ends", model, loss=dice)).passed


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            dict(sample_weight=np.ones(3)),
            "`sample_weight` has shape (3,), but should be (3, 1), one weight a sample",
        ),
        (
            dict(sample_weight=np.ones((3, 5), "f4")),
            "array 'sample_weight' is float32, but should be float64",
        ),
        (dict(sample_weight=np.full((3, 5), np.nan)), "array 'sample_weight' holds nan at [0, 0]"),
        (dict(y=np.ones((3, 5, 3))), "target 'y' has shape (3, 5, 3), but should be (3, 5)"),
        (dict(y=np.full((3, 5), 3.0)), "holds 3.0, but should be a whole number from 0 to 2"),
        (dict(y=np.full((3, 5), 7)), "holds 7.0, but should be a whole number from 0 to 2"),
    ],
)
def test_arrays_that_do_not_fit_the_loss_are_refused(edit, said):
    """Weights and labels of other shapes, dtypes and ranges are named."""
    model = Sequential([SEQUENCES, Dense(3, activation="softmax")])
    problem = Case("arrays", model, loss="sparse_categorical_crossentropy").problem()
    given = {"x": problem.x, "y": problem.y, "weights": problem.weights} | edit
    with pytest.raises(BadInput) as raised:
        model.loss_and_gradients(**given, loss=problem.loss)
    assert said in str(raised.value)


def test_labels_may_be_integers():
    """As a data set has them: the same loss and gradients as from floats."""
    model = Sequential([SEQUENCES, Dense(3, activation="softmax")])
    problem = Case("whole", model, loss="sparse_categorical_crossentropy").problem()
    whole, _ = model.loss_and_gradients(
        problem.weights, problem.x, problem.y.astype(int), loss=problem.loss, sample_weight=np.ones((3, 1))
    )
    assert whole == problem.reference.loss
