"""Every single edit of one equation, made on its syntax tree, each with the kind of mistake that it is."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple


class Edit(NamedTuple):
    """One edited expression. `label` is the same for the same edit at another call site."""

    wrong: ast.expr
    kind: str
    label: str = ""


# ---- edits of one expression

GATES = ("i", "f", "g", "o")
VALUES = ("h_prev", "c_prev", *GATES, "c", "phi_c", "h")
PRE = tuple(f"z_{k}" for k in GATES)
GRADIENTS = (
    *("dh_above", "dh", "dc", "dh_next", "dc_next"),
    *("di", "df", "dg", "do", "dz_i", "dz_f", "dz_g", "dz_o"),
)
GATEWISE = (GATES, PRE, ("di", "df", "dg", "do"), ("dz_i", "dz_f", "dz_g", "dz_o"))

OFF_BY_ONE = "off by one in the state"
LEFT_OUT = "gate derivative left out"
ACTIVATED = "derivative of an activated value"
DERIVATIVE = "wrong activation derivative"
COPIED = "copy and paste between gates"
STALE = "stale cache"
OVERWRITTEN = "overwrite instead of accumulate"
DIFFERENT = "a different forward"

# Names that exist in edited equations only: what the mistaken code reads in place of the name before
# the suffix, as source. They are printed as they are here, which says what they mean.
SHIFTS = {
    "_next": 'steps[min(t + 1, T - 1)]["{}"]',
    "_after": 'steps[min(t + 1, T - 1)]["{}"] * (t < T - 1)',
    "_before": 'steps[max(t - 1, 0)]["{}"]',
    "_wrapped": 'steps[t - 1]["{}"]',
    "_last": 'steps[-1]["{}"]',
    "_first": 'steps[0]["{}"]',
    "_or_zero": "{} * (t > 0)",
}
SHIFT_WORDS = {
    "_next": "of the next step (at the last step: its own)",
    "_after": "of the next step (at the last step: zero)",
    "_before": "of the step before (at the first step: its own)",
    "_wrapped": "of steps[t - 1], which at t = 0 wraps to the last step",
    "_last": "of the last step, at every step",
    "_first": "of the first step, at every step",
    "_or_zero": "with zero in place of the initial state at t = 0",
}
INDEX_SHIFTS = ("min(t + 1, T - 1)", "t - 1", "max(t - 1, 0)", "-1", "0", "T - 1 - t")


def edits(value: ast.expr, target: str, forward: bool) -> Iterator[Edit]:
    """Every single edit of the right-hand side `value` of an equation for `target`."""
    for outer, kind in (("0 * _", "zeroed"), ("-_", "sign"), ("2 * _", "path counted twice")):
        yield Edit(exchange_names(expression(outer), {"_": value}), kind)
    for node in ast.walk(value):
        for wrong, kind, label in node_edits(node, target, forward):
            yield Edit(exchange(value, node, wrong), kind, label)


def node_edits(node: ast.AST, target: str, forward: bool) -> Iterator[Edit]:
    """What can stand where `node` stands."""
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub(), right):
            self_first = isinstance(left, ast.Name) and left.id == target
            if not self_first:  # db = db is db = 0, which is said so
                yield Edit(left, "term dropped")
            if isinstance(node.op, ast.Add):
                yield Edit(right, OVERWRITTEN if self_first else "term dropped")
                yield Edit(binary(node, ast.Add(), left), "path counted twice")
                yield Edit(binary(node, ast.Add(), right), "path counted twice")
                yield Edit(binary(left, ast.Sub(), right), "sign")
            else:
                yield Edit(binary(left, ast.Add(), right), "sign")
                yield Edit(binary(right, ast.Sub(), left), "sign")
                yield Edit(right, "term dropped")
        case ast.BinOp(left, ast.Mult(), right):
            yield Edit(left, "factor dropped")
            yield Edit(right, "factor dropped")
            yield Edit(binary(node, ast.Mult(), right), "factor counted twice")
            yield Edit(binary(node, ast.Mult(), left), "factor counted twice")
        case ast.BinOp(left, ast.Div(), right):
            yield Edit(left, "normalisation")
        case ast.Attribute(ast.Name(("W_x" | "W_h" | "W_y") as W), "T"):
            kind = "recurrent kernel not transposed" if W == "W_h" else "not transposed"
            yield Edit(name(f"{W}_untransposed"), kind)
            yield Edit(name(f"{W}_reshaped"), kind)
            if W == "W_h":
                for k in GATES:
                    yield Edit(name(f"{W}_{k}_untransposed"), kind)
            if W != "W_y":
                yield Edit(attribute(name("W_h" if W == "W_x" else "W_x"), "T"), "quantity swapped")
                for k in GATES:
                    yield Edit(attribute(name(f"{W}_only_{k}"), "T"), COPIED)
                for k, j in itertools.permutations(GATES, 2):
                    yield Edit(attribute(name(f"{W}_{k}_from_{j}"), "T"), COPIED)
        case ast.Name("dz", ast.Load()):
            for k in GATES:
                yield Edit(name(f"dz_without_{k}"), "term dropped")
                yield Edit(name(f"dz_only_{k}"), "term dropped")
            for k, j in itertools.permutations(GATES, 2):
                yield Edit(name(f"dz_{k}_from_{j}"), COPIED)
        case ast.Name(quantity, ast.Load()) if quantity in (*VALUES, *PRE, *GRADIENTS, "x_t"):
            yield from name_edits(quantity, forward)
        case ast.Attribute(inner, "sum"):
            yield Edit(attribute(inner, "mean"), "normalisation")
        case ast.Subscript(inner, index) if "t" in names_in(index):
            for other in INDEX_SHIFTS:
                moved = exchange_names(index, {"t": expression(other)})
                stale = names_in(inner) == {"steps"} and other in ("-1", "0")
                yield Edit(ast.Subscript(inner, moved, ast.Load()), STALE if stale else OFF_BY_ONE)
        case ast.Call(ast.Name(("d_sigma" | "d_phi") as d), [upstream, z, activated]):
            other = "d_phi" if d == "d_sigma" else "d_sigma"
            again = call(d.removeprefix("d_"), activated)
            yield Edit(upstream, LEFT_OUT, "left out")
            yield Edit(call(d, upstream, activated, again), ACTIVATED, "activated twice")
            yield Edit(call(other, upstream, z, activated), DERIVATIVE, "another")
            yield Edit(call(other, node, z, activated), DERIVATIVE, "both")
            yield Edit(call(d, node, z, activated), "factor counted twice", "twice")
            yield Edit(call(d, upstream, z, z), DERIVATIVE, "of z")
        case ast.Call(ast.Attribute(ast.Call(ast.Name("activation"), [which]), "backward"), [upstream, z, y]):
            value = attribute(call("activation", which), "value")
            again = ast.Call(value, [y], [])
            yield Edit(upstream, LEFT_OUT)
            yield Edit(ast.Call(node.func, [upstream, y, again], []), ACTIVATED)
            yield Edit(ast.Call(node.func, [upstream, z, z], []), DERIVATIVE)
            yield Edit(ast.Call(node.func, [node, z, y], []), "factor counted twice")
        case ast.IfExp(_, _, otherwise):
            yield Edit(otherwise, "factor counted twice")
        case ast.Call(ast.Name(("sigma" | "phi") as activation), [inner]):
            yield Edit(inner, DIFFERENT)
            yield Edit(call("phi" if activation == "sigma" else "sigma", inner), DIFFERENT)
            yield Edit(exchange_names(expression("np.where(_.real > 0, _, 0 * _)"), {"_": inner}), DIFFERENT)
            yield Edit(call(activation, node), DIFFERENT)


def name_edits(quantity: str, forward: bool) -> Iterator[Edit]:
    """Other quantities of the same shape in place of `quantity`, and itself at another time."""
    group = next((group for group in (VALUES, PRE, GRADIENTS) if quantity in group), ())
    for other in group:
        if other != quantity:
            gatewise = any(quantity in gates and other in gates for gates in GATEWISE)
            shifted = {quantity, other} in ({"h_prev", "h"}, {"c_prev", "c"})
            yield Edit(name(other), COPIED if gatewise else OFF_BY_ONE if shifted else "quantity swapped")
    if forward or quantity not in (*VALUES, "x_t"):
        return
    for suffix in SHIFTS:
        if suffix == "_or_zero" and quantity not in ("h_prev", "c_prev"):
            continue
        kind = "initial state ignored" if suffix == "_or_zero" else OFF_BY_ONE
        if suffix in ("_last", "_first"):
            kind = "x of the last step for all steps" if quantity == "x_t" else STALE
        yield Edit(name(quantity + suffix), kind)
    if quantity in ("h_prev", "c_prev"):
        yield Edit(name(f"{quantity[0]}_wrapped"), OFF_BY_ONE)
    if quantity == "phi_c":
        yield Edit(call("phi", name("c_prev")), OFF_BY_ONE)
        yield Edit(call("phi", name("phi_c")), ACTIVATED)
        yield Edit(call("sigma", name("c")), "quantity swapped")


def derivative_edits(
    value: ast.expr, derivatives: Mapping[str, Callable[..., Any]]
) -> Iterator[tuple[ast.expr, Edit]]:
    """Edits inside an activation's derivative, written out in place of its call; with each the right
    equation, written out too. `derivatives` are the functions behind "d_sigma" and "d_phi".
    """
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in derivatives:
            body = inlined(derivatives[node.func.id], node.args)
            if body is None:
                continue
            right = exchange(value, node, body)
            upstream = {id(inner) for inner in ast.walk(node.args[0])}
            product = {id(inner) for inner in products_in(body)}
            for place, inner in enumerate(ast.walk(body)):
                if id(inner) in upstream or isinstance(inner, ast.Name):
                    continue
                for number, (wrong, how, _) in enumerate(node_edits(inner, "", forward=True)):
                    edited = exchange(right, inner, wrong)
                    kind = LEFT_OUT if how == "factor dropped" and id(inner) in product else DERIVATIVE
                    yield right, Edit(edited, kind, f"{node.func.id} {place} {number}")


def products_in(value: ast.expr) -> Iterator[ast.expr]:
    """The product that an expression is, and the products that are its factors."""
    match value:
        case ast.BinOp(left, ast.Mult(), right):
            yield value
            yield from products_in(left)
            yield from products_in(right)


def inlined(function: Callable[..., Any], arguments: list[ast.expr]) -> ast.expr | None:
    """The function's return value with `arguments`, and the numbers that are bound already, in place of
    its parameters; None where it is more than assignments and a return.
    """
    bound = {}
    if isinstance(function, partial):
        bound = {name: ast.Constant(value) for name, value in function.keywords.items()}
        function = function.func
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        return None
    names = [parameter.arg for parameter in tree.args.args if parameter.arg not in bound]
    values = bound | dict(zip(names, arguments, strict=True))
    for statement in tree.body:
        match statement:
            case ast.Assign([ast.Name(name)], value):
                values[name] = exchange_names(value, values)
            case ast.Assign([ast.Tuple(targets)], ast.Tuple(parts)):
                made = [exchange_names(part, values) for part in parts]
                values |= {ast.unparse(target): part for target, part in zip(targets, made, strict=True)}
            case ast.Return(ast.expr() as value):
                return exchange_names(value, values)
            case ast.Expr(ast.Constant()):
                continue
            case _:
                return None
    return None


class Derivative(NamedTuple):
    """An activation's derivative `function(dy, z, y)`, and how it is written where it is not written out."""

    function: Callable[..., Any]
    called: str  # such as "gelu'"
    reads_z: bool

    def written(self, arguments: list[ast.expr]) -> ast.expr:
        """Written out for `arguments`, or "dz * gelu'(z)"."""
        upstream, z, y = arguments
        factor = call(self.called, z if self.reads_z else y)
        return inlined(self.function, arguments) or binary(upstream, ast.Mult(), factor)


