"""Forward passes of another model: other activations, other gates, other states, looked at where the output
is wrong and no edit of a single forward equation gives it.
"""

from collections.abc import Iterator
from functools import cache

from reference_impl import LSTM
from reference_impl.activations import ACTIVATIONS
from reference_impl.arguments import REQUIRED
from tapecheck.faults import program
from tapecheck.faults.equations import Which, called
from tapecheck.faults.fault import Fault
from tapecheck.faults.places import location_of
from tapecheck.problem import Problem

# What each gate and the cell is called after its activation, the line that has it, and the backward lines
# in which its derivative stands: with another activation these are the right ones for it.
ACTIVATED = {
    **{k: (f"z_{k}", f"dz_{k}", f"dz_{k} = {{}}(d{k}, z_{k}, {k})") for k in "ifgo"},
    "phi_c": ("c", "dc", "dc = {}(dh * o, c, phi_c) + dc_next"),
}
# Keras 1 and 2 had this one under the name of the hard sigmoid.
CLIPPED = "np.clip(0.2 * {} + 0.5, 0, 1)"
OTHER = "activation({!r}).{}"


def other_forwards(problem: Problem) -> tuple[Fault, ...]:
    """Forward faults of the model's LSTMs."""
    lstms = [layer for layer in problem.model.layers if isinstance(layer, LSTM)]
    return _other_forwards(lstms[0].recurrent_activation, lstms[0].activation) if lstms else ()


@cache
def _other_forwards(sigma: Which, phi: Which) -> tuple[Fault, ...]:
    return (*other_activations(called(sigma), called(phi)), *other_equations())


def other_activations(sigma: str, phi: str) -> Iterator[Fault]:
    """Each activation of Keras in place of a gate's, of all gates', or of both of the tanh."""
    right = {k: phi if k in ("g", "phi_c") else sigma for k in ACTIVATED}
    groups = [*((k,) for k in ACTIVATED), ("i", "f", "o"), ("g", "phi_c")]
    for group in groups:
        for name, entry in ACTIVATIONS.items():
            if name is None or name in (right[group[0]], "linear") or REQUIRED in entry.defaults.values():
                continue
            value, backward = OTHER.format(name, "value"), OTHER.format(name, "backward")
            yield fault(
                {k: f"{value}({ACTIVATED[k][0]})" for k in group},
                {k: f"{right[k]}({ACTIVATED[k][0]})" for k in group},
                {k: f"{name}({ACTIVATED[k][0]})" for k in group},
                {ACTIVATED[k][1]: ACTIVATED[k][2].format(backward) for k in group},
            )
        yield fault(
            {k: CLIPPED.format(ACTIVATED[k][0]) for k in group},
            {k: f"{right[k]}({ACTIVATED[k][0]})" for k in group},
            {k: CLIPPED.format(ACTIVATED[k][0]).removeprefix("np.") for k in group},
            {},
        )


def other_equations() -> Iterator[Fault]:
    """Gates that depend on each other, peepholes, biases and states that are others."""
    sigma = {k: f"{k} = {'phi' if k == 'g' else 'sigma'}(z_{k})" for k in "ifgo"}
    for k, other in (("i", "f"), ("f", "i")):
        yield fault({k: f"1 - sigma(z_{other})"}, {k: f"sigma(z_{k})"}, {k: f"1 - {other}"})
    for k in "ifgo":
        for j in "ifgo":
            if j != k:
                once = f"{'phi' if j == 'g' else 'sigma'}(z_{j})"
                twice = f"{'phi' if k == 'g' else 'sigma'}({once})"
                right = sigma[k].partition(" = ")[2]
                yield fault({k: twice}, {k: right}, {k: twice.replace(once, j)})
    peeps = {"i": "c_prev", "f": "c_prev", "o": "c"}
    for group in (("i",), ("f",), ("o",), ("i", "f"), ("i", "f", "o")):
        peeping = {k: f"sigma(z_{k} + {peeps[k]})" for k in group}
        yield fault(peeping, {k: f"sigma(z_{k})" for k in group}, peeping)
    blocks = "np.split(weights['bias'], 4)"
    gates = "ifgo"
    for n, k in enumerate(gates):
        yield fault(
            {"b": f"np.tile({blocks}[{n}], 4)"}, {"b": "b"}, {"b": f"b_{k} for every gate"}, quantity="z"
        )
        for m, j in enumerate(gates):
            if j != k:
                mixed = ", ".join(f"{blocks}[{m if p == n else p}]" for p in range(4))
                yield fault(
                    {"b": f"np.concatenate([{mixed}])"},
                    {"b": "b"},
                    {"b": f"b with b_{j} for gate {k}"},
                    quantity="z",
                )
    forget = "np.repeat([0, {}, 0, 0], len(weights['bias']) // 4)"
    for more, said in (
        ("1", "b with 1 added for the forget gate"),
        ("-1", "b with 1 taken off for the forget gate"),
    ):
        yield fault({"b": f"weights['bias'] + {forget.format(more)}"}, {"b": "b"}, {"b": said}, quantity="z")
    twice = "np.repeat([1, 2, 1, 1], len(weights['bias']) // 4)"
    yield fault(
        {"b": f"weights['bias'] * {twice}"}, {"b": "b"}, {"b": "b with b_f added twice"}, quantity="z"
    )
    start = {"h": "given['initial_h']", "c": "given['initial_c']"}
    for zero in ("h", "c", "hc"):
        wrong = ", ".join(f"0 * {start[k]}" if k in zero else start[k] for k in "hc")
        said = " and ".join(f"initial_{k}" for k in zero)
        yield fault(
            {"h, c": wrong}, {"h, c": "initial_h, initial_c"}, {"h, c": f"0 for {said}"}, quantity="h"
        )
    for name in ("c", "phi_c", "o", "h_prev", "c_prev"):
        every = f"np.stack([s['{name}'] for s in steps], axis=1)"
        read = f"{every} if layer.return_sequences else steps[-1]['{name}']"
        yield fault(
            {"output": read},
            {"output": "h of each step"},
            {"output": f"{name} of each step"},
            quantity="h",
            note="the recurrence is right, and another value goes up to the next layer",
        )
    for limit in (1, 3, 5, 10):
        yield fault(
            {"c": f"np.clip(f * c_prev + i * g, -{limit}, {limit})"},
            {"c": "f * c_prev + i * g"},
            {"c": f"clip(f * c_prev + i * g, -{limit}, {limit})"},
        )


def fault(
    lines: dict[str, str],
    right: dict[str, str],
    wrong: dict[str, str],
    own: dict[str, str] | None = None,
    quantity: str = "",
    note: str = "",
) -> Fault:
    """The fault of these forward lines, by target; `own` are the backward lines that belong to them."""
    first = program.LSTM_FORWARD.lines[next(iter(lines))]

    def said(equations: dict[str, str]) -> str:
        return "; ".join(f"{target} = {text}" for target, text in equations.items())

    def code(given: dict[str, str], where: program.Program) -> program.Code:
        return {
            where.lines[target].key: program.compiled_lines(f"{target} = {text}")
            for target, text in given.items()
        }

    return Fault(
        *(
            quantity or next(iter(lines)).replace("phi_c", "h"),
            "a different forward",
            said(right),
            said(wrong),
        ),
        location_of(first),
        "forward",
        note,
        code(lines, program.LSTM_FORWARD),
        own={
            program.LSTM_BACKWARD.lines[target].key: program.compiled_lines(text)
            for target, text in (own or {}).items()
        },
    )
