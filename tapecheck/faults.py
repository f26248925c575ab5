"""Faults: every single edit of the textbook's equations, and the conventions that scale or reorder results.

A fault is an implementation: call it with a Problem and it answers what a person who made that mistake
would get. The edits are made from the source of `reference_impl/textbook`, so a fault names the
equation, what was computed instead, and the line where the right one stands.
"""

import ast
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from reference_impl import LSTM, Dense
from reference_impl.activations import activation
from reference_impl.losses import LOSSES
from reference_impl.spec import Array, Arrays
from reference_impl.textbook import Pass
from tapecheck import program
from tapecheck.case import Problem, Result
from tapecheck.edits import (
    GATES,
    OFF_BY_ONE,
    SHIFT_WORDS,
    SHIFTS,
    STALE,
    Edit,
    derivative_edits,
    edits,
    exchange_names,
    expression,
    inlined,
    inlined_calls,
    names_in,
)
from tapecheck.program import Assignment, Code, Kept, compiled_assignment, compiled_lines

# What a wrong equation may raise when it runs: nobody can have that fault in a program that answers.
BROKEN = (ArithmeticError, AttributeError, IndexError, KeyError, NameError, TypeError, ValueError)

# Why each kind of mistake is one, for the person who made it. Among faults with the same effect the kind
# that stands first here is named: the mistakes that people really make, then the others.
WHY = {
    "recurrence not carried": "h also feeds the next step: without dh_next nothing flows back through it",
    "cell carry missing": "c also feeds the next step's c, so dc_next = dc * f comes back from there",
    "recurrent kernel not transposed": "z = h_prev @ W_h goes back as dz @ W_h.T; no shape tells a square "
    "block from its transpose",
    "last-step loss at every step": "with return_sequences=False the loss sees the last step's h alone",
    "overwrite instead of accumulate": "every step uses the same weights: their gradient is a sum over steps",
    "x of the last step for all steps": "each step's kernel gradient needs that step's own input",
    "stale cache": "a step's gradient needs what that step's forward pass left, not what another's did",
    "derivative of an activated value": "the derivative is written in the activated value, which was "
    "activated a second time here",
    "gate derivative left out": "the gradient must also pass the activation: multiply by its derivative",
    "off by one in the state": "the forward equation reads one time step's state, the gradient another's",
    "copy and paste between gates": "one gate's value, gradient or weights stand where another's belong",
    "normalisation": "the loss averages over a number of values, and here that factor is another one",
    "sign": "the sign is turned",
    "layout": "the numbers are right, their order is not",
    "clipping inside backward": "a clipped gradient is no gradient of the loss; clip after the backward pass",
    "truncation": "the gradient is cut off after some steps, as in truncated backpropagation",
    "wrong initial value": "sums start at zero, and nothing comes from beyond the last step",
    "term dropped": "one of the paths on which this value reaches the loss is left out",
    "factor dropped": "the chain rule multiplies by every factor on the path, and one is missing",
    "not transposed": "x @ W goes back as d @ W.T, and a reshape is not a transpose",
    "wrong activation derivative": "the derivative of the activation is another function than this",
    "quantity swapped": "another quantity of the same shape stands where this one belongs",
    "path counted twice": "each path on which this value reaches the loss counts once",
    "factor counted twice": "each factor on a path counts once",
    "samples left out": "the gradient of the weights is the sum over all samples and all steps",
    "zeroed": "the gradient is cut off here",
    "float32 buffers": "the values went through float32 on their way",
    "a different forward": "this is another model than Keras's: its gradients are those of another function",
}
RANK = {kind: rank for rank, kind in enumerate(WHY)}


