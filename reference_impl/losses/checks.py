"""What is wrong with a loss, its arguments, and the head that it follows: a sentence each."""

import numpy as np

from reference_impl.activations import ACTIVATIONS
from reference_impl.arguments import AXIS, NOT_NEGATIVE, POSITIVE, SHARE, SWITCH, Kind, argument_problems
from reference_impl.losses.loss import Loss
from reference_impl.losses.reduction import REDUCTIONS
from reference_impl.losses.table import LOSSES, NOT_ARGUMENTS
from reference_impl.spec import Array, Named, Shape, look_up


def is_whole(value: object) -> bool:
    """Whether it is a whole number."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_numbers(value: object) -> bool:
    """Whether it is a number from 0 on, or a tuple of them."""
    return all(map(NOT_NEGATIVE.holds, value if isinstance(value, tuple) else (value,)))


KINDS = {
    "delta": POSITIVE,
    "label_smoothing": SHARE,
    "alpha": Kind("a number from 0 on, or a tuple of them", is_numbers),
    "beta": NOT_NEGATIVE,
    "gamma": NOT_NEGATIVE,
    "margin": NOT_NEGATIVE,
    "q": Kind("a number between 0 and 1", lambda value: SHARE.holds(value) and 0 < value < 1),
    "ignore_class": Kind("a whole number or None", is_whole),
    "axis": AXIS,
    "from_logits": SWITCH,
    "apply_class_balancing": SWITCH,
    "remove_diagonal": SWITCH,
    "reduction": Kind(f"one of {', '.join(map(str, REDUCTIONS))}", lambda value: value in REDUCTIONS),
}
LAST_AXIS = Kind("-1: it is along the last axis that a loss compares", lambda value: value == -1)


def loss_problems(
    loss: object, head: str | Named | None = None, output_shape: Shape | None = None
) -> list[str]:
    """Everything wrong with `loss`, a name, a `Named` or None, for a model whose last layer has the
    activation `head`, and an output of `output_shape`.
    """
    if loss is None:
        return []
    name = loss.name if isinstance(loss, Named) else loss
    along_last = isinstance(name, str) and name in LOSSES and LOSSES[name].defaults.get("axis") == -1
    kinds = KINDS | ({"axis": LAST_AXIS} if along_last else {})
    said = argument_problems("loss", loss, LOSSES, kinds, NOT_ARGUMENTS)
    if said or not isinstance(loss, str | Named):
        return said
    found = look_up(LOSSES, loss)
    reason = head_problem(found, head) or (output_shape and found.fits(output_shape, **found.arguments))
    return [f"`loss` = {loss!r} on {reason}"] if reason else []


def target_problems(loss: str | Named | None, y: Array, output_shape: Shape) -> list[str]:
    """What is wrong with the values of a `y` of the right shape, as one sentence or none."""
    found = look_up(LOSSES, loss)
    problem = found.targets.problem(y, output_shape, **found.arguments)
    return [f"`y` for {loss} {problem}"] if problem else []


def weight_shapes(loss: str | Named | None, output_shape: Shape) -> dict[str, Shape]:
    """The shapes that sample weights may have, by what there is a weight for: a "sample" or a "step".

    One weight a sample is (B, 1) where there are steps: Keras multiplies (B,) along the time axis.
    """
    found = look_up(LOSSES, loss)
    if len(output_shape) < 3 or len(found.shape(output_shape, **found.arguments)) == 1:
        return {"sample": output_shape[:1]}
    return {"sample": (output_shape[0], 1), "step": output_shape[:-1]}


def head_problem(loss: Loss, head: str | Named | None) -> str:
    """Why a loss cannot follow a head with this activation, or ""."""
    name = name_of(head)
    article = f"a {name} head"
    if name in KEPT and loss.from_logits:
        return f"{article}: `from_logits` says that the outputs are logits, but they are probabilities"
    if name in KEPT and takes_kept_logits(loss) and name != loss.fuses:
        return (
            f"{article}: Keras would take the {name}'s logits for a {loss.fuses}'s and compute another "
            f"loss; use activation={loss.fuses!r}, or another loss"
        )
    return ""


def sign_problems(loss: str | Named | None, activation: str | Named | None) -> list[str]:
    """Why the loss cannot take the outputs of an activation, whatever its input is."""
    values = look_up(ACTIVATIONS, activation or "linear").value(np.array([-6.0, -2.0, -0.5, 0.5, 2.0]))
    wrong = too_small(look_up(LOSSES, loss), values)
    if not wrong:
        return []
    return [
        f"`loss` = {loss!r} on {name_of(activation)} outputs: {wrong}; use softplus, sigmoid, softmax or "
        "another activation of positive values"
    ]


def clip_note(loss: str | Named | None, head: str | Named | None, output: Array) -> str:
    """How much of an output the loss clips, so that it has no gradient, and what to do; "" for nothing."""
    found = look_up(LOSSES, loss)
    if loss is None or name_of(head) == found.fuses:
        return ""
    clipped = int(found.clips(output).sum())
    hint = f"; use activation={found.fuses!r}, or from_logits=True" if found.fuses else ""
    share = f"{clipped} of {output.size} outputs"
    return f"{loss} clips {share}, through which no gradient flows{hint}" if clipped else ""


def too_small(loss: Loss, outputs: Array) -> str:
    """Why the loss cannot take some of the outputs, or ""."""
    if loss.least and (outputs < 0).any():
        return "a negative one has no logarithm or power"
    if loss.least == "more" and (outputs == 0).any():
        return "the derivative at 0 is infinite"
    return ""


def output_problems(loss: str | Named | None, output: Array, mask: Array | None) -> list[str]:
    """Why the loss cannot take this very output, with the mask that it has."""
    found = look_up(LOSSES, loss)
    if mask is not None and len(found.shape(output.shape, **found.arguments)) == 1:
        return [
            f"`loss` = {loss!r} on a masked output {output.shape}: it takes all steps of a sample together, "
            f"but Keras multiplies its values {output.shape[:1]} by the mask {mask.shape}"
        ]
    wrong = too_small(found, output)
    return [f"`loss` = {loss!r} on an output that holds {np.nanmin(output)!s}: {wrong}"] if wrong else []


def name_of(head: str | Named | None) -> str:
    """The name of an activation; None is linear, and so is what its layer refuses."""
    name = head.name if isinstance(head, Named) else head
    return name if isinstance(name, str) else "linear"


# The activations that leave their logits on their output (`_keras_logits`).
KEPT = ("sigmoid", "softmax")


def takes_kept_logits(loss: Loss) -> bool:
    """Whether Keras computes this loss from the logits that an activation kept, whichever it was
    (docs/findings.md). With a class to ignore it works on a copy of the output, which has none.
    """
    return bool(loss.fuses) and not loss.from_logits and loss.arguments.get("ignore_class") is None


def loss_of_logits(loss: str | Named | None, head: str | Named | None) -> Loss | None:
    """The form of `loss` that takes the logits of a `head`, where Keras uses it: exact where 1 - p is not
    (keras/src/backend/tensorflow/nn.py, `_get_logits`). None where it takes the outputs.
    """
    found = look_up(LOSSES, loss)
    if name_of(head) != found.fuses or not takes_kept_logits(found):
        return None
    name, arguments = (loss.name, loss.arguments) if isinstance(loss, Named) else (loss, {})
    return LOSSES[name].using({**arguments, "from_logits": True})
