"""Training by hand: the steps of an optimizer, each in the order in which Keras does things.

    rate                                   of this step, read before it is counted
    g = clip(g)                            by value, by norm, or by the norm of all gradients together
    w = w - w * weight_decay * rate        every weight, biases too
    w, s = rule(w, g, s, rate, t)          see optimizers.py
    w = constraint(w)

Generic in its arithmetic. Source: `apply` in keras/src/optimizers/base_optimizer.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from reference_impl.arguments import bound
from reference_impl.constraints import CONSTRAINTS, larger, lengths, smaller
from reference_impl.optimizers import OPTIMIZERS, SHARED, Rule, Slots, Step
from reference_impl.schedules import Number, in_arithmetic, rate
from reference_impl.spec import Array, Arrays, Named, look_up


class State(NamedTuple):
    """What an optimizer keeps between steps: how many there were, and each weight's slots."""

    done: int
    slots: Mapping[str, Slots]


@dataclass(frozen=True)
class Optimizer:
    """The parts of a step, their arguments bound in the arithmetic of one run."""

    number: Callable[[Any], Number]  # makes a number of that arithmetic
    rate: Callable[[int], Number]  # the learning rate of a step, counted from 0
    clip: Callable[[Arrays], Arrays]  # all gradients by tensor name
    decay: Callable[[Array, Number], Array]  # a weight, given the rate
    rule: Rule
    constrain: Callable[[str, Array], Array]  # a weight, given its tensor name

    def start(self, weights: Arrays) -> State:
        """The state before the first step."""
        return State(0, dict.fromkeys(weights, self.rule.slots))

    def step(self, weights: Arrays, gradients: Arrays, state: State) -> tuple[Arrays, State]:
        """One step: the new weights and the new state. `gradients` may hold more than the weights'."""
        rate, t = self.rate(state.done), self.number(state.done + 1)
        clipped = self.clip({name: gradients[name] for name in weights})
        moved: Arrays = {}
        slots: dict[str, Slots] = {}
        for name, w in weights.items():
            w = self.decay(w, rate)
            w, slots[name] = self.rule.update(w, Step(clipped[name], state.slots[name], rate, t))
            moved[name] = self.constrain(name, w)
        return moved, State(state.done + 1, slots)


def optimizer(
    value: str | Named, number: Callable[[Any], Number], constraints: Mapping[str, str | Named]
) -> Optimizer:
    """The optimizer of a name of OPTIMIZERS; `number` makes numbers of the run's arithmetic (see
    `number_of`), `constraints` are those of some weights by tensor name.
    """
    given = bound(value, OPTIMIZERS)
    entry = OPTIMIZERS[value.name if isinstance(value, Named) else value]
    own = {name: in_arithmetic(given[name], number) for name in entry.defaults if name not in SHARED}
    learning_rate = own.pop("learning_rate")
    slots = {name: own[start] if isinstance(start, str) else start for name, start in entry.slots.items()}
    weight_decay = None if given["weight_decay"] is None else number(given["weight_decay"])
    table = {name: look_up(CONSTRAINTS, constraint).value for name, constraint in constraints.items()}
    return Optimizer(
        number,
        rate=lambda step: rate(learning_rate, step, number),
        clip=clipping(given, number),
        decay=lambda w, rate: w if weight_decay is None else w - w * weight_decay * rate,
        rule=Rule(partial(entry.update, **own), slots),
        constrain=lambda name, w: table[name](w) if name in table else w,
    )


def clipping(given: Mapping[str, Any], number: Callable[[Any], Number]) -> Callable[[Arrays], Arrays]:
    """What an optimizer's `clipvalue`, `clipnorm` or `global_clipnorm` does to the gradients."""
    if given["clipvalue"] is not None:
        limit = number(given["clipvalue"])
        return lambda gradients: {name: smaller(larger(g, -limit), limit) for name, g in gradients.items()}
    if given["clipnorm"] is not None:
        limit = number(given["clipnorm"])
        return lambda gradients: {
            name: g * (limit / larger(lengths(g, None), limit)) for name, g in gradients.items()
        }
    if given["global_clipnorm"] is not None:
        limit = number(given["global_clipnorm"])

        def clip(gradients: Arrays) -> Arrays:
            norm = np.sqrt(np.sum([(g * g).sum() for g in gradients.values()], keepdims=True))  # (1,)
            return {name: g * (limit / larger(norm, limit)) for name, g in gradients.items()}

        return clip
    return lambda gradients: gradients


def number_of(array: Array) -> Callable[[Any], Number]:
    """What makes a number in the arithmetic of `array`: Python's float where that is float32 or float64,
    which NumPy rounds to the array's dtype where they meet, else the type of its entries.
    """
    return float if array.dtype in (np.float32, np.float64) else type(array.flat[0])


def train(
    weights: Arrays, optimizer: Optimizer, steps: int, gradient: Callable[[Arrays], Arrays]
) -> Iterator[Arrays]:
    """The weights after each of so many steps; `gradient` computes those of some weights."""
    state = optimizer.start(weights)
    for _ in range(steps):
        weights, state = optimizer.step(weights, gradient(weights), state)
        yield weights