@dataclass(frozen=True, eq=False)
class Fault:
    """One mistake. `quantity` is the left-hand side that is wrong, `kind` the class of the mistake,
    `right` and `wrong` the equation, `location` its line in the textbook ("" for a convention).

    `phase` is "forward", "backward" or "convention". `code` exchanges lines of the textbook; `before`
    changes the problem that is run, `after` the gradients that come out.
    """

    quantity: str
    kind: str
    right: str
    wrong: str
    location: str = ""
    phase: str = "backward"
    note: str = ""
    code: Code = field(default_factory=dict, repr=False)
    before: Callable[[Problem], Problem] | None = None
    after: Callable[[Problem, Arrays], Arrays] | None = None

    @property
    def why(self) -> str:
        """Why it is wrong, in a sentence for a learner."""
        return f"{WHY[self.kind]} ({self.note})" if self.note else WHY[self.kind]

    @property
    def rank(self) -> tuple[int, int]:
        """Order among faults with the same effect: forward first, then the commonest, then the shortest."""
        kind = 0 if self.phase == "forward" else 1 + RANK[self.kind]
        return kind, 0 if self.quantity == "sign" else len(self.wrong)

    def __str__(self) -> str:
        return f"{self.quantity}: {self.kind}: {self.wrong} (right is {self.right})"

    def __call__(self, problem: Problem) -> Result:
        """The answer of an implementation with this mistake, to be checked as anyone's."""
        found = self.run(problem)
        return Result(found.gradients, found.output, float(found.loss))

    def run(self, problem: Problem, kept: Kept | None = None) -> Pass:
        """The textbook's pass with this mistake in it; `kept` is a right forward pass to start from.

        After a wrong forward pass come the textbook's backward equations on its values; the gradient
        that belongs to the wrong forward pass itself is another one (see `slope`).
        """
        given = problem if self.before is None else self.before(problem)
        found = program.backpropagate(given, self.code, kept if self.starts_right else None)
        return found if self.after is None else found._replace(gradients=self.after(problem, found.gradients))

    @property
    def starts_right(self) -> bool:
        """Whether the forward pass is the right one."""
        return self.before is None and self.phase != "forward"

    def __add__(self, other: "Fault") -> "Fault":
        """Both mistakes at once; what is said is said of this one."""
        return replace(
            self,
            code={**other.code, **self.code},
            before=chain(self.before, other.before),
            after=chain_after(self.after, other.after),
            phase="forward" if "forward" in (self.phase, other.phase) else self.phase,
        )


def chain(first: Any, then: Any) -> Any:
    """One after the other of two functions that may be None."""
    return (lambda value: then(first(value))) if first and then else first or then


def chain_after(first: Any, then: Any) -> Any:
    """As `chain`, for functions that are also given the problem."""
    return (lambda problem, value: then(problem, first(problem, value))) if first and then else first or then


def slope(fault: Fault, problem: Problem, direction: Arrays) -> float:
    """The derivative of the faulty forward pass's loss along `direction`, by the complex step: what the
    gradient of that forward pass must give, whatever its backward equations are.
    """
    step = 1e-100
    given = {"x": problem.x, **problem.weights, **problem.initial_state}
    moved = {name: array + 1j * step * direction.get(name, 0) for name, array in given.items()}
    complex_problem = replace(
        problem,
        x=moved["x"],
        y=problem.y.astype(complex),
        weights={name: moved[name] for name in problem.weights},
        initial_state={name: moved[name] for name in problem.initial_state},
    )
    _, loss, _ = program.forward(complex_problem, fault.code)
    return float(np.imag(loss) / step)


# ---- the catalogue


def faults(problem: Problem) -> tuple[Fault, ...]:
    """Every fault that the model and loss of a problem can have."""
    head = problem.model.layers[-1]
    lstms = [layer for layer in problem.model.layers if isinstance(layer, LSTM)]
    sigma = {layer.recurrent_activation for layer in lstms}
    phi = {layer.activation for layer in lstms}
    top = head.activation if isinstance(head, Dense) else None
    fused = problem.model.loss_of_logits(problem.loss) is not None
    return equations(min(sigma, key=str), min(phi, key=str), top, problem.loss, fused) + conventions()


# What the left-hand sides of the textbook are called in a diagnosis, where that is something else.
FORWARD_QUANTITIES = {
    "x_t, h_prev, c_prev": "z",
    "h, c": "h",
    "z_i, z_f, z_g, z_o": "z",
    "phi_c": "h",
    "b": "z",
}
UNPACKED = "x_t, h_prev, c_prev, i, f, g, o, c, phi_c, h"
BACKWARD_QUANTITIES = {"dx_t": "dx", UNPACKED: "cache"}
# Lines that name things and compute nothing.
NOT_EQUATIONS = {"sigma", "phi", "d_sigma", "d_phi", "T", "W_x, W_h", "W_y", "b_y", "W_y, x, y", "output"}
NOT_EQUATIONS |= {"steps", "d_steps", "gradients", "dW_x, dW_h, db", "dy", "x_rows", "d_rows"}


