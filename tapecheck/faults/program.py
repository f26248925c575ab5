"""The textbook as data: its functions run a line at a time, with any line exchanged for other code."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from types import CodeType, SimpleNamespace
from typing import Any, NamedTuple

from reference_impl import LSTM, Dense, TimeDistributed
from reference_impl.activations import kinks, rows, smooth
from reference_impl.losses import LOSSES
from reference_impl.spec import Array
from reference_impl.textbook import Pass, dense, lstm, sequential
from tapecheck.faults.edits import names_in
from tapecheck.problem import Problem

# What a branch of the textbook asks about where it serves something that most models do not have.
EXTRAS = frozenset({"mask", "given", "upstream"})


class Key(NamedTuple):
    """A line of the textbook; in the layer of that name, or in every layer."""

    module: str
    line: int
    layer: str = ""


Code = Mapping[Key, CodeType]  # lines, and what runs in their place
Hooks = Mapping[Key, Callable[[dict[str, Any]], None]]  # lines, and what is called after each
Kept = tuple[Array, Any, list[Any]]  # what the forward pass returns


class Assignment(NamedTuple):
    """One equation of the textbook."""

    key: Key
    target: str
    value: ast.expr


class Program:
    """A function that runs from its source, a statement at a time."""

    def __init__(self, function: Callable[..., Any]):
        self.module = inspect.getmodule(function)
        self.native = function
        self.name = function.__module__
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        ast.increment_lineno(tree, first - 1)
        assert isinstance(tree.body[0], ast.FunctionDef)
        self.parameters = [argument.arg for argument in tree.body[0].args.args]
        self.defaults = function.__defaults__ or ()
        self.assignments: list[Assignment] = []
        self.block = [self._lower(statement) for statement in tree.body[0].body]
        # by target: of several lines the last, which is the loop's where one comes before it too
        self.lines = {assignment.target: assignment for assignment in self.assignments}
        self.keys = {assignment.key for assignment in self.assignments}

    def bind(self, code: Code, names: Mapping[str, Any] | None = None) -> Callable[..., Any]:
        """The function with its lines exchanged as `code` says; itself where that changes nothing."""
        if names is None and self.keys.isdisjoint(code):
            return self.native
        return lambda *arguments: self.run(arguments, names or {}, code, {})

    def run(self, arguments: tuple[Any, ...], names: Mapping[str, Any], code: Code, hooks: Hooks) -> Any:
        """The function's value with lines exchanged as `code` says and globals as `names` says; `hooks` see
        the variables, and may change them, after their lines.
        """
        defaults = zip(reversed(self.parameters), reversed(self.defaults), strict=False)
        space = ACTIVATION_NAMES | vars(self.module) | dict(names) | dict(defaults)
        space |= dict(zip(self.parameters, arguments, strict=False))
        return _run(self.block, space, code, hooks)

    def _lower(self, statement: ast.stmt) -> tuple[Any, ...]:
        key = Key(self.name, statement.lineno)
        if isinstance(statement, ast.For):
            take = ast.Assign([statement.target], ast.Name("_item", ast.Load()))
            body = [self._lower(inner) for inner in statement.body]
            return "for", compiled(statement.iter), _compiled_statement(take), body
        if isinstance(statement, ast.If):
            equations = len(self.assignments)
            branches = [[self._lower(inner) for inner in b] for b in (statement.body, statement.orelse)]
            if not EXTRAS.isdisjoint(names_in(statement.test)):  # masks, dropout: no line of the derivation
                del self.assignments[equations:]
            return "if", compiled(statement.test), *branches
        if isinstance(statement, ast.Return):
            assert statement.value is not None
            return "return", compiled(statement.value)
        if isinstance(statement, ast.AnnAssign):
            if statement.value is None:
                return "do", key, _compiled_statement(ast.Pass())
            statement = ast.copy_location(ast.Assign([statement.target], statement.value), statement)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name | ast.Tuple):
            target = ast.unparse(statement.targets[0]).strip("()")
            self.assignments.append(Assignment(key, target, statement.value))
        return "do", key, _compiled_statement(statement)


def _run(block: list[Any], space: dict[str, Any], code: Code, hooks: Hooks) -> Any:
    for what, *parts in block:
        if what == "do":
            key, line = parts
            exec(code.get(key, line), space)
            if key in hooks:
                hooks[key](space)
        elif what == "for":
            items, take, body = parts
            for item in eval(items, space):
                space["_item"] = item
                exec(take, space)
                _run(body, space, code, hooks)
        elif what == "if":
            test, body, otherwise = parts
            _run(body if eval(test, space) else otherwise, space, code, hooks)
        else:
            return eval(parts[0], space)
    return None


def compiled(expression: ast.expr) -> CodeType:
    """Code that evaluates the expression."""
    return compile(ast.fix_missing_locations(ast.Expression(expression)), "<textbook>", "eval")


def _compiled_statement(statement: ast.stmt) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Module([statement], [])), "<textbook>", "exec")


def compiled_assignment(target: str, value: ast.expr) -> CodeType:
    """Code that assigns the expression."""
    names = ast.parse(target, mode="eval").body
    for node in ast.walk(names):
        if isinstance(node, ast.Name | ast.Tuple):
            node.ctx = ast.Store()
    assert isinstance(names, ast.Name | ast.Tuple)
    return _compiled_statement(ast.Assign([names], value))


def compiled_lines(source: str) -> CodeType:
    """Code of whole lines."""
    return compile(source, "<textbook>", "exec")


# What an activation's derivative reads where it is written out.
ACTIVATION_NAMES = vars(smooth) | vars(kinks) | vars(rows)

LSTM_FORWARD, LSTM_BACKWARD = Program(lstm.forward), Program(lstm.backward)
DENSE_FORWARD, DENSE_BACKWARD = Program(dense.forward), Program(dense.backward)
FORWARD, THROUGH = Program(sequential.forward), Program(sequential.through)
BACKPROPAGATE = Program(sequential.backpropagate)


# What the derivatives of the losses call, for when one of them is written out.
OF_LOSSES = {
    name: each
    for loss in LOSSES.values()
    for name, each in loss.backward.__globals__.items()
    if name not in vars(sequential)
}


def inputs(problem: Problem) -> tuple[Any, ...]:
    """A problem as the textbook's arguments."""
    return problem.model, problem, problem.loss


