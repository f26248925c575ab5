"""Optimizers by Keras name: how one weight moves, given its gradient.

Each is a small pure rule, one equation a line, generic in its arithmetic. `w` is the weight, `g` its
gradient, `s` what was kept of the steps before, `rate` the learning rate and `t` the step, from 1.

Keras's spelling differs from the papers' in places that are easily taken for mistakes: Adam's epsilon is
added to sqrt(v) before the bias correction and not after ("epsilon hat" in Kingma and Ba 2014), RMSprop's
and Adagrad's stand inside the root, and momentum keeps rate * g, not g. Source: keras/src/optimizers/*.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reference_impl.arguments import (
    BELOW_ONE,
    NOT_NEGATIVE,
    NOT_POSITIVE,
    POSITIVE,
    SHARE,
    SWITCH,
    Kind,
    argument_problems,
    bound,
)
from reference_impl.arithmetic import absolute, sign
from reference_impl.constraints import larger
from reference_impl.schedules import Number, rate_problems
from reference_impl.spec import Array, Entry, Named

Slots = dict[str, Any]
Moved = tuple[Array, Slots]


class Step(NamedTuple):
    """What moves a weight: its gradient, its slots, the learning rate, and which step it is, from 1."""

    g: Array
    s: Slots
    rate: Number
    t: Number


@dataclass(frozen=True)
class Rule(Entry):
    """`update(w, now)` is the new weight, of the shape of w, and the new slots.

    `slots` are the names of what is kept, each with the number that it starts from, or with the name of
    the argument that holds it. `defaults` are Keras's, the learning rate among them.
    """

    update: Callable[..., Moved]
    slots: Slots


def sgd(w: Array, now: Step, momentum: Number, nesterov: bool) -> Moved:
    g, s, rate, _ = now
    m = momentum * s["m"] - rate * g
    w = w + (momentum * m - rate * g if nesterov else m)
    return w, dict(m=m)


def rmsprop(w: Array, now: Step, rho: Number, momentum: Number, epsilon: Number, centered: bool) -> Moved:
    """Hinton's lecture; `centered` divides by the gradient's standard deviation (Graves 2013)."""
    g, s, rate, _ = now
    v = rho * s["v"] + (1 - rho) * g**2
    mean = rho * s["mean"] + (1 - rho) * g if centered else 0
    m = momentum * s["m"] + rate * g / np.sqrt(v - mean**2 + epsilon)
    w = w - m
    return w, dict(v=v, mean=mean, m=m)


def adam(w: Array, now: Step, beta_1: Number, beta_2: Number, epsilon: Number, amsgrad: bool) -> Moved:
    """Kingma and Ba 2014; AdamW is the same rule with a weight decay."""
    g, s, rate, t = now
    m = beta_1 * s["m"] + (1 - beta_1) * g
    v = beta_2 * s["v"] + (1 - beta_2) * g**2
    v_hat = larger(v, s["v_hat"]) if amsgrad else v
    alpha = rate * (1 - beta_2**t) ** 0.5 / (1 - beta_1**t)
    w = w - alpha * m / (np.sqrt(v_hat) + epsilon)
    return w, dict(m=m, v=v, v_hat=v_hat)


def adagrad(w: Array, now: Step, initial_accumulator_value: Number, epsilon: Number) -> Moved:
    g, s, rate, _ = now
    v = s["v"] + g**2
    w = w - rate * g / np.sqrt(v + epsilon)
    return w, dict(v=v)


def adadelta(w: Array, now: Step, rho: Number, epsilon: Number) -> Moved:
    """Zeiler 2012: the step has the units of the weight."""
    g, s, rate, _ = now
    v = rho * s["v"] + (1 - rho) * g**2
    delta = -((s["u"] + epsilon) ** 0.5) * g / np.sqrt(v + epsilon)
    u = rho * s["u"] + (1 - rho) * delta**2
    w = w + rate * delta
    return w, dict(v=v, u=u)


def adamax(w: Array, now: Step, beta_1: Number, beta_2: Number, epsilon: Number) -> Moved:
    g, s, rate, t = now
    m = beta_1 * s["m"] + (1 - beta_1) * g
    u = larger(absolute(g), beta_2 * s["u"])
    w = w - rate * m / ((1 - beta_1**t) * (u + epsilon))
    return w, dict(m=m, u=u)


def nadam(w: Array, now: Step, beta_1: Number, beta_2: Number, epsilon: Number) -> Moved:
    """Dozat 2016: Nesterov's look ahead, with a momentum that rises towards beta_1."""
    g, s, rate, t = now
    mu = beta_1 * (1 - 0.5 * 0.96**t)
    mu_next = beta_1 * (1 - 0.5 * 0.96 ** (t + 1))
    product = s["product"] * mu
    m = beta_1 * s["m"] + (1 - beta_1) * g
    v = beta_2 * s["v"] + (1 - beta_2) * g**2
    m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    v_hat = v / (1 - beta_2**t)
    w = w - rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return w, dict(m=m, v=v, product=product)