@cache
def equations(
    sigma: str | None, phi: str | None, top: str | None, loss: str | None, fused: bool
) -> tuple[Fault, ...]:
    """The edits of the equations, for a model with these activations and this loss."""
    writer = Writer(sigma, phi, top, fused)
    found: list[Fault] = []
    for each in (program.LSTM_FORWARD, program.DENSE_FORWARD):
        for line in each.assignments:
            if line.target not in NOT_EQUATIONS and "steps" not in names_in(line.value):
                found += writer.edited(line, FORWARD_QUANTITIES.get(line.target, line.target), "forward")
    for each in (program.LSTM_BACKWARD, program.DENSE_BACKWARD):
        for line in each.assignments:
            if line.target not in NOT_EQUATIONS:
                found += writer.edited(line, BACKWARD_QUANTITIES.get(line.target, line.target), "backward")
    found += writer.whole_activation_edits()
    found += writer.accumulator_edits()
    if not fused:
        found += writer.loss_edits(loss)
    found += [writer.written(*special) for special in specials()]
    unlike = {(fault.location, fault.wrong): fault for fault in reversed(found)}
    return tuple(reversed(unlike.values()))


class Writer:
    """Makes faults of edits, and writes their equations for a person: with the derivatives written out
    for the activations of the model at hand.
    """

    def __init__(self, sigma: str | None, phi: str | None, top: str | None, fused: bool):
        self.fused = fused
        self.derivatives = {
            "d_sigma": activation(sigma).backward,
            "d_phi": activation(phi).backward,
            "activation(layer.activation).backward": activation(top).backward,
        }
        self.names = {"sigma": sigma or "linear", "phi": phi or "linear"}
        self.written_out = {
            name: function for name, function in self.derivatives.items() if name in ("d_sigma", "d_phi")
        }

    def edited(self, line: Assignment, quantity: str, phase: str) -> Iterator[Fault]:
        """All single edits of a line."""
        forward = phase == "forward"
        if isinstance(line.value, ast.IfExp):  # dlogits = dy if from_logits else dy * (1 - y * y)
            if self.fused:
                twice = Edit(line.value.orelse, "factor counted twice")
                note = "the loss's gradient of the logits has passed the activation already"
                yield self.fault([(line._replace(value=line.value.body), twice)], quantity, phase, note)
            line = line._replace(value=line.value.body if self.fused else line.value.orelse)
        if is_start(line):
            return
        for edit in edits(line.value, line.target, forward):
            if line.target != UNPACKED or edit.kind in (STALE, OFF_BY_ONE):
                yield self.fault([(line, edit)], quantity, phase)
        if not forward:
            for _, edit in derivative_edits(line.value, self.written_out):
                yield self.fault([(line, edit)], quantity, phase)

    def fault(
        self, edited: list[tuple[Assignment, Edit]], quantity: str, phase: str, note: str = ""
    ) -> Fault:
        """The fault of one edit, or of the same edit on several lines."""
        line, edit = edited[0]
        wrong = "; ".join(self.equation(each.target, change.wrong) for each, change in edited)
        right = "; ".join(self.equation(each.target, each.value) for each, _ in edited)
        kind = "a different forward" if phase == "forward" else kind_of(line, edit)
        return Fault(
            quantity,
            kind,
            right,
            wrong,
            location_of(line),
            phase,
            note or said_of_shift(edit.wrong),
            {
                each.key: compiled_assignment(each.target, resolved(change.wrong, phase == "forward"))
                for each, change in edited
            },
        )

    def equation(self, target: str, value: ast.expr) -> str:
        """The equation as text."""
        value = inlined_calls(value, self.derivatives)
        match value:
            case ast.BinOp(ast.Constant(0), ast.Mult(), _):
                return f"{target} = 0"
        text = f"{target} = {ast.unparse(value)}"
        for short, long in self.names.items():
            text = re.sub(rf"\b{short}\(", f"{long}(", text)
        return text.replace("_untransposed", "").replace("_reshaped", ".reshape(W.T.shape)")

    def whole_activation_edits(self) -> Iterator[Fault]:
        """The same edit of an activation's derivative at all its uses: a wrong helper function."""
        lines = [line for line in program.LSTM_BACKWARD.assignments if line.target[:2] in ("dz", "dc")]
        for group in (("dz_i", "dz_f", "dz_o"), ("dz_i", "dz_f", "dz_g", "dz_o"), ("dc", "dz_g")):
            mine = [line for line in lines if line.target in group]
            mine.sort(key=lambda line: group.index(line.target))
            table: dict[str, list[tuple[Assignment, Edit]]] = {}
            for line in mine:
                own = [edit for edit in edits(line.value, line.target, False) if edit.label]
                for edit in [*own, *(edit for _, edit in derivative_edits(line.value, self.written_out))]:
                    label = edit.label if len(group) < 4 else re.sub("d_sigma|d_phi", "d", edit.label)
                    table.setdefault(label, []).append((line, edit))
            for edited in table.values():
                if len(edited) == len(group):
                    yield self.fault(edited, edited[0][0].target, "backward")

    def accumulator_edits(self) -> Iterator[Fault]:
        """The same edit of the three sums of the loop; and sums that start at something else."""
        lines = [line for line in program.LSTM_BACKWARD.assignments if line.target in ("dW_x", "dW_h", "db")]
        for wrong, kind, note in (
            ("{term}", "overwrite instead of accumulate", ""),
            ("{target} + ({term}) * (t > 0)", "samples left out", "the first step is left out"),
            ("{target} + ({term}) * (t < T - 1)", "samples left out", "the last step is left out"),
            ("{target} + {last}", "samples left out", "only the last sample of the batch counts"),
        ):
            changed = []
            for line in lines:
                assert isinstance(line.value, ast.BinOp)
                term = ast.unparse(line.value.right)
                last = re.sub(r"\b(x_t|h_prev)\b", r"\1[-1:]", re.sub(r"\bdz\b", "dz[-1:]", term))
                text = wrong.format(target=line.target, term=term, last=last)
                changed.append((line, Edit(expression(text), kind)))
            yield self.fault(changed, "dW_x", "backward", note)
            for each in changed:
                yield self.fault([each], each[0].target, "backward", note)
        for line in program.LSTM_BACKWARD.assignments:
            if is_start(line):
                of = ast.unparse(line.value).removeprefix("0 * ")
                for wrong in (of, f"1 + 0 * {of}"):
                    edit = Edit(expression(wrong), "wrong initial value")
                    yield self.fault([(line, edit)], line.target, "backward", "before the loop")
        start = find(program.LSTM_BACKWARD, "dW_x, dW_h, db")
        for target, of in (("dW_x", "W_x"), ("dW_h", "W_h"), ("db", "W_h[0]")):
            for wrong in (of, f"1 + 0 * {of}"):
                text = ast.unparse(start.value).strip("()").replace(f"0 * {of}", wrong, 1)
                yield Fault(
                    target,
                    "wrong initial value",
                    f"{target} = 0 before the loop",
                    f"{target} = {wrong} before the loop",
                    location_of(start),
                    code={start.key: compiled_lines(f"{start.target} = {text}")},
                )

    def loss_edits(self, loss: str | None) -> Iterator[Fault]:
        """Edits of the loss's own derivative."""
        line = next(
            each for each in program.BACKPROPAGATE.assignments if each.target == "dy"
        )  # not the loop's
        backward = LOSSES[loss].backward
        body = inlined(backward, [expression("y_true"), expression("y_pred")])
        if body is None or loss is None:
            return
        here = {"y_true": expression("y"), "y_pred": expression("output")}
        for edit in edits(body, "dy", True):
            yield Fault(
                "dy",
                "normalisation" if edit.kind in ("factor dropped", "path counted twice") else edit.kind,
                f"dy = {ast.unparse(body)}",
                f"dy = {ast.unparse(edit.wrong)}",
                f"losses.py:{backward.__code__.co_firstlineno + 1}",
                code={line.key: compiled_assignment("dy", exchange_names(edit.wrong, here))},
            )

    def written(
        self, quantity: str, kind: str, right: str, wrong: str, note: str, lines: Mapping[str, str]
    ) -> Fault:
        """A fault written by hand: `lines` are source by the target that they stand in for."""
        places = {target: find(each, target) for target in lines for each in BACKWARDS if has(each, target)}
        return Fault(
            quantity,
            kind,
            right,
            wrong,
            location_of(next(iter(places.values()))),
            note=note,
            code={places[target].key: compiled_lines(source) for target, source in lines.items()},
        )


