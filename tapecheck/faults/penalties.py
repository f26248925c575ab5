"""Faults of regularizers: penalties that the gradient leaves out, halves, or does not average."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from reference_impl import Named, Sequential
from reference_impl.arguments import bound
from reference_impl.penalties import d_weights
from reference_impl.regularizers import REGULARIZERS
from reference_impl.sequential import own
from reference_impl.spec import Arrays, Layer
from tapecheck.faults.fault import Fault
from tapecheck.problem import Problem

FACTORS = ("l1", "l2", "factor")


def with_layers(problem: Problem, change: Callable[[Layer], Layer]) -> Problem:
    """The problem with every layer changed."""
    model = Sequential([change(layer) for layer in problem.model.layers])
    return replace(problem, case=replace(problem.case, model=model))


def unregularized(problem: Problem, end: str = "_regularizer") -> Problem:
    """The problem without the regularizers whose argument ends so; itself where there is none."""

    def without(layer: Layer) -> Layer:
        given = [name for name, value in layer.arguments().items() if name.endswith(end) and value]
        return replace(layer, **dict.fromkeys(given)) if given else layer

    plain = with_layers(problem, without)
    return problem if plain.model == problem.model else plain


def activity_times(problem: Problem, number: float) -> Problem:
    """The problem with all penalties on outputs times a number."""

    def scaled(layer: Layer) -> Layer:
        value = getattr(layer, "activity_regularizer", None)
        if value is None:
            return layer
        arguments = bound(value, REGULARIZERS)
        factors = {name: number * arguments[name] for name in FACTORS if name in arguments}
        name = value.name if isinstance(value, Named) else value
        other: dict[str, Any] = {"activity_regularizer": Named(name, **{**arguments, **factors})}
        return replace(layer, **other)

    return with_layers(problem, scaled)


def less(share: float) -> Callable[[Problem, Arrays], Arrays]:
    """An `after` that takes a share of the weights' penalties out of the gradients."""

    def after(problem: Problem, gradients: Arrays) -> Arrays:
        found = dict(gradients)
        for name, layer in problem.model.named_layers():
            for tensor, d in d_weights(layer, own(problem.weights, name)).items():
                found[f"{name}/{tensor}"] = found[f"{name}/{tensor}"] - share * d
        return found

    return after


def penalties(model: Sequential) -> Iterator[Fault]:
    """The faults that the model's regularizers leave room for."""
    right = "dW = d loss / dW + d penalty / dW"
    if model.of_weights("regularizer"):
        for share, wrong, kind in (
            (1.0, "dW = d loss / dW, without the penalty", "term dropped"),
            (0.5, "dW = d loss / dW + half of d penalty / dW", "factor dropped"),
        ):
            yield Fault("dW", kind, right, wrong, phase="convention", after=less(share), undo=less(-share))
    if any(getattr(layer, "activity_regularizer", None) for layer in model.layers):
        right = "dy = d loss / dy + d penalty(y) / dy / B"
        for wrong, kind, before in (
            (
                "dy = d loss / dy, without the penalty on y",
                "term dropped",
                lambda problem: unregularized(problem, "activity_regularizer"),
            ),
            (
                "dy = d loss / dy + d penalty(y) / dy, not divided by B",
                "normalisation",
                lambda problem: activity_times(problem, problem.x.shape[0]),
            ),
            (
                "dy = d loss / dy + d penalty(y) / dy / (B * T)",
                "normalisation",
                lambda problem: activity_times(problem, 1 / problem.x.shape[1]),
            ),
        ):
            yield Fault("dy", kind, right, wrong, phase="convention", before=before)
