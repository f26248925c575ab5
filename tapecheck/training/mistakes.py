"""Mistakes of a training loop, each an optimizer with one part exchanged.

The same idea as the faults of a backward pass: what a program computed instead is found by making every
mistake and looking which one gives the program's numbers. The equations of the rules are edited from
their source, so that a mistake shows the line as it is and as it was computed.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reference_impl.arguments import bound
from reference_impl.optimizers import OPTIMIZERS, SHARED, Moved, Step
from reference_impl.spec import Array, Arrays, Named
from reference_impl.training import Optimizer, State, clipping, train
from tapecheck.case import Problem
from tapecheck.compare import eps_of_scale
from tapecheck.faults import BROKEN
from tapecheck.faults.conventions import factors
from tapecheck.faults.edits import edits, expression
from tapecheck.faults.penalties import unregularized
from tapecheck.faults.program import Program, compiled_assignment
from tapecheck.training.runs import bound_to, gradient_of


@dataclass(frozen=True, eq=False)
class Mistake:
    """`wrong` is what was computed and `right` what should be; `optimizer` makes the mistake, on the
    gradients of `problem`.
    """

    right: str
    wrong: str
    optimizer: Optimizer
    problem: Problem


def reproducing(
    problem: Problem,
    value: str | Named,
    given: Sequence[Mapping[str, Any]],
    exact: Sequence[Arrays],
    limits: Sequence[Mapping[str, float]],
) -> Iterator[Mistake]:
    """The mistakes that give the weights `given` after every step, to within the limits in eps of scale,
    and not the exact ones.
    """
    plain = unregularized(problem)
    first = {id(each): gradient_of(each)(each.weights) for each in (problem, plain)}

    def near(found: Arrays, other: Mapping[str, Any], k: int) -> bool:
        """Whether two weights after step k are the same."""
        return all(
            name not in other
            or (
                np.shape(other[name]) == right.shape
                and np.all(
                    np.abs(found[name] - other[name])
                    <= limits[k][name] * eps_of_scale(name, right, problem.dtype)
                )
            )
            for name, right in exact[k].items()
        )

    for mistake in mistakes(problem, plain, value):
        gradient = first_known(mistake.problem, first[id(mistake.problem)])
        run = train(problem.weights, mistake.optimizer, len(given), gradient)
        try:
            with np.errstate(all="ignore"):
                wrong = False
                for k, found in enumerate(run):
                    if not near(found, given[k], k):
                        break
                    wrong = wrong or not near(found, exact[k], k)
                else:
                    if wrong:
                        yield mistake
        except BROKEN:
            continue


def first_known(problem: Problem, first: Arrays) -> Callable[[Arrays], Arrays]:
    """The shipped gradients, of which those at the start are known."""
    gradient = gradient_of(problem)
    return lambda weights: first if weights is problem.weights else gradient(weights)


# ---- every mistake

# Right, wrong, and the optimizer that makes the mistake.
Changed = Iterator[tuple[str, str, Optimizer]]


def mistakes(problem: Problem, plain: Problem, value: str | Named) -> Iterator[Mistake]:
    """Every mistake that this optimizer leaves room for, those that people make first. `plain` is the
    problem without penalties.
    """
    made, arguments = bound_to(problem, value, problem), bound(value, OPTIMIZERS)
    changes = [
        *directions(made),
        *constraints(made, problem),
        *clips(made, arguments),
        *decays(made, arguments),
        *rates(made, arguments),
        *counts(made),
        *other_arguments(value, problem),
        *other_equations(made, value),
        *sizes(made, problem),
    ]
    if plain is not problem:
        yield Mistake("gradients of the whole loss", "gradients of the loss without penalties", made, plain)
    for right, wrong, changed in changes:
        yield Mistake(right, wrong, changed, problem)


def before(made: Optimizer, change: Callable[[Array, Step], Step]) -> Optimizer:
    """The optimizer with what its rule is given changed first."""
    update = made.rule.update
    return ruled(made, lambda w, now: update(w, change(w, now)))


def ruled(made: Optimizer, update: Callable[..., Moved]) -> Optimizer:
    """The optimizer with another rule."""
    return replace(made, rule=replace(made.rule, update=update))


def directions(made: Optimizer) -> Changed:
    """Up in place of down."""
    yield "w = w - rate * g", "w = w + rate * g", before(made, lambda w, now: now._replace(g=-now.g))
    update = made.rule.update

    def away(w: Array, now: Step) -> Moved:
        moved, slots = update(w, now)
        return w - (moved - w), slots

    yield "w = w - step", "w = w + step", ruled(made, away)


def sizes(made: Optimizer, problem: Problem) -> Changed:
    """Gradients that are summed where they are averaged, and the like; and that went through float32."""
    for words, size in factors().items():
        factor = size(problem)
        yield "g", f"g times {words}", before(made, lambda w, now, c=factor: now._replace(g=c * now.g))  # type: ignore[misc]
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
        for other in CLIPS.keys() - {name}:
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
        coupled = before(free, lambda w, now, c=factor * share: now._replace(g=now.g + c * w))  # type: ignore[misc]
        yield right, f"g = g + {words}weight_decay * w", coupled
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
    for by, words in ((1, "t + 1"), (-1, "t - 1")):
        yield (
            "t = 1 at the first step",
            f"{words} for t",
            before(
                made,
                lambda w, now, by=by: now._replace(t=now.t + by),  # type: ignore[misc]
            ),
        )
    slots = made.rule.slots
    forgetful = before(made, lambda w, now: now._replace(s=slots))
    yield f"{', '.join(slots)} carried from step to step", "started anew at every step", forgetful


# What other libraries and papers take, by the argument's name.
ELSEWHERE: dict[str, tuple[float, ...]] = {
    "epsilon": (1e-8, 1e-10, 1e-6, 0.0),
    "initial_accumulator_value": (0.0,),
    "rho": (0.9, 0.95, 0.99),
    "beta_2": (0.99, 0.999),
}


def other_arguments(value: str | Named, problem: Problem) -> Changed:
    """Arguments left out, swapped, switched, or as they are elsewhere."""
    name, given = (value.name, value.arguments) if isinstance(value, Named) else (value, {})
    defaults, arguments = OPTIMIZERS[name].defaults, bound(value, OPTIMIZERS)
    changes: list[dict[str, Any]] = []
    for argument, default in defaults.items():
        if argument in SHARED or argument == "learning_rate":
            continue
        if isinstance(default, bool):
            changes.append({argument: not arguments[argument]})
            continue
        changes += [{argument: other} for other in (default, *ELSEWHERE.get(argument, ()))]
    if "beta_1" in arguments:
        changes.append({"beta_1": arguments["beta_2"], "beta_2": arguments["beta_1"]})
    for change in changes:
        if any(arguments[argument] != other for argument, other in change.items()):
            right = ", ".join(f"{argument}={arguments[argument]}" for argument in change)
            wrong = ", ".join(f"{argument}={other}" for argument, other in change.items())
            yield right, wrong, bound_to(problem, Named(name, **{**given, **change}), problem)


# What people write in place of a rule's line, by the rule's function and the line's left-hand side.
LINES: dict[str, tuple[tuple[str, str], ...]] = {
    "sgd": (
        ("m", "momentum * s['m'] - (1 - momentum) * rate * g"),
        ("w", "w + momentum * m - rate * g"),
    ),
    "rmsprop": (
        ("m", "momentum * s['m'] + rate * g / (np.sqrt(v - mean**2) + epsilon)"),
        ("m", "momentum * s['m'] + (1 - momentum) * rate * g / np.sqrt(v - mean**2 + epsilon)"),
        ("v", "(1 - rho) * s['v'] + rho * g**2"),
    ),
    "adam": (
        ("alpha", "rate"),
        ("alpha", "rate / (1 - beta_1**t)"),
        ("alpha", "rate * (1 - beta_2**t) ** 0.5"),
        ("alpha", "rate * (1 - beta_2**t) / (1 - beta_1**t)"),
        ("w", "w - alpha * m / np.sqrt(v_hat + epsilon)"),
        ("w", "w - alpha * m / (np.sqrt(v_hat) + epsilon * (1 - beta_2**t) ** 0.5)"),
        ("m", "(1 - beta_1) * s['m'] + beta_1 * g"),
        ("v", "(1 - beta_2) * s['v'] + beta_2 * g**2"),
    ),
    "adagrad": (("w", "w - rate * g / (np.sqrt(v) + epsilon)"),),
    "adadelta": (
        ("delta", "-np.sqrt((s['u'] + epsilon) / (v + epsilon) + 0 * g)"),
        ("w", "w + delta"),
    ),
    "adamax": (("u", "larger(absolute(g), s['u'])"),),
    "nadam": (("m_hat", "mu * m / (1 - product) + (1 - mu) * g / (1 - product)"),),
}


def other_equations(made: Optimizer, value: str | Named) -> Changed:
    """The rule with one line exchanged: by what people write, and by every single edit."""
    update = OPTIMIZERS[value.name if isinstance(value, Named) else value].update
    own = made.rule.update.keywords  # type: ignore[attr-defined]  # a partial, see training.optimizer
    rule = Program(update)
    lines = {line.target: line for line in rule.assignments}  # of several for one target the last
    written = [(lines[target], expression(source)) for target, source in LINES.get(update.__name__, ())]
    edited = [
        (line, edit.wrong)
        for line in lines.values()
        if "now" not in ast.unparse(line.value)
        for edit in edits(line.value, line.target, forward=True)
    ]
    for line, wrong in [*written, *edited]:
        run = rule.bind({line.key: compiled_assignment(line.target, wrong)})
        values = [own[name] for name in rule.parameters[2:]]
        yield (
            f"{line.target} = {ast.unparse(line.value)}  (optimizers.py:{line.key[1]})",
            f"{line.target} = {ast.unparse(wrong)}",
            ruled(made, lambda w, now, run=run, values=values: run(w, now, *values)),
        )