# ---- from lines to faults and from names to source

BACKWARDS = (program.LSTM_BACKWARD, program.DENSE_BACKWARD)


def find(where: program.Program, target: str) -> Assignment:
    """The last line that assigns `target`: that of the loop where one comes before it too."""
    return [line for line in where.assignments if line.target == target][-1]


def has(where: program.Program, target: str) -> bool:
    """Whether a line assigns `target`."""
    return any(line.target == target for line in where.assignments)


def location_of(line: Assignment) -> str:
    """ "textbook/lstm.py:88"."""
    module, number = line.key
    return f"{'/'.join(module.split('.')[1:])}.py:{number}"


def is_start(line: Assignment) -> bool:
    """Whether the line gives what the loop carries its first value."""
    return any(
        line.target == other.target and line.key < other.key for other in program.LSTM_BACKWARD.assignments
    ) and line.target in ("dh_next", "dc_next")


def kind_of(line: Assignment, edit: Edit) -> str:
    """The kind of an edit on this line, by the name that people know it by."""
    match line.target, edit.kind, ast.unparse(edit.wrong):
        case "dh_next", "zeroed", _:
            return "recurrence not carried"
        case "dh", "term dropped", "dh_above":
            return "recurrence not carried"
        case "dc_next", "zeroed", _:
            return "cell carry missing"
        case "dc", "term dropped", text if "dc_next" not in text:
            return "cell carry missing"
    return edit.kind


