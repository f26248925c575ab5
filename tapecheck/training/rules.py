"""Mistakes inside an optimizer's rule: other arguments, and its equations edited from their source."""

import ast
from functools import partial
from typing import Any

from reference_impl.arguments import bound
from reference_impl.optimizers import OPTIMIZERS, SHARED
from reference_impl.spec import Named
from reference_impl.training import Optimizer
from tapecheck.faults.edits import edits, expression
from tapecheck.faults.program import Program, compiled_assignment
from tapecheck.problem import Problem
from tapecheck.training.changes import Changed, ruled
from tapecheck.training.runs import bound_to

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
    assert isinstance(made.rule.update, partial)  # the table's function with its arguments
    own = made.rule.update.keywords
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
