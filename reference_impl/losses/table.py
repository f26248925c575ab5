"""The table of losses. A new loss is one entry: value, derivative, targets, and Keras's arguments."""

from reference_impl.losses import crossentropy as ce
from reference_impl.losses import focal, hinge, overlap
from reference_impl.losses import regression as re
from reference_impl.losses.circle import circle, d_circle, with_rivals
from reference_impl.losses.ctc import ctc, d_ctc
from reference_impl.losses.fits import (
    above_one,
    alpha_a_class,
    axis_of_samples,
    batch,
    below_zero,
    classes,
    improbable,
    improbable_shares,
    labels_in_time,
    one_a_sample,
)
from reference_impl.losses.loss import Loss, Pair
from reference_impl.losses.targets import (
    BINARY,
    COUNTS,
    DIRECTIONS,
    LABELS,
    NONZERO,
    NOT_NEGATIVE,
    ONE_HOT,
    PAIRS,
    PROBABILITIES,
    REAL,
    SEQUENCES,
    SIGNS,
)

MEAN = {"reduction": "sum_over_batch_size"}
SMOOTHED = {"from_logits": False, "label_smoothing": 0.0, "axis": -1} | MEAN
FOCAL = {"alpha": 0.25, "gamma": 2.0} | SMOOTHED

# None is the free upstream gradient: the loss is sum(y_true * y_pred), so `y_true` is dy itself.
LOSSES = {
    None: Loss(re.inner_product, re.d_inner_product, REAL),
    # ---- of the difference between output and target
    "mean_squared_error": Loss(re.mean_squared_error, re.d_mean_squared_error, REAL, defaults=MEAN),
    "mean_absolute_error": Loss(re.mean_absolute_error, re.d_mean_absolute_error, REAL, defaults=MEAN),
    "mean_absolute_percentage_error": Loss(
        re.mean_absolute_percentage_error, re.d_mean_absolute_percentage_error, NONZERO, defaults=MEAN
    ),
    "mean_squared_logarithmic_error": Loss(
        re.mean_squared_logarithmic_error,
        re.d_mean_squared_logarithmic_error,
        NOT_NEGATIVE,
        clips=below_zero,
        defaults=MEAN,
    ),
    "huber": Loss(re.huber, re.d_huber, REAL, defaults={"delta": 1.0} | MEAN),
    "log_cosh": Loss(re.log_cosh, re.d_log_cosh, REAL, defaults=MEAN),
    "poisson": Loss(re.poisson, re.d_poisson, COUNTS, least="zero", defaults=MEAN),
    "cosine_similarity": Loss(
        re.cosine_similarity, re.d_cosine_similarity, DIRECTIONS, fits=classes, defaults={"axis": -1} | MEAN
    ),
    # ---- of a margin
    "hinge": Loss(hinge.hinge, hinge.d_hinge, SIGNS, defaults=MEAN),
    "squared_hinge": Loss(hinge.squared_hinge, hinge.d_squared_hinge, SIGNS, defaults=MEAN),
    "categorical_hinge": Loss(hinge.categorical_hinge, hinge.d_categorical_hinge, ONE_HOT, defaults=MEAN),
    # ---- of probabilities
    "binary_crossentropy": Loss(
        ce.binary_crossentropy,
        ce.d_binary_crossentropy,
        BINARY,
        Pair(ce.sigmoid_crossentropy, ce.d_sigmoid_crossentropy),
        fuses="sigmoid",
        clips=improbable,
        defaults=SMOOTHED,
    ),
    "categorical_crossentropy": Loss(
        ce.categorical_crossentropy,
        ce.d_categorical_crossentropy,
        ONE_HOT,
        Pair(ce.softmax_crossentropy, ce.d_softmax_crossentropy),
        fuses="softmax",
        fits=classes,
        clips=improbable_shares,
        defaults=SMOOTHED,
    ),
    "sparse_categorical_crossentropy": Loss(
        ce.sparse_categorical_crossentropy,
        ce.d_sparse_categorical_crossentropy,
        LABELS,
        Pair(ce.sparse_softmax_crossentropy, ce.d_sparse_softmax_crossentropy),
        fuses="softmax",
        fits=classes,
        counted=ce.not_ignored,
        clips=improbable,
        defaults={"from_logits": False, "ignore_class": None, "axis": -1} | MEAN,
    ),
    "binary_focal_crossentropy": Loss(
        focal.binary_focal_crossentropy,
        focal.d_binary_focal_crossentropy,
        BINARY,
        Pair(focal.sigmoid_focal_crossentropy, focal.d_sigmoid_focal_crossentropy),
        fuses="sigmoid",
        clips=improbable,
        defaults={"apply_class_balancing": False} | FOCAL,
    ),
    "categorical_focal_crossentropy": Loss(
        focal.categorical_focal_crossentropy,
        focal.d_categorical_focal_crossentropy,
        ONE_HOT,
        Pair(focal.softmax_focal_crossentropy, focal.d_softmax_focal_crossentropy),
        fits=alpha_a_class,
        clips=improbable_shares,
        defaults=FOCAL,
    ),
    "kl_divergence": Loss(
        ce.kl_divergence, ce.d_kl_divergence, PROBABILITIES, clips=above_one, defaults=MEAN
    ),
    "categorical_generalized_cross_entropy": Loss(
        ce.categorical_generalized_cross_entropy,
        ce.d_categorical_generalized_cross_entropy,
        LABELS,
        fits=classes,
        least="more",
        defaults={"q": 0.5} | MEAN,
    ),
    # ---- of overlap, of pairs, of sequences
    "dice": Loss(
        overlap.dice,
        overlap.d_dice,
        BINARY,
        fits=axis_of_samples,
        shape=overlap.overlap_shape,
        defaults={"axis": None} | MEAN,
    ),
    "tversky": Loss(
        overlap.tversky,
        overlap.d_tversky,
        BINARY,
        fits=axis_of_samples,
        shape=overlap.overlap_shape,
        defaults={"alpha": 0.5, "beta": 0.5, "axis": None} | MEAN,
    ),
    "circle": Loss(
        circle,
        d_circle,
        PAIRS,
        fits=batch,
        counted=with_rivals,
        couples=True,
        defaults={"gamma": 80.0, "margin": 0.4, "remove_diagonal": True} | MEAN,
    ),
    "ctc": Loss(ctc, d_ctc, SEQUENCES, fits=labels_in_time, shape=one_a_sample, single=True, defaults=MEAN),
}

# Arguments of Keras's constructors that a loss here does not take, each with the reason.
NOT_ARGUMENTS = {
    "name": "it labels the loss in Keras's progress bar and changes no number",
    "dtype": "a loss computes in the dtype of the case",
}