def said_of_shift(wrong: ast.expr) -> str:
    """What a name such as "f_next" means, where the edited equation has one."""
    for name in names_in(wrong):
        shifted = re.fullmatch(r"(x_t|h_prev|c_prev|phi_c|[ifgoch])(_[a-z_]+)", name)
        if shifted and shifted[2] in SHIFT_WORDS:
            return f"{name} is {shifted[1]} {SHIFT_WORDS[shifted[2]]}"
        gates = re.fullmatch(r"(dz|W_x|W_h)_([ifgo])_from_([ifgo])", name)
        if gates:
            return f"{name} is {gates[1]} with the block of gate {gates[3]} in place of {gates[2]}'s"
        gates = re.fullmatch(r"(dz|W_x|W_h)_(only|without)_([ifgo])", name)
        if gates and gates[1] == "dz":
            return (
                f"{name} is dz with {'nothing but' if gates[2] == 'only' else 'no'} block of gate {gates[3]}"
            )
        if gates:
            return f"{name} has the block of gate {gates[3]} for every gate"
    return ""


def resolved(wrong: ast.expr, forward: bool) -> ast.expr:
    """The edited expression with the names that only it knows exchanged for what they mean."""
    sources = {name: source_of(name, forward) for name in names_in(wrong)}
    return exchange_names(wrong, {name: expression(text) for name, text in sources.items() if text})


def source_of(name: str, forward: bool) -> str:
    """What a name such as "f_next" or "dz_f_from_i" means, as source; "" for an ordinary name."""
    for suffix, source in SHIFTS.items():
        of = name.removesuffix(suffix)
        if of != name and of in ("x_t", "h_prev", "c_prev", "phi_c", *GATES, "c", "h"):
            return source.format(of)
    if name in ("sigma", "phi"):
        return f"activation(layer.{'recurrent_' if name == 'sigma' else ''}activation).value"
    if name == "T" and forward:
        return "x.shape[1]"
    if re.fullmatch("z_[ifgo]", name) and not forward:
        place_of_gate = GATES.index(name[-1])
        return f"np.split(x_t @ W_x + h_prev @ W_h + weights.get('bias', 0), 4, axis=1)[{place_of_gate}]"
    match = re.fullmatch(r"(W_[xhy])_(untransposed|reshaped)", name)
    if match:
        W, what = match.groups()
        by_gate = f"np.concatenate(np.split({W}, 4, axis=1))" if W != "W_y" else W
        return by_gate if what == "untransposed" else f"{W}.reshape({W}.T.shape)"
    match = re.fullmatch(r"(dz|W_x|W_h)_(?:(only|without)_([ifgo])|([ifgo])_from_([ifgo]))", name)
    if not match:
        return ""
    of, how, gate, place, other = match.groups()
    blocks = {k: f"dz_{k}" if of == "dz" else f"np.split({of}, 4, axis=1)[{n}]" for n, k in enumerate(GATES)}
    if place:
        used = blocks | {place: blocks[other]}
    elif of != "dz":
        used = dict.fromkeys(GATES, blocks[gate])
    else:
        used = {k: block if (k == gate) == (how == "only") else f"0 * {block}" for k, block in blocks.items()}
    return f"np.concatenate([{', '.join(used.values())}], axis=1)"


