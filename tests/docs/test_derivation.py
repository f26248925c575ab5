"""docs/derivation.md against the code that it quotes: every equation, its order, its shape, and what each
mistake of its table really leaves behind.
"""

import ast
import contextlib
import inspect
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest

from reference_impl import LSTM, Dense, Sequential
from reference_impl.sequential import own
from reference_impl.textbook import backpropagate, dense, lstm
from tapecheck import Case, Problem
from tapecheck.compare import FACTOR, FLOOR, errors
from tapecheck.exact import exact

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "derivation.md").read_text(encoding="utf-8")

# A quoted equation: [`code`][label], and its shape where one follows.
QUOTES = re.findall(r"\[`([^`]+)`\]\[(\w+)\](?: `(\([^`]*\))`)?", PAGE)
FILES = {label: DOCS / path for label, path in re.findall(r"^\[(\w+)\]: (\S+)$", PAGE, flags=re.MULTILINE)}
# A row of the table of mistakes: its name, the right line, the wrong one, what is wrong at T = 5 and T = 1.
MISTAKES = re.findall(r"^\| (.+?) \| `(.+?)` \| `(.+?)` \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)

Figures = Callable[[str], str]


def test_every_block_of_the_page_is_tested(blocks: dict[str, list[str]]) -> None:
    """No output stands on the page but that of its Python block; the other blocks are the three rules."""
    assert list(blocks) == ["Three rules", "The fast form"]


def test_every_quote_stands_in_the_code() -> None:
    """What the page quotes is a line of the file that it links to, but for the line's comment."""
    lines = {
        label: [line.partition("  #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
        for label, file in FILES.items()
    }
    assert len(QUOTES) >= 40
    assert [code for code, label, _ in QUOTES if code not in lines[label]] == []


def equations(function: Callable[..., Any]) -> list[str]:
    """The equations of a textbook function in the order of its source, those of its loop where it has
    one: every assignment that does not merely fetch from, or put into, a container.
    """
    tree = ast.parse(inspect.getsource(function))
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    within = (
        ast.walk(tree) if not loops else [node for line in plain(loops[0].body) for node in ast.walk(line)]
    )
    found = [node for node in within if isinstance(node, ast.Assign)]
    containers = {"weights", "values", "steps", "gradients"}
    return [
        ast.unparse(node)
        for node in sorted(found, key=lambda node: node.lineno)
        if not containers & {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    ]


def plain(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that every model runs: what stands under an `if` has a section of its own."""
    return [statement for statement in body if not isinstance(statement, ast.If)]


@pytest.mark.parametrize(
    "function",
    [dense.forward, dense.backward, lstm.forward, lstm.backward],
    ids=lambda function: f"{function.__module__.rpartition('.')[2]}.{function.__name__}",
)
def test_every_equation_is_derived_in_order(function: Callable[..., Any]) -> None:
    """The page quotes every equation of the textbook, in the order in which the textbook computes them."""
    expected = equations(function)
    label = function.__module__.rpartition(".")[2]
    quoted = [ast.unparse(ast.parse(code)) for code, file, _ in QUOTES if file == label]
    assert len(expected) >= 2
    assert [code for code in quoted if code in expected] == expected


def case(timesteps: int) -> Case:
    """The model of the table: distinct B, T, D, H and K."""
    model = Sequential([LSTM(6, return_sequences=True), Dense(2)])
    return Case("derivation", model, batch=3, timesteps=timesteps, features=4)


def run_textbook(problem: Problem) -> Any:
    """The textbook's pass on a problem."""
    return backpropagate(problem.model, problem, problem.loss)


def local_values(*functions: Callable[..., Any]) -> dict[CodeType, dict[str, Any]]:
    """What the local names of each function hold when it returns, in one pass of the textbook."""
    found: dict[CodeType, dict[str, Any]] = {function.__code__: {} for function in functions}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code in found:
            found[frame.f_code] = dict(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        run_textbook(case(5).problem())
    finally:
        sys.setprofile(before)
    return found


def test_shapes() -> None:
    """Every shape that the page gives is the shape that the textbook's value has."""
    found = local_values(dense.forward, dense.backward, lstm.forward, lstm.backward)
    sizes = {"B": 3, "T": 5, "D": 4, "H": 6, "K": 2}
    given = [(code.partition(" = ")[0], label, shape) for code, label, shape in QUOTES if shape]
    assert len(given) >= 30
    for name, label, shape in given:
        functions = {"dense": (dense.forward, dense.backward), "lstm": (lstm.forward, lstm.backward)}[label]
        values = [found[f.__code__][name] for f in functions if name in found[f.__code__]]
        assert {value.shape for value in values} == {eval(shape, sizes)}, f"{name} {shape}"


@pytest.mark.parametrize(
    ("name", "right", "wrong", "at_5", "at_1"), MISTAKES, ids=[row[0] for row in MISTAKES]
)
def test_mistake(name: str, right: str, wrong: str, at_5: str, at_1: str) -> None:
    """The edited backward pass has just those tensors wrong that the page says, with 5 steps and with 1."""
    assert (wrong_tensors(right, wrong, 5), wrong_tensors(right, wrong, 1)) == (at_5, at_1)


def test_there_are_mistakes() -> None:
    """The table of the page is read at all, and an edit that changes nothing leaves nothing wrong."""
    assert len(MISTAKES) >= 12
    assert wrong_tensors("dc_next = dc * f", "dc_next = f * dc", 5) == "none"


def wrong_tensors(right: str, wrong: str, timesteps: int) -> str:
    """Which gradients come out wrong with the line `right` of the textbook written as `wrong`."""
    source = inspect.getsource(lstm.backward)
    assert source.count(right) == 1
    edited = ModuleType("edited")
    vars(edited).update(vars(lstm))
    exec(source.replace(right, wrong), vars(edited))

    problem = case(timesteps).problem()
    truth = exact(problem).tensors
    layer, weights = problem.model.layers[0], own(problem.weights, "lstm")
    _, steps, _ = lstm.forward(layer, weights, problem.x, own(problem.initial_state, "lstm"))
    dy = 2 * (problem.reference.output - problem.y) / problem.y.size
    dh_above = dy @ problem.weights["dense/kernel"].T
    gradients, _ = edited.backward(layer, weights, steps, dh_above)
    names = {
        "kernel": "lstm/kernel",
        "recurrent_kernel": "lstm/recurrent_kernel",
        "bias": "lstm/bias",
        "x": "x",
    }
    found = [
        name
        for name, full in names.items()
        if errors(full, gradients[name], truth[full], problem.dtype).max() > FACTOR * FLOOR
    ]
    return "all" if len(found) == len(names) else ", ".join(found) or "none"


def test_python_block(figures: Figures) -> None:
    """The page's Python block, run as it stands, prints what is shown below it."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block, {})
    assert printed.getvalue().strip() == figures("The fast form")
