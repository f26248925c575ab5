"""Is it the upstream gradient, its size or its sum over the batch?"""

from collections.abc import Mapping

import numpy as np

from reference_impl.spec import Array
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.probes import derived
from tapecheck.probes.soundness import loses_digits
from tapecheck.probes.subject import (
    ALIKE,
    RIGHT,
    RULED_OUT,
    SUSPECT,
    Finding,
    Judged,
    NotApplicable,
    Subject,
    contrast,
    factor_of,
)
from tapecheck.text import listed


def common_factor(subject: Subject) -> Finding:
    """Is everything wrong by one factor?"""
    base = subject.base
    if not base.wrong:
        return RIGHT, "every gradient has its right size"
    factor = factor_of(base.wrong)
    whole = len(base.wrong) == sum(name in base.gradients for name in base.problem.weights)
    if factor is None or not whole or abs(factor - 1) < ALIKE:
        return RULED_OUT, "no one factor makes all gradients right: the loss's normalisation is not it"
    if abs(factor + 1) < ALIKE:
        return (
            SUSPECT,
            "every gradient has the opposite sign: dy is y - y_pred, or it is the descent direction",
        )
    says = f"every gradient is {factor:.6g} times the exact one"
    inputs = ("x", *base.problem.initial_state)
    right = [name for name in inputs if name in base.arrays and not base.is_wrong(name)]
    if right:
        return SUSPECT, (
            f"{says}: except {listed(right)}, so those of the weights are scaled after the backward "
            "pass, as where they are clipped by their norm"
        )
    return SUSPECT, f"{says}: the loss is normalised differently"


def free_upstream(subject: Subject) -> Finding:
    """Is it right when dy is given instead of computed from the loss?"""
    free = answer_to_free(subject)
    return contrast(
        subject,
        free.problem,
        "when dy is given (loss=None)",
        if_exact="the mistake shows only with the loss: its own derivative dy, or its size",
        if_wrong="the loss is not the only fault",
    )


def answer_to_free(subject: Subject) -> Judged:
    """The answer to a given dy. Raises NotApplicable where the loss is not asked for."""
    if subject.problem.loss is None:
        raise NotApplicable("the upstream gradient is free already")
    free = subject.ask(derived.with_free_upstream(subject.problem))
    if free.wrong and not subject.takes_free_upstream(free):
        raise NotApplicable("loss=None is ignored")
    return free


def only_the_loss(subject: Subject) -> bool:
    """Whether it is wrong as asked and right where dy is given: the loss's own derivative is to blame."""
    try:
        return bool(subject.base.wrong) and not answer_to_free(subject).wrong
    except NotApplicable:
        return False


def zero_upstream(subject: Subject) -> Finding:
    """Does no upstream gradient give no gradient?"""
    if vanishes(subject, {0: 1, 1: 0}):
        return RIGHT, "no upstream gradient gives no gradient"
    return SUSPECT, (
        "a gradient without an upstream one: the forward pass is another one, or something is added "
        "(a penalty, a buffer that is not cleared)"
    )


def scaled_upstream(subject: Subject) -> Finding:
    """Is it homogeneous? Clipping inside the backward pass is not."""
    if vanishes(subject, {1000: 1, 1: -1000, 0: 999}):
        return RIGHT, "1000 dy gives 1000 g: nothing is clipped"
    return SUSPECT, (
        "1000 dy does not give 1000 g: gradients are clipped or normalised on the way, or weights are "
        "updated before the backward pass is done with them"
    )


def negative_upstream(subject: Subject) -> Finding:
    """Is it odd?"""
    if vanishes(subject, {-1: 1, 1: 1, 0: -2}):
        return RIGHT, "-dy gives -g"
    return SUSPECT, "-dy does not give -g: the backward pass takes sides (abs, maximum, a clip)"


def vanishes(subject: Subject, terms: Mapping[int, int]) -> bool:
    """Whether the sum of weight * g(factor * dy) over `terms` {factor: weight} vanishes, as it does for
    a backward pass linear in dy, against what is left of it by the shipped implementation. What is left of
    a share below ALIKE is no clipping, but digits lost.
    """
    if loses_digits(subject):
        raise NotApplicable("the lost digits would be taken for it")
    if only_the_loss(subject):
        raise NotApplicable("it is right where dy is given: the loss's own derivative would be taken for it")
    answers = {k: subject.ask(derived.steered(subject.steerable, k)) for k in terms}
    theirs = {k: answer.arrays for k, answer in answers.items()}
    ours = {k: answer.problem.reference.gradients for k, answer in answers.items()}
    size = max(1, *(abs(k * weight) for k, weight in terms.items()))

    def left(name: str, gradients: Mapping[int, Mapping[str, Array]]) -> float:
        wide = {k: found[name].astype(np.longdouble) for k, found in gradients.items()}
        total = sum(weight * wide[k] for k, weight in terms.items())
        return float(errors(name, wide[1] + total / size, wide[1], subject.problem.dtype).max())

    weights = [name for name in subject.problem.weights if name in subject.base.arrays]
    if any(name not in found for found in theirs.values() for name in weights):
        raise NotApplicable("not every answer holds the same gradients")
    lost = ALIKE / np.finfo(subject.problem.dtype).eps
    return all(left(name, theirs) <= max(FACTOR * max(left(name, ours), FLOOR), lost) for name in weights)


def last_upstream(subject: Subject) -> Finding:
    """Is it right when no step but the last has an upstream gradient?"""
    if subject.problem.y.ndim != 3:
        raise NotApplicable("the output has no time axis")
    last = np.zeros((subject.problem.y.shape[1], 1))  # (T, 1)
    last[-1] = 1
    in_head = all(not row.name.startswith("lstm") for row in subject.base.wrong)
    return contrast(
        subject,
        derived.steered(subject.steerable, last),
        "when only the last step has an upstream gradient",
        if_exact="the mistake shows only where an earlier step has one, as in its "
        f"{'dlogits' if in_head else 'dh_above'}",
        if_wrong="dh_above is not the only fault",
    )


def one_row(subject: Subject) -> Finding:
    """Is it right for a batch of one?"""
    B, factor = len(subject.problem.x), factor_of(subject.base.wrong)
    if B == 1:
        raise NotApplicable("the batch has one row")
    if factor is not None and abs(factor * B - 1) < ALIKE:
        how = "divided by B once too often: sum over the batch, the loss has the mean"
    elif factor is not None and abs(factor / B - 1) < ALIKE:
        how = "not divided by B, as the loss's mean over the batch is"
    else:
        how = "not the sum of its rows, or a row after the first is wrong by itself"
    return contrast(
        subject,
        derived.cut(subject.problem, batch=1),
        "at B = 1",
        if_exact=f"the gradient of a batch of {B} is {how}",
        if_wrong="how the batch is summed is not the only fault",
    )