def equation_of(quantity: str) -> tuple[str, str]:
    """The textbook's equation for a quantity, and where it stands."""
    target = {"dx": "dx_t"}.get(quantity, quantity)
    for each in BACKWARDS[::-1] if quantity == "dh_above" else BACKWARDS:
        if has(each, target):
            line = find(each, target)
            return f"{target} = {ast.unparse(line.value)}", location_of(line)
    return "", ""


# ---- faults that are no single edit


def specials() -> Iterator[tuple[str, str, str, str, str, dict[str, str]]]:
    """Quantity, kind, right and wrong equation, a note, and the lines that make it."""
    dc = "dc = dh * o * (1 - tanh(c)**2) + dc_next"
    yield (
        *("dc", "wrong activation derivative", dc, "dc = (dh * o + dc_next) * (1 - tanh(c)**2)"),
        "dc_next reaches c directly, not through tanh(c)",
        {"dc": "dc = d_phi(dh * o + dc_next, phi_c)"},
    )
    carries = {"dh_next": "dz @ W_h.T", "dc_next": "dc * f"}
    carried = "dh_next = dz @ W_h.T; dc_next = dc * f"
    yield (
        *("dh_next", "recurrence not carried", carried, "dh_next = 0; dc_next = 0", "neither is carried"),
        {target: f"{target} = 0 * ({value})" for target, value in carries.items()},
    )
    for target, value in {**carries, "dx_t": "", "dh": "dh_above + dh_next"}.items():
        if value:
            yield (
                *(target, "path counted twice", f"{target} = {value}", f"{target} += {value}"),
                "it is replaced at every step, not summed up",
                {target: f"{target} = {value} + (steps[-1]['h'] * 0 if t == T - 1 else {target})"},
            )
    for k in range(1, 7):
        for when, said in ((f"t > T - {k}", f"after {k} steps"), (f"(T - t) % {k}", f"every {k} steps")):
            if k > 1 or "after" in said:
                yield (
                    *("truncation", "truncation", carried, f"dh_next = dc_next = 0 {said} from the end", ""),
                    {target: f"{target} = {value} * bool({when})" for target, value in carries.items()},
                )
    for limit in (0.1, 0.5, 1, 5, 10):
        for target, value in {
            "dz": "np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1)",
            "dh": "dh_above + dh_next",
            **carries,
        }.items():
            yield (
                *("clipping", "clipping inside backward", f"{target} is not clipped"),
                *(f"{target} = clip({target}, -{limit:g}, {limit:g})", ""),
                {target: f"{target} = np.clip({value}, -{limit}, {limit})"},
            )
    for stale in (
        "i f g o",
        "i f g o c phi_c h",
        "i f g o c_prev c phi_c",
        "x_t h_prev",
        "c phi_c",
        "c_prev h_prev",
    ):
        yield (
            *("cache", "stale cache", f"{stale.replace(' ', ', ')} of step t"),
            *(f"{stale.replace(' ', ', ')} of the last step", ""),
            {
                UNPACKED: f"{UNPACKED} = steps[t].values()\n"
                + "\n".join(f"{name} = steps[-1]['{name}']" for name in stale.split())
            },
        )
    for which, step in (("last", -1), ("first", 0)):
        x_rows, d_rows = (f"{n}.reshape(len(x), -1, {n}.shape[-1])[:, {step}]" for n in ("x", "dlogits"))
        for targets in (("dW_y",), ("db_y",), ("dW_y", "db_y")):
            lines = {"dW_y": f"{x_rows}.T @ {d_rows}", "db_y": f"{d_rows}.sum(axis=0)"}
            yield (
                *(
                    targets[0],
                    "overwrite instead of accumulate",
                    "the sum over all steps",
                    f"the {which} step's",
                ),
                "one Dense kernel serves every step: its gradient is the sum over steps",
                {target: f"{target} = {lines[target]}" for target in targets},
            )
    above = "dh_above = dlogits @ W_y.T"
    yield (
        *("dh_above", "factor dropped", above, "dh_above = sum of dlogits", "every unit has its own weight"),
        {"dh_above": "dh_above = dlogits.sum(axis=-1, keepdims=True) + 0 * x"},
    )
    yield (
        *("dh_above", "last-step loss at every step", "dh_above = 0 before the last step"),
        *("dh_above = dlogits @ W_y.T at every step", ""),
        {"dy": "dy = np.stack([dy] * T, axis=1)"},
    )
    yield (
        *("dh_above", "last-step loss at every step", "dy at t = T - 1 alone", "dy at t = 0 alone", ""),
        {"dy": "dy = np.stack([dy] + [0 * dy] * (T - 1), axis=1)"},
    )
    for wrong, said in (
        ("dy[:, t] * (t == T - 1)", "0 before the last step"),
        ("dy.sum(axis=1)", "sum over steps"),
    ):
        yield (
            *("dh_above", "term dropped", "dh_above = dlogits[:, t] @ W_y.T", f"dh_above = {said}"),
            "with return_sequences=True the loss sees each step's own h",
            {"dh_above": f"dh_above = {wrong}"},
        )


