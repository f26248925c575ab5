"""Mistakes around an optimizer's rule: signs, sizes, clipping, weight decay, constraints, rates, counting.

Each is the words for what is right and what was computed, and the optimizer that computes it: a part of the
right one exchanged.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from reference_impl.optimizers import Moved, Step
from reference_impl.spec import Array, Arrays, Named
from reference_impl.training import Optimizer, State, clipping
from tapecheck.faults.conventions import factors
from tapecheck.problem import Problem

# Right, wrong, and the optimizer that makes the mistake.
Changed = Iterator[tuple[str, str, Optimizer]]


def before(made: Optimizer, change: Callable[[Array, Step], Step]) -> Optimizer:
    """The optimizer with what its rule is given changed first."""
    update = made.rule.update
    return ruled(made, lambda w, now: update(w, change(w, now)))


def ruled(made: Optimizer, update: Callable[..., Moved]) -> Optimizer:
    """The optimizer with another rule."""
    return replace(made, rule=replace(made.rule, update=update))


def times(number: float) -> Callable[[Array, Step], Step]:
    """The gradient times a number."""
    return lambda w, now: now._replace(g=number * now.g)


def with_decay(share: float) -> Callable[[Array, Step], Step]:
    """The gradient with a share of the weights added."""
    return lambda w, now: now._replace(g=now.g + share * w)


def directions(made: Optimizer) -> Changed:
    """Up in place of down."""
    yield "w = w - rate * g", "w = w + rate * g", before(made, times(-1))
    update = made.rule.update

    def away(w: Array, now: Step) -> Moved:
        moved, slots = update(w, now)
        return w - (moved - w), slots

    yield "w = w - step", "w = w + step", ruled(made, away)


def sizes(made: Optimizer, problem: Problem) -> Changed:
    """Gradients that are summed where they are averaged, and the like; and that went through float32."""
    for words, size in factors().items():
        factor = size(problem)
        yield "g", f"g times {words}", before(made, times(factor))
    rounded = before(made, lambda w, now: now._replace(g=now.g.astype(np.float32).astype(w.dtype)))
    yield "g", "g rounded to float32", rounded


class ConstrainedFirst(Optimizer):
    """Constrains the weights before the step, and not after it."""

    def step(self, weights: Arrays, gradients: Arrays, state: State) -> tuple[Arrays, State]:
        free = Optimizer(**{**vars(self), "constrain": lambda name, w: w})
        return free.step({name: self.constrain(name, w) for name, w in weights.items()}, gradients, state)


def constraints(made: Optimizer, problem: Problem) -> Changed:
    """Constraints left out, or applied too early."""
    if problem.model.of_weights("constraint"):
        right = "w = constraint(w) after each step"
        yield right, "no constraint", replace(made, constrain=lambda name, w: w)
        yield right, "w = constraint(w) before each step", ConstrainedFirst(**vars(made))


CLIPS = {
    "clipvalue": "each entry of g cut to +-{0}",
    "clipnorm": "each g scaled down to the norm {0}",
    "global_clipnorm": "all g scaled down to one norm of {0} together",
}


def clips(made: Optimizer, arguments: Mapping[str, Any]) -> Changed:
    """Gradients clipped in another way, or not."""
    for name in (name for name in CLIPS if arguments[name] is not None):
        right, limit = CLIPS[name].format(arguments[name]), arguments[name]
        yield right, "gradients not clipped", replace(made, clip=lambda gradients: gradients)
        for other in (other for other in CLIPS if other != name):
            clip = clipping({**dict.fromkeys(CLIPS), other: limit}, made.number)
            yield right, CLIPS[other].format(limit), replace(made, clip=clip)


def decays(made: Optimizer, arguments: Mapping[str, Any]) -> Changed:
    """Weight decay left out, or in the gradient, where the rule rescales it, or on some weights alone."""
    share = arguments["weight_decay"]
    if share is None:
        return
    right = "w = w - weight_decay * rate * w before each step"
    free, update = replace(made, decay=lambda w, rate: w), made.rule.update

    def last(w: Array, now: Step) -> Moved:
        moved, slots = update(w, now)
        return made.decay(moved, now.rate), slots

    yield right, "no weight decay", free
    for factor, words in ((1, ""), (2, "2 * ")):
        yield right, f"g = g + {words}weight_decay * w", before(free, with_decay(factor * share))
    yield right, "w = w - weight_decay * w", replace(made, decay=lambda w, rate: w - w * share)
    yield (
        right,
        "weight decay on kernels alone",
        replace(made, decay=lambda w, rate: w if w.ndim == 1 else made.decay(w, rate)),
    )
    yield right, "w = w - weight_decay * rate * w after each step", ruled(free, last)


def rates(made: Optimizer, arguments: Mapping[str, Any]) -> Changed:
    """A schedule that is read at another step."""
    if isinstance(arguments["learning_rate"], Named):
        right = "the rate of step t - 1, which is step 0 at first"
        yield right, "the rate of step t, one too far", replace(made, rate=lambda step: made.rate(step + 1))
        late = replace(made, rate=lambda step: made.rate(max(step - 1, 0)))
        yield right, "the rate of step t - 2, one too late", late
        yield right, "the rate of step 0 at every step", replace(made, rate=lambda step: made.rate(0))


def counts(made: Optimizer) -> Changed:
    """Steps counted wrong, and nothing carried from one to the next."""
    yield "t = 1 at the first step", "t + 1 for t", before(made, lambda w, now: now._replace(t=now.t + 1))
    slots = made.rule.slots
    forgetful = before(made, lambda w, now: now._replace(s=slots))
    yield f"{', '.join(slots)} carried from step to step", "started anew at every step", forgetful
