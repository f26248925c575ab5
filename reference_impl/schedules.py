"""Learning-rate schedules by Keras name: the rate at each step.

Keras reads the rate before it counts the update: the first one takes the rate of step 0. Generic in
their arithmetic: the arguments are numbers of one kind, float, longdouble or ball.
Source: keras/src/optimizers/schedules/learning_rate_schedule.py.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference_impl.arguments import (
    NOT_NEGATIVE,
    POSITIVE,
    REQUIRED,
    SHARE,
    SWITCH,
    Kind,
    argument_problems,
    bound,
    is_number,
)
from reference_impl.spec import Entry, Named

# A number in the arithmetic of the run: float, np.longdouble or a ball.
Number = Any


@dataclass(frozen=True)
class Schedule(Entry):
    """`value(step)` is the rate of that step, counted from 0."""

    value: Callable[..., Number]


def exponential_decay(
    step: Number, initial_learning_rate: Number, decay_steps: Number, decay_rate: Number, staircase: bool
) -> Number:
    p = step / decay_steps
    return initial_learning_rate * decay_rate ** (np.floor(p) if staircase else p)


def inverse_time_decay(
    step: Number, initial_learning_rate: Number, decay_steps: Number, decay_rate: Number, staircase: bool
) -> Number:
    p = step / decay_steps
    return initial_learning_rate / (1 + decay_rate * (np.floor(p) if staircase else p))


def piecewise_constant_decay(step: Number, boundaries: Sequence[Number], values: Sequence[Number]) -> Number:
    """The first value up to and at the first boundary, the next one after it, and so on."""
    return values[sum(step > boundary for boundary in boundaries)]


def polynomial_decay(
    step: Number,
    initial_learning_rate: Number,
    decay_steps: Number,
    end_learning_rate: Number,
    power: Number,
    cycle: bool,
) -> Number:
    if cycle:
        decay_steps = decay_steps * max(1, np.ceil(step / decay_steps))
    p = min(step, decay_steps) / decay_steps
    return (initial_learning_rate - end_learning_rate) * (1 - p) ** power + end_learning_rate


def cosine_decay(
    step: Number,
    initial_learning_rate: Number,
    decay_steps: Number,
    alpha: Number,
    warmup_target: Number | None,
    warmup_steps: Number,
) -> Number:
    if warmup_target is not None:
        if step < warmup_steps:
            return (warmup_target - initial_learning_rate) * (step / warmup_steps) + initial_learning_rate
        step, initial_learning_rate = step - warmup_steps, warmup_target
    p = min(step, decay_steps) / decay_steps
    return initial_learning_rate * ((1 - alpha) * (1 + np.cos(np.pi * p)) / 2 + alpha)


def cosine_decay_restarts(
    step: Number,
    initial_learning_rate: Number,
    first_decay_steps: Number,
    t_mul: Number,
    m_mul: Number,
    alpha: Number,
) -> Number:
    """Each period `t_mul` times as long as the one before, and starting `m_mul` times as high."""
    p, height = step / first_decay_steps, 1
    while p >= 1:
        p, height = (p - 1) / t_mul, height * m_mul
    return initial_learning_rate * ((1 - alpha) * height * (1 + np.cos(np.pi * p)) / 2 + alpha)


DECAY = {"initial_learning_rate": REQUIRED, "decay_steps": REQUIRED}

SCHEDULES = {
    "exponential_decay": Schedule(
        exponential_decay, defaults={**DECAY, "decay_rate": REQUIRED, "staircase": False}
    ),
    "inverse_time_decay": Schedule(
        inverse_time_decay, defaults={**DECAY, "decay_rate": REQUIRED, "staircase": False}
    ),
    "piecewise_constant_decay": Schedule(
        piecewise_constant_decay, defaults={"boundaries": REQUIRED, "values": REQUIRED}
    ),
    "polynomial_decay": Schedule(
        polynomial_decay, defaults={**DECAY, "end_learning_rate": 0.0001, "power": 1.0, "cycle": False}
    ),
    "cosine_decay": Schedule(
        cosine_decay, defaults={**DECAY, "alpha": 0.0, "warmup_target": None, "warmup_steps": 0}
    ),
    "cosine_decay_restarts": Schedule(
        cosine_decay_restarts,
        defaults={
            "initial_learning_rate": REQUIRED,
            "first_decay_steps": REQUIRED,
            "t_mul": 2.0,
            "m_mul": 1.0,
            "alpha": 0.0,
        },
    ),
}


def is_rising(value: object) -> bool:
    """Whether it is a sequence of numbers, each above the one before."""
    if not isinstance(value, list | tuple) or not all(map(is_number, value)):
        return False
    return len(value) > 0 and all(a < b for a, b in itertools.pairwise(value))


def is_rates(value: object) -> bool:
    """Whether it is a sequence of learning rates."""
    return isinstance(value, list | tuple) and all(is_number(rate) and rate >= 0 for rate in value)


AT_LEAST_ONE = Kind("a number from 1 on", lambda value: is_number(value) and value >= 1)

KINDS: dict[str, Kind] = {
    "initial_learning_rate": NOT_NEGATIVE,
    "decay_steps": POSITIVE,
    "first_decay_steps": POSITIVE,
    "decay_rate": NOT_NEGATIVE,
    "end_learning_rate": NOT_NEGATIVE,
    "power": POSITIVE,
    "alpha": SHARE,
    "warmup_target": NOT_NEGATIVE,
    "warmup_steps": NOT_NEGATIVE,
    "t_mul": AT_LEAST_ONE,
    "m_mul": NOT_NEGATIVE,
    "staircase": SWITCH,
    "cycle": SWITCH,
    "boundaries": Kind("steps, each after the one before", is_rising),
    "values": Kind("learning rates, one more than there are boundaries", is_rates),
}


def rate_problems(value: object) -> list[str]:
    """Why `value` is no learning rate, a sentence each: a number, or a schedule by name."""
    if is_number(value):
        return [] if POSITIVE.holds(value) else [f"`learning_rate` = {value!r}, but should be above 0"]
    said = argument_problems("learning_rate", value, SCHEDULES, KINDS)
    if said or not isinstance(value, Named) or value.name != "piecewise_constant_decay":
        return said
    arguments = value.arguments
    if len(arguments["values"]) != len(arguments["boundaries"]) + 1:
        said.append(f"`values` of {value!r}, but there should be one more than there are `boundaries`")
    return said


def rate(value: float | Named, step: int, number: Callable[[Any], Number]) -> Number:
    """The learning rate of a step, counted from 0; `number` makes numbers of the run's arithmetic."""
    if not isinstance(value, Named):
        return number(value)
    arguments = {name: in_arithmetic(given, number) for name, given in bound(value, SCHEDULES).items()}
    return number(SCHEDULES[value.name].value(number(step), **arguments))


def in_arithmetic(given: Any, number: Callable[[Any], Number]) -> Any:
    """An argument with its numbers in the run's arithmetic; switches, words and None as they are."""
    if isinstance(given, list | tuple):
        return tuple(map(number, given))
    return number(given) if is_number(given) else given
