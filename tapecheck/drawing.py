"""The arrays drawn for a case, and whether they can prove anything."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reference_impl import Masking
from reference_impl.losses import LOSSES, weight_shapes
from reference_impl.spec import Array, look_up
from tapecheck.masks import MASKS
from tapecheck.problem import Problem

if TYPE_CHECKING:
    from tapecheck.case import Case


def draw(case: "Case", rng: np.random.Generator) -> Problem:
    """One draw. Weights have standard deviation 1/sqrt(fan_in), so that each term of a pre-activation is
    O(1); biases ½, around 1 for the forget gate where `unit_forget_bias` says so.
    """
    weights = {}
    for name, layer, given, _ in case.model.shapes(case.input_shape):
        start = layer.init(rng, given)
        for tensor, shape in layer.weight_shapes(given).items():
            if tensor == "bias":
                drawn = start[tensor] + 0.5 * rng.standard_normal(shape)
            else:
                drawn = rng.standard_normal(shape) / np.sqrt(shape[0])
            weights[f"{name}/{tensor}"] = drawn.astype(case.dtype)
    states = {
        name: (rng.standard_normal(shape) * (case.initial_state == "random")).astype(case.dtype)
        for name, shape in case.model.state_shapes(case.input_shape).items()
    }
    found = look_up(LOSSES, case.loss)
    problem = Problem(
        case=case,
        x=inputs(case, rng),
        y=found.targets.draw(rng, case.output_shape, **found.arguments).astype(case.dtype),
        weights=weights,
        initial_state=states,
        upstream={
            name: rng.standard_normal(shape).astype(case.dtype)
            for name, shape in case.model.upstream_shapes(case.input_shape).items()
        },
        before=tuple(earlier(case, rng)),
        sample_weight=sample_weight(case, rng),
    )
    return masked(case, problem, rng)


def sample_weight(case: "Case", rng: np.random.Generator) -> Array | None:
    """The weights of samples or steps: ½ to 2, and one in five of them 0."""
    if case.sample_weight is None:
        return None
    drawn = rng.uniform(0.5, 2, weight_shapes(case.loss, case.output_shape)[case.sample_weight])
    drawn.flat[rng.permutation(drawn.size)[: drawn.size // 5]] = 0
    return drawn.astype(case.dtype)


def inputs(case: "Case", rng: np.random.Generator) -> Array:
    """One batch of inputs (B, T, D)."""
    if case.inputs == "one_hot":
        x = np.eye(case.input_shape[-1])[rng.integers(case.input_shape[-1], size=case.input_shape[:-1])]
    else:
        x = rng.standard_normal(case.input_shape)
    return x.astype(case.dtype)


def earlier(case: "Case", rng: np.random.Generator) -> Iterator[Array | None]:
    """The batches before the one that is checked; None where the states are reset."""
    for number in range(1, case.batches):
        yield inputs(case, rng)
        if number in case.resets:
            yield None


def masked(case: "Case", problem: Problem, rng: np.random.Generator) -> Problem:
    """The problem with the mask of the case, or with steps of x for Masking to find."""
    first = case.model.layers[0]
    kind = case.mask or ("random" if isinstance(first, Masking) else None)
    if kind is None:
        return problem
    mask = MASKS[kind](rng, case.batch, case.timesteps)
    if not isinstance(first, Masking):
        return replace(problem, mask=mask)
    x = np.where(mask[:, :, None], problem.x, first.mask_value).astype(case.dtype)
    return replace(problem, x=x)


def lively(problem: Problem) -> bool:
    """Whether the draw can prove something, judged on the shipped implementation.

    Not where a relu head is dead for most of the batch, nor where a bias's gradient, a plain sum,
    cancels (the signs of a mean absolute error do), nor where anything overflows. Raises BadInput for
    arrays that do not fit, and where the loss has no derivative at an output.
    """
    gradients = problem.reference.gradients
    top = max(np.abs(gradient).max() for gradient in gradients.values())
    biases = [np.abs(gradient).max() for name, gradient in gradients.items() if name.endswith("/bias")]
    alive = np.mean(gradients["x"] != 0) >= 0.5 * np.mean(counting_steps(problem))
    return bool(np.isfinite(top) and alive and all(bias > 1e-9 * top for bias in biases))


def counting_steps(problem: Problem) -> Array:
    """The steps (B, T) that count; True for a model that masks none."""
    first = problem.model.layers[0]
    mask = first.output_mask(problem.x, problem.mask) if isinstance(first, Masking) else problem.mask
    return np.array(True) if mask is None else mask