def forward(problem: Problem, code: Code) -> Kept:
    """The textbook's forward pass, its lines exchanged as `code` says."""
    layers = {
        "lstm": SimpleNamespace(forward=LSTM_FORWARD.bind(code)),
        "dense": SimpleNamespace(forward=DENSE_FORWARD.bind(code)),
    }
    return FORWARD.bind(code, {"through": THROUGH.bind(code, layers)})(*inputs(problem))


def backpropagate(
    problem: Problem, code: Code, kept: Kept | None = None, hooks: Mapping[str, Hooks] | None = None
) -> Pass:
    """The textbook's whole pass, its lines exchanged as `code` says, from the forward pass `kept`
    where one is given; `hooks` by layer name see its backward pass. The trace is left out. What the
    layer below has kept is `below` to an exchanged line.
    """
    kept = forward(problem, code) if kept is None else kept
    layers = [
        (name, layer, below)
        for (name, layer), below in zip(problem.model.named_layers(), [None, *kept[2]], strict=False)
    ]

    def bound(which: Program, kinds: Any) -> Callable[..., Any]:
        if not hooks and which.keys.isdisjoint(key._replace(layer="") for key in code):
            return which.native
        order = (each for each in reversed(layers) if isinstance(each[1], kinds))  # as they are called

        def call(*arguments: Any) -> Any:
            name, _, below = next(order)
            here = {key._replace(layer=""): line for key, line in code.items() if key.layer in ("", name)}
            return which.run(arguments, {"below": below and below.values}, here, (hooks or {}).get(name, {}))

        return call

    names = {
        **OF_LOSSES,
        "lstm": SimpleNamespace(backward=bound(LSTM_BACKWARD, LSTM)),
        "dense": SimpleNamespace(backward=bound(DENSE_BACKWARD, Dense | TimeDistributed)),
        "forward": lambda *_: kept,
        "traced": lambda *_: {},
    }
    return BACKPROPAGATE.bind(code, names)(*inputs(problem))


def of_layer(code: Code, name: str) -> Code:
    """The same lines exchanged in one layer alone."""
    return {key._replace(layer=name): line for key, line in code.items()}
