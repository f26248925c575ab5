"""Mistakes in a part of an equation: in the lines of one gate, where code keeps a matrix and a bias for each,
and in one of two terms, where code has multiplied brackets out.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import reduce
from types import CodeType

from tapecheck.faults import program
from tapecheck.faults.edits import (
    COPIED,
    GATES,
    LEFT_OUT,
    OFF_BY_ONE,
    OVERWRITTEN,
    Edit,
    binary,
    edits,
    exchange_names,
    expression,
    names_in,
)
from tapecheck.faults.equations import Writer
from tapecheck.faults.fault import Fault
from tapecheck.faults.names import resolved
from tapecheck.faults.places import location_of
from tapecheck.faults.program import Assignment, Code, compiled_assignment, compiled_lines

# The sums over steps and samples, and what else becomes of them where code has a line for each gate.
OF_A_SUM = {
    target: {
        f"{target} + ({term}) / len(dz)": "normalisation",
        term.replace("x_t", "x_t[-1:]")
        .replace("h_prev", "h_prev[-1:]")
        .replace("dz", "dz[-1:]"): OVERWRITTEN,
    }
    for target, term in {"dW_x": "x_t.T @ dz", "dW_h": "h_prev.T @ dz", "db": "dz.sum(axis=0)"}.items()
}


def in_one_gate(writer: Writer) -> Iterator[Fault]:
    """The sums dW_x, dW_h and db, wrong in the columns of one gate."""
    for target, others in OF_A_SUM.items():
        line = program.LSTM_BACKWARD.lines[target]
        more = [Edit(expression(text), kind) for text, kind in others.items()]
        for edit in [*edits(line.value, target, forward=False), *more]:
            if any(name.startswith("dz_") for name in names_in(edit.wrong)):
                continue  # those are of one gate already
            whole = writer.fault([(line, edit)], target, "backward")
            wrong, right = ast.unparse(resolved(edit.wrong, False)), ast.unparse(line.value)
            for number, gate in enumerate(GATES):
                code = {line.key: one_block(target, number, wrong, right)}
                yield part_of(whole, f" for gate {gate}", code)
    line = program.LSTM_BACKWARD.lines["db"]
    for number, gate in enumerate(GATES):
        yield Fault(
            *("db", "summed over units", f"db = {ast.unparse(line.value)}"),
            f"db = db + dz_{gate}.sum() for gate {gate}",
            location_of(line),
            code={line.key: one_block("db", number, f"db + dz_{gate}.sum()", "db + dz.sum(axis=0)")},
        )


def in_several_sums(writer: Writer) -> Iterator[Fault]:
    """The same mistake in dW_x and dW_h, which [x, h].T @ dz makes in one line, and in db besides; in all
    gates, or in one.
    """
    for targets in (("dW_x", "dW_h"), ("dW_x", "dW_h", "db")):
        lines = [program.LSTM_BACKWARD.lines[target] for target in targets]
        found = [list(edits(line.value, line.target, forward=False)) for line in lines]
        of_dz = [
            [edit for edit in each if any(n.startswith("dz_") for n in names_in(edit.wrong))]
            for each in found
        ]
        for same in map(list, zip(*of_dz, strict=True)):
            yield writer.fault(list(zip(lines, same, strict=True)), targets[0], "backward")
        overwritten = [next(edit for edit in each if edit.kind == OVERWRITTEN) for each in found]
        doubled = [
            Edit(expression(f"2 * ({ast.unparse(line.value)})"), "path counted twice") for line in lines
        ]
        left_out = [Edit(expression(f"0 * {line.target}"), "zeroed") for line in lines]
        for same in (overwritten, doubled, left_out):
            whole = writer.fault(list(zip(lines, same, strict=True)), targets[0], "backward")
            for number, gate in enumerate(GATES):
                code = {
                    line.key: one_block(line.target, number, ast.unparse(edit.wrong), ast.unparse(line.value))
                    for line, edit in zip(lines, same, strict=True)
                }
                yield part_of(whole, f" for gate {gate}", code)


def part_of(whole: Fault, where: str, code: Code) -> Fault:
    """A fault of whole lines as one of a part of them."""
    return Fault(
        *(whole.quantity, whole.kind, whole.right, whole.wrong + where, whole.location),
        note=whole.note,
        code=code,
    )


def one_block(target: str, number: int, wrong: str, right: str) -> CodeType:
    """The line that takes one gate's columns of `wrong`, and of `right` the others."""
    return compiled_lines(
        f"blocks = np.split({right}, 4, axis=-1); "
        f"blocks[{number}] = np.split(0 * {target} + ({wrong}), 4, axis=-1)[{number}]; "
        f"{target} = np.concatenate(blocks, axis=-1)"
    )


# The mistakes in one term that are tried.
OF_A_TERM = ("factor dropped", "quantity swapped", COPIED, OFF_BY_ONE)
# The two terms of dc, as the textbook writes them and as they are told apart once dc is their sum.
TERMS = {"d_phi(dh * o, c, phi_c)": "(dc - dc_next)", "dc_next": "dc_next"}


def in_one_term(writer: Writer) -> Iterator[Fault]:
    """di, df, dg and dc_next with dc multiplied out, wrong in one of the two terms; and the brackets lost
    around dc, so that a gate's derivative multiplies one of them alone.
    """
    for target in ("di", "df", "dg", "dc_next"):
        line = program.LSTM_BACKWARD.lines[target]
        for edit in edits(line.value, target, forward=False):
            if edit.kind in OF_A_TERM and "dc" in names_in(edit.wrong):
                yield from of_one_term(writer, line, line.value, edit)
        yield from of_one_term(writer, line, line.value, Edit(expression("0 * dc"), "term dropped"))
    for gate in "ifg":
        line = program.LSTM_BACKWARD.lines[f"dz_{gate}"]
        upstream = program.LSTM_BACKWARD.lines[f"d{gate}"].value
        right = exchange_names(line.value, {f"d{gate}": upstream})
        yield from of_one_term(writer, line, right, Edit(upstream, LEFT_OUT))


def of_one_term(writer: Writer, line: Assignment, right: ast.expr, edit: Edit) -> Iterator[Fault]:
    """The edit in place of `right` for either term of dc alone."""
    for mistaken in TERMS:
        sides = {term: edit.wrong if term == mistaken else right for term in TERMS}
        if edit.kind == "term dropped":
            del sides[mistaken]
        written, told = (
            added(exchange_names(side, {"dc": expression(form(term))}) for term, side in sides.items())
            for form in (str, TERMS.__getitem__)
        )
        yield Fault(
            line.target,
            edit.kind,
            writer.equation(line.target, right),
            writer.equation(line.target, written),
            location_of(line),
            note="in one of the two terms of dc alone",
            code={line.key: compiled_assignment(line.target, resolved(told, False))},
        )


def added(terms: Iterable[ast.expr]) -> ast.expr:
    """The tree of a sum."""
    return reduce(lambda left, right: binary(left, ast.Add(), right), terms)
