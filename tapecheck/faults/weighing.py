"""Faults of a loss's factors: weights of samples that are left out, steps that are masked and count."""

from collections.abc import Iterator

from reference_impl import Masking
from reference_impl.losses import LOSSES
from reference_impl.losses.reduction import MEANS
from reference_impl.spec import look_up
from tapecheck.faults import program
from tapecheck.faults.fault import Fault
from tapecheck.problem import Problem

# Keras's mean over what is not masked, undone: every step that is masked counts in the number again.
BY_ALL_STEPS = "factors = factors * (kept[-1].mask.sum() / kept[-1].mask.size)"
BY_WEIGHTS = "factors = factors * (factors.size / inputs.sample_weight.sum())"


def weighing(problem: Problem) -> Iterator[Fault]:
    """The faults that weights of samples, and a mask that reaches the loss, leave room for."""
    found = look_up(LOSSES, problem.loss)
    masked = problem.mask is not None or isinstance(problem.model.layers[0], Masking)
    mean, samples = found.reduction in MEANS, "1 / N" if found.reduction in MEANS else "1"
    if problem.loss is not None and problem.sample_weight is not None:
        right = f"w = {'sample_weight / N' if mean else 'sample_weight'}"
        yield fault(right, f"w = {samples}", "weights left out", given("None", "kept[-1].mask"))
        if mean and problem.sample_weight.any():
            yield fault(right, "w = sample_weight / sum(sample_weight)", "normalisation", RIGHT, BY_WEIGHTS)
    if problem.loss is not None and masked and problem.model.mask_of_output(problem.x.shape) is not None:
        right = f"w = mask / {'sum(mask)' if mean else 1}"
        yield fault(right, f"w = {samples}", "mask left out", given("inputs.sample_weight", "None"))
        if mean:
            yield fault(right, "w = mask / N", "normalisation", RIGHT, BY_ALL_STEPS)


def given(weight: str, mask: str) -> str:
    """The line of the textbook that makes the factors, from these weights and this mask."""
    return f"factors = used.factors(y, used.value(y, of), {weight}, {mask})"


RIGHT = given("inputs.sample_weight", "kept[-1].mask")


def fault(right: str, wrong: str, kind: str, *lines: str) -> Fault:
    """A fault of the factors, with the lines that stand in for the right one."""
    (line,) = [each for each in program.BACKPROPAGATE.assignments if each.target == "factors"]
    return Fault(
        "dy",
        kind,
        f"dy = w * d_loss, {right}",
        f"dy = w * d_loss, {wrong}",
        f"textbook/sequential.py:{line.key[1]}",
        code={line.key: program.compiled_lines("\n".join(lines))},
    )