# ---- conventions: the gradients are right, and then scaled, reordered or rounded

SIZES: dict[str, Callable[[Problem], int]] = {
    "B": lambda problem: problem.x.shape[0],
    "T": lambda problem: problem.x.shape[1],
    "K": lambda problem: problem.y.shape[-1],
}


def factors() -> dict[str, Callable[[Problem], float]]:
    """Factors that people put in or leave out, by what they are called."""
    found: dict[str, Callable[[Problem], float]] = {"2": lambda _: 2.0, "1/2": lambda _: 0.5}

    def product(names: tuple[str, ...], number: float, power: float) -> Callable[[Problem], float]:
        return lambda problem: number * math.prod(SIZES[name](problem) for name in names) ** power

    for length in (1, 2, 3):
        for names in itertools.combinations(SIZES, length):
            said = "*".join(names)
            found[said] = product(names, 1, 1)
            found[f"2*{said}"] = product(names, 2, 1)
            found[f"{said}/2"] = product(names, 0.5, 1)
            under = f"({said})" if length > 1 else said
            found[f"1/{under}"] = product(names, 1, -1)
            found[f"2/{under}"] = product(names, 2, -1)
            found[f"1/(2*{said})"] = product(names, 0.5, -1)
    return found


def is_weight(name: str) -> bool:
    """Whether the tensor is a weight: no input, no initial state."""
    return "/" in name and "initial" not in name


# Which gradients a factor is on: the quantity it is told by, and the tensors.
PLACES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "all gradients": ("scale", lambda name: True),
    "all weights": ("scale", is_weight),
    "all biases": ("db", lambda name: name.endswith("bias")),
    "the LSTM's bias": ("db", lambda name: name.startswith("lstm") and name.endswith("/bias")),
    "the Dense bias": ("db_y", lambda name: name.startswith("dense") and name.endswith("/bias")),
    "the LSTM's weights": ("dW_x", lambda name: name.startswith("lstm") and is_weight(name)),
    "the Dense weights": ("dW_y", lambda name: name.startswith("dense") and is_weight(name)),
    "all below the head": ("dh_above", lambda name: not name.startswith("dense")),
    "x": ("dx", lambda name: name == "x"),
}


def scaled(factor: Callable[[Problem], float], where: Callable[[str], bool]) -> Any:
    """An `after` that multiplies the gradients chosen by `where`."""
    return lambda problem, gradients: {
        name: gradient * factor(problem) if where(name) else gradient for name, gradient in gradients.items()
    }


def permuted(order: tuple[int, ...], array: Array) -> Array:
    """The gate blocks of the last axis in another order."""
    return np.concatenate([np.split(array, 4, axis=-1)[k] for k in order], axis=-1)


LSTM_WEIGHTS = ("kernel", "recurrent_kernel", "bias")


def reordered(order: tuple[int, ...], which: tuple[str, ...]) -> Callable[[Arrays], Arrays]:
    """A function that permutes the gates of the LSTM tensors named in `which`."""
    return lambda arrays: {
        name: permuted(order, array) if name.startswith("lstm") and name.split("/")[-1] in which else array
        for name, array in arrays.items()
    }


def transposed(name: str) -> Callable[[Problem, Arrays], Arrays]:
    """An `after` that reads the transposed gradient of `name` in the layout of the right one."""
    return lambda problem, gradients: {
        key: gradient.T.reshape(gradient.shape)
        if key.split("/")[-1] == name and gradient.ndim == 2
        else gradient
        for key, gradient in gradients.items()
    }