def lion(w: Array, now: Step, beta_1: Number, beta_2: Number) -> Moved:
    """Chen et al. 2023: every entry moves by the rate."""
    g, s, rate, _ = now
    w = w - rate * sign(beta_1 * s["m"] + (1 - beta_1) * g)
    m = beta_2 * s["m"] + (1 - beta_2) * g
    return w, dict(m=m)


def lamb(w: Array, now: Step, beta_1: Number, beta_2: Number, epsilon: Number) -> Moved:
    """You et al. 2019: Adam's step at the length of the weight."""
    g, s, rate, t = now
    m = beta_1 * s["m"] + (1 - beta_1) * g
    v = beta_2 * s["v"] + (1 - beta_2) * g**2
    step = (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
    w_norm, step_norm = length(w), length(step)
    ratio = w_norm / step_norm if w_norm > 0 and step_norm > 0 else 1
    w = w - ratio * rate * step
    return w, dict(m=m, v=v)


def ftrl(
    w: Array,
    now: Step,
    learning_rate_power: Number,
    initial_accumulator_value: Number,
    l1_regularization_strength: Number,
    l2_regularization_strength: Number,
    l2_shrinkage_regularization_strength: Number,
    beta: Number,
) -> Moved:
    """McMahan et al. 2013: the weight is solved for, not moved."""
    g, s, rate, _ = now
    l1, l2 = l1_regularization_strength, l2_regularization_strength
    v = s["v"] + g**2
    before, after = s["v"] ** -learning_rate_power, v**-learning_rate_power
    shrunk = g + 2 * l2_shrinkage_regularization_strength * w
    z = s["z"] + shrunk - (after - before) / rate * w
    beyond = absolute(z) - l1  # what the l1 strength leaves of z
    w = -sign(z) * larger(beyond, 0 * beyond) / (after / rate + 2 * (l2 + beta / (2 * rate)))
    return w, dict(v=v, z=z)


def adafactor(
    w: Array,
    now: Step,
    beta_2_decay: Number,
    epsilon_1: Number,
    epsilon_2: Number,
    clip_threshold: Number,
    relative_step: bool,
) -> Moved:
    """Shazeer and Stern 2018: of a matrix's squared gradients, the means of rows and columns are kept."""
    g, s, rate, t = now
    rho = min(rate, t**-0.5)  # whatever `relative_step` says (docs/findings.md)
    alpha = max(epsilon_2, length(w) / w.size**0.5) * rho
    beta_2 = 1 - t**beta_2_decay
    squares = g**2 + epsilon_1
    if w.ndim < 2:
        kept = dict(v=beta_2 * s["v"] + (1 - beta_2) * squares, rows=0, columns=0)
        v = kept["v"]
    else:
        rows = beta_2 * s["rows"] + (1 - beta_2) * squares.sum(axis=-1) / w.shape[-1]
        columns = beta_2 * s["columns"] + (1 - beta_2) * squares.sum(axis=-2) / w.shape[-2]
        kept = dict(v=0, rows=rows, columns=columns)
        v = (rows / (rows.sum() / len(rows)))[:, None] * columns
    step = g / np.sqrt(v)
    w = w - alpha * step / max(1, length(step) / w.size**0.5 / clip_threshold)
    return w, kept


def length(w: Array) -> Number:
    return np.sqrt((w * w).sum())


# What every optimizer takes beside its rate; training.py does it before or after the rule.
SHARED: dict[str, Any] = dict.fromkeys(("weight_decay", "clipnorm", "clipvalue", "global_clipnorm"))
ADAM = dict(beta_1=0.9, beta_2=0.999, epsilon=1e-7)


def entry(update: Callable[..., Moved], slots: Slots, **defaults: Any) -> Rule:
    return Rule(update, slots, defaults={"learning_rate": 0.001, **SHARED, **defaults})


OPTIMIZERS = {
    "sgd": entry(sgd, dict(m=0), learning_rate=0.01, momentum=0.0, nesterov=False),
    "rmsprop": entry(rmsprop, dict(v=0, mean=0, m=0), rho=0.9, momentum=0.0, epsilon=1e-7, centered=False),
    "adam": entry(adam, dict(m=0, v=0, v_hat=0), **ADAM, amsgrad=False),
    "adamw": entry(adam, dict(m=0, v=0, v_hat=0), **ADAM, amsgrad=False, weight_decay=0.004),
    "adagrad": entry(
        adagrad, dict(v="initial_accumulator_value"), initial_accumulator_value=0.1, epsilon=1e-7
    ),
    "adadelta": entry(adadelta, dict(v=0, u=0), rho=0.95, epsilon=1e-7),
    "adamax": entry(adamax, dict(m=0, u=0), **ADAM),
    "nadam": entry(nadam, dict(m=0, v=0, product=1), **ADAM),
    "lion": entry(lion, dict(m=0), beta_1=0.9, beta_2=0.99),
    "lamb": entry(lamb, dict(m=0, v=0), **ADAM),
    "ftrl": entry(
        ftrl,
        dict(v="initial_accumulator_value", z=0),
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
    ),
    "adafactor": entry(
        adafactor,
        dict(v=0, rows=0, columns=0),
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        relative_step=True,
    ),
}

# Names and arguments of Keras that are not supported, each with the reason.
REFUSED = {
    "muon": "it runs a matrix iteration on some weights and AdamW on the others",
    "schedulefreeadamw": "on TensorFlow, Keras averages the wrong iterates (docs/findings.md)",
    "lossscaleoptimizer": "it is for half precision",
    "multioptimizer": "it is several optimizers; check one at a time",
    "optimizermap": "it is several optimizers; check one at a time",
    "use_ema": "it keeps an average beside the weights, which training does not read",
    "ema_momentum": "it belongs to use_ema",
    "ema_overwrite_frequency": "it belongs to use_ema",
    "loss_scale_factor": "it is for half precision",
    "gradient_accumulation_steps": "it takes several steps for one update; give the whole batch at once",
    "name": "it changes nothing",
}

KINDS: dict[str, Kind] = {
    "learning_rate": Kind("a number or a schedule", lambda value: True),  # see rate_problems
    **dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm", "clip_threshold"), POSITIVE),
    **dict.fromkeys(("weight_decay", "epsilon", "epsilon_1", "epsilon_2", "beta"), NOT_NEGATIVE),
    **dict.fromkeys(("beta_1", "beta_2", "rho"), BELOW_ONE),
    **dict.fromkeys(("learning_rate_power", "beta_2_decay"), NOT_POSITIVE),
    **dict.fromkeys(("nesterov", "centered", "amsgrad", "relative_step"), SWITCH),
    **{name: NOT_NEGATIVE for name in OPTIMIZERS["ftrl"].defaults if "strength" in name},
    "initial_accumulator_value": NOT_NEGATIVE,
    "momentum": SHARE,
}


def optimizer_problems(value: object) -> list[str]:
    """Why `value` is no optimizer, a sentence each."""
    said = argument_problems("optimizer", value, OPTIMIZERS, KINDS, REFUSED)
    if said or not isinstance(value, str | Named):
        return said
    arguments = bound(value, OPTIMIZERS)
    clips = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if arguments[name] is not None]
    if len(clips) > 1:
        said.append(f"`optimizer` = {value!r}, but it should have only one of {' and '.join(clips)}")
    return said + rate_problems(arguments["learning_rate"])
