"""Every single edit of the textbook's equations, made from their source."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache

from reference_impl.activations import activation
from reference_impl.losses import LOSSES
from reference_impl.spec import Named, look_up
from tapecheck.faults import program
from tapecheck.faults.edits import (
    OFF_BY_ONE,
    STALE,
    Derivative,
    Edit,
    derivative_edits,
    edits,
    exchange_names,
    expression,
    inlined,
    inlined_calls,
    names_in,
)
from tapecheck.faults.fault import Fault
from tapecheck.faults.names import resolved, said_of_shift
from tapecheck.faults.places import is_start, location_of, place
from tapecheck.faults.program import Assignment, compiled_assignment, compiled_lines
from tapecheck.faults.specials import UNPACKED, of_masks, of_stacks, specials

# What the left-hand sides of the textbook are called in a diagnosis, where that is something else.
FORWARD_QUANTITIES = {
    "x_t, h_prev, c_prev": "z",
    "h, c": "h",
    "z_i, z_f, z_g, z_o": "z",
    "phi_c": "h",
    "b": "z",
}
BACKWARD_QUANTITIES = {"dx_t": "dx", UNPACKED: "cache"}
# Lines that name things and compute nothing.
NOT_EQUATIONS = {
    "sigma",
    "phi",
    "d_sigma",
    "d_phi",
    "T",
    "W_x, W_h",
    "W_y",
    "b_y",
    "W_y, x, logits, y",
    "output",
}
NOT_EQUATIONS |= {"steps", "d_steps", "gradients", "dW_x, dW_h, db", "dy", "dx", "x_rows", "d_rows"}
NOT_EQUATIONS |= {"mask", "outputs", "d_repeated"}


Which = str | Named | None  # an activation, or a loss

# Said of a `dy` without its factor.
WITHOUT_W = "w is what the loss makes of each sample: 1 / (B * T) where it is their mean"


@cache
def equations(
    sigma: Which, phi: Which, top: Which, loss: Which, fused: bool, stacked: bool, masked: bool
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
    if stacked:
        found += [writer.written(*special) for special in of_stacks()]
    if masked:
        found += [writer.written(*special) for special in of_masks()]
    unlike = {(fault.location, fault.wrong): fault for fault in reversed(found) if fault.wrong != fault.right}
    return tuple(reversed(unlike.values()))


class Writer:
    """Makes faults of edits, and writes their equations for a person: with the derivatives written out
    for the activations of the model at hand.
    """

    def __init__(self, sigma: Which, phi: Which, top: Which, fused: bool):
        self.fused = fused
        self.derivatives = {
            "d_sigma": derivative(sigma),
            "d_phi": derivative(phi),
            "activation(layer.activation).backward": derivative(top),
        }
        self.names = {"sigma": called(sigma), "phi": called(phi)}
        self.written_out = {name: self.derivatives[name].function for name in ("d_sigma", "d_phi")}

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
            ("{last}", "overwrite instead of accumulate", "by each sample and by each of its steps"),
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
                upstream = ["dy[:, -1]"] if line.target == "dh_next" else []
                for wrong in (of, f"1 + 0 * {of}", *upstream):
                    edit = Edit(expression(wrong), "wrong initial value")
                    yield self.fault([(line, edit)], line.target, "backward", "before the loop")
        start = program.LSTM_BACKWARD.lines["dW_x, dW_h, db"]
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

    def loss_edits(self, loss: str | Named | None) -> Iterator[Fault]:
        """Edits of the loss's own derivative, and of its factor `w`."""
        line = next(
            each for each in program.BACKPROPAGATE.assignments if each.target == "dy"
        )  # not the loop's
        found = look_up(LOSSES, loss)
        if loss is None or found.couples:  # then there is no factor to take away
            return
        backward = found.backward
        each = inlined(backward, [expression("y_true"), expression("y_pred")])
        if each is None:
            return
        body = exchange_names(expression("w * _"), {"_": each})
        here = {"y_true": expression("y"), "y_pred": expression("of")}
        written = getattr(backward, "func", backward)
        file = written.__module__.removeprefix("reference_impl.").replace(".", "/")
        for edit in [*edits(body, "dy", True), *summed(each)]:
            without = "w" not in names_in(edit.wrong)
            yield Fault(
                "dy",
                "normalisation" if edit.kind in ("factor dropped", "path counted twice") else edit.kind,
                f"dy = {ast.unparse(body)}",
                f"dy = {ast.unparse(edit.wrong)}",
                f"{file}.py:{written.__code__.co_firstlineno + 1}",
                note=WITHOUT_W if without else "",
                code={line.key: compiled_assignment("dy", exchange_names(edit.wrong, here))},
            )

    def written(
        self, quantity: str, kind: str, right: str, wrong: str, note: str, lines: Mapping[str, str]
    ) -> Fault:
        """A fault written by hand: `lines` are source by the target that they stand in for."""
        places = {target: place(target) for target in lines}
        return Fault(
            quantity,
            kind,
            right,
            wrong,
            location_of(next(iter(places.values()))),
            note=note,
            code={places[target].key: compiled_lines(source) for target, source in lines.items()},
        )


def summed(each: ast.expr) -> Iterator[Edit]:
    """A derivative without `w` and without the mean over the outputs: the loss is a sum over all."""
    match each:
        case ast.BinOp(whole, ast.Div(), ast.Subscript()):
            yield Edit(whole, "normalisation")


# ---- activations and kinds, by name


def called(which: Which) -> str:
    """An activation's name alone; None is linear."""
    return which.name if isinstance(which, Named) else which or "linear"


def derivative(which: Which) -> Derivative:
    """An activation's derivative."""
    found = activation(which)
    return Derivative(found.backward, f"{called(which)}'", found.reads_z)


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