def inlined_calls(tree: Any, derivatives: Mapping[str, Derivative]) -> Any:
    """The tree with the calls of `derivatives`, by their source text, written out."""
    if isinstance(tree, list):
        return [inlined_calls(item, derivatives) for item in tree]
    if not isinstance(tree, ast.AST):
        return tree
    tree = type(tree)(**{field: inlined_calls(part, derivatives) for field, part in ast.iter_fields(tree)})
    if isinstance(tree, ast.Call) and ast.unparse(tree.func) in derivatives:
        return derivatives[ast.unparse(tree.func)].written(tree.args)
    return tree


# ---- trees


def expression(source: str) -> ast.expr:
    """The tree of a source text."""
    return ast.parse(source, mode="eval").body


def name(text: str) -> ast.expr:
    """The tree of a name that is read."""
    return ast.Name(text, ast.Load())


def attribute(value: ast.expr, which: str) -> ast.expr:
    """The tree of `value.which`."""
    return ast.Attribute(value, which, ast.Load())


def call(function: str, *arguments: ast.expr) -> ast.expr:
    """The tree of `function(*arguments)`."""
    return ast.Call(name(function), list(arguments), [])


def binary(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    """The tree of `left op right`."""
    return ast.BinOp(left, op, right)


def names_in(tree: ast.AST) -> set[str]:
    """The names that the tree reads."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def exchange(tree: Any, old: ast.AST, new: ast.AST) -> Any:
    """The tree with the node `old` exchanged."""
    if tree is old:
        return new
    if isinstance(tree, list):
        return [exchange(item, old, new) for item in tree]
    if isinstance(tree, ast.AST):
        return type(tree)(**{field: exchange(part, old, new) for field, part in ast.iter_fields(tree)})
    return tree


def exchange_names(tree: Any, values: Mapping[str, ast.expr]) -> Any:
    """The tree with every name in `values` exchanged for its expression."""
    if isinstance(tree, ast.Name) and tree.id in values:
        return values[tree.id]
    if isinstance(tree, list):
        return [exchange_names(item, values) for item in tree]
    if isinstance(tree, ast.AST):
        return type(tree)(**{field: exchange_names(part, values) for field, part in ast.iter_fields(tree)})
    return tree