def transposed_blocks(problem: Problem, gradients: Arrays) -> Arrays:
    """Each gate's block of the recurrent kernel's gradient, transposed."""
    return {
        name: np.concatenate([block.T for block in np.split(gradient, 4, axis=1)], axis=1)
        if name.endswith("recurrent_kernel")
        else gradient
        for name, gradient in gradients.items()
    }


def through_float32(problem: Problem, gradients: Arrays) -> Arrays:
    """Rounded to float32 and back."""
    return {name: gradient.astype(np.float32).astype(gradient.dtype) for name, gradient in gradients.items()}


@cache
def conventions() -> tuple[Fault, ...]:
    """The faults that act on results."""

    def convention(quantity: str, kind: str, right: str, wrong: str, **how: Any) -> Fault:
        return Fault(quantity, kind, right, wrong, phase="convention", **how)

    found = []
    for place, (quantity, where) in PLACES.items():
        for said, factor in factors().items():
            found.append(
                convention(
                    quantity,
                    "normalisation",
                    f"{place} times 1",
                    f"{place} times {said}",
                    after=scaled(factor, where),
                )
            )
        turned = scaled(lambda _: -1.0, where)
        name = "sign" if place == "all gradients" else quantity
        found.append(convention(name, "sign", f"{place} times 1", f"{place} times -1", after=turned))
    for order in list(itertools.permutations(range(4)))[1:]:
        said = ", ".join(GATES[k] for k in order)
        for which in (LSTM_WEIGHTS, *((name,) for name in LSTM_WEIGHTS)):
            what = "gradients" if len(which) == 3 else f"{which[0]} gradient"
            move = reordered(order, which)
            found.append(
                convention(
                    *("layout", "layout", f"{what} in the order i, f, g, o", f"{what} in the order {said}"),
                    after=lambda problem, gradients, move=move: move(gradients),
                )
            )
            back = reordered(tuple(np.argsort(order)), which)
            found.append(
                convention(
                    *("layout", "layout", "gates in the order i, f, g, o"),
                    f"gates of {', '.join(which)} read in the order {said}",
                    before=lambda problem, move=move: replace(problem, weights=move(problem.weights)),
                    after=lambda problem, gradients, back=back: back(gradients),
                )
            )
    for name in ("kernel", "recurrent_kernel"):
        found.append(
            convention(
                *("layout", "layout", f"{name} gradient", f"{name} gradient transposed and reshaped"),
                after=transposed(name),
            )
        )
    found.append(
        convention(
            *("layout", "layout", "dW_h = h_prev.T @ dz", "dW_h of each gate transposed"),
            after=transposed_blocks,
        )
    )
    found.append(
        convention(
            *("layout", "layout", "dx in the order of x", "dx with its time axis reversed"),
            after=lambda problem, gradients: gradients | {"x": gradients["x"][:, ::-1]},
        )
    )
    found.append(
        convention(
            *("precision", "float32 buffers", "float64 throughout", "rounded to float32"),
            after=through_float32,
        )
    )
    return tuple(found)


def clipped_by_value(limit: float) -> Fault:
    """All gradients clipped to ±limit."""
    return Fault(
        *("clipping", "clipping inside backward", "gradients as they are"),
        f"every gradient clipped to +-{limit:.6g}",
        phase="convention",
        after=lambda problem, gradients: {n: np.clip(g, -limit, limit) for n, g in gradients.items()},
    )


def clipped_by_norm(limit: float, names: Iterable[str]) -> Fault:
    """All gradients scaled so that the norm of `names` together is at most `limit`."""
    names = tuple(names)

    def clip(problem: Problem, gradients: Arrays) -> Arrays:
        norm = np.sqrt(sum(float(np.sum(gradients[name] ** 2)) for name in names))
        return {name: gradient * min(1.0, limit / norm) for name, gradient in gradients.items()}

    return Fault(
        *("clipping", "clipping inside backward", "gradients as they are"),
        f"all gradients scaled down to a common norm of {limit:.6g}",
        phase="convention",
        after=clip,
    )


def times(number: float) -> Fault:
    """All gradients times a number."""
    return Fault(
        *("scale", "normalisation", "all gradients times 1", f"all gradients times {number:.9g}"),
        phase="convention",
        after=scaled(lambda _: number, lambda _: True),
    )
