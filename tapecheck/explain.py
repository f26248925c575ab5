"""`tapecheck explain NAME`: a quantity of either pass, its equation, why, and its mistakes; or a fault that
is no single equation.
"""

import re
import textwrap
from typing import NamedTuple

from reference_impl import LSTM, Dense, Sequential
from reference_impl.spec import BadInput, one_of
from tapecheck.case import Case
from tapecheck.faults import RANK, Fault, equation_of, faults, forward_equation_of
from tapecheck.text import indent, table

# What differs between mistakes of one sort: numbers, orders, steps.
VARIANTS = re.compile(r"(?<=times ).*|(?<=order ).*|(?<=steps)\[.*|-?\d[\d.]*")
# Wrong forward equations that nobody writes: 0, the negative, the double.
MULTIPLE = re.compile("= (0$|-|2 )")
# Kinds of mistakes that are shown for a quantity, the commonest first.
SHOWN = 8


class Explanation(NamedTuple):
    """A quantity's shape, and its derivation, or what it is for, in two or three lines."""

    shape: str
    why: str


GATE = (
    "The gate goes through its activation: dz is the gradient of the activated value times the derivative, "
)
EXPLANATIONS = {
    "dy": Explanation(
        "(B, T, K) or (B, K)",
        "The derivative of the loss by the model's output. Keras averages the loss, so its 1/N is in here, "
        "and from here on in every gradient.",
    ),
    "dlogits": Explanation(
        "(B, T, K) or (B, K)",
        "y = activation(logits), elementwise: dy times the derivative, written in the activated y. Softmax "
        "couples the entries of a row, so there it is the product with its Jacobian.",
    ),
    "dW_y": Explanation(
        "(H, K)",
        "logits = h @ W_y for every step of every sample, all under one kernel: the gradient is the sum of "
        "h.T @ dlogits over all of them.",
    ),
    "db_y": Explanation(
        "(K,)", "The bias is added to every row, so its gradient is the sum of the rows of dlogits."
    ),
    "dh_above": Explanation(
        "(B, T, H)",
        "logits = h_t @ W_y goes back as dlogits @ W_y.T. With return_sequences=False the loss sees the "
        "last step alone: dh_above is zero at every other.",
    ),
    "dh": Explanation(
        "(B, H)",
        "h_t is used twice, by the layer above and by the next step, and the gradients of both uses add up.",
    ),
    "do": Explanation("(B, H)", "h = o * tanh(c): the gradient of one factor is dh times the other."),
    "dc": Explanation(
        "(B, H)",
        "c_t is used twice: in h = o * tanh(c), which gives dh * o * (1 - tanh(c)**2), and in the next "
        "step's c = f * c_prev + i * g, which gives dc_next.",
    ),
    "di": Explanation(
        "(B, H)", "c = f * c_prev + i * g: the gradient of i is dc times what i multiplies, g."
    ),
    "df": Explanation(
        "(B, H)",
        "c = f * c_prev + i * g: the gradient of f is dc times what f multiplies, the cell state of the step "
        "before; at t = 0 that is the initial state.",
    ),
    "dg": Explanation(
        "(B, H)", "c = f * c_prev + i * g: the gradient of g is dc times what g multiplies, i."
    ),
    "dz_i": Explanation("(B, H)", GATE + "i * (1 - i) for the sigmoid, with i already activated."),
    "dz_f": Explanation("(B, H)", GATE + "f * (1 - f) for the sigmoid, with f already activated."),
    "dz_g": Explanation("(B, H)", GATE + "1 - g**2 for tanh, with g already activated."),
    "dz_o": Explanation("(B, H)", GATE + "o * (1 - o) for the sigmoid, with o already activated."),
    "dz": Explanation(
        "(B, 4H)", "The four gates' gradients side by side, in the kernel's order: i, f, g, o."
    ),
    "dW_x": Explanation(
        "(D, 4H)", "z = x_t @ W_x + ... at every step with the same W_x: each step adds its own x_t.T @ dz."
    ),
    "dW_h": Explanation(
        "(H, 4H)",
        "z = ... + h_prev @ W_h at every step with the same W_h: each step adds h_prev.T @ dz, with the "
        "hidden state of the step before.",
    ),
    "db": Explanation(
        "(4H,)", "The bias is added to every row at every step: the gradient is the sum of all dz."
    ),
    "dx": Explanation("(B, D)", "z = x_t @ W_x + ... goes back as dz @ W_x.T, to each step's own input."),
    "dh_next": Explanation(
        "(B, H)",
        "What this step sends to the h of the step before: z = ... + h_prev @ W_h goes back as dz @ W_h.T.",
    ),
    "dc_next": Explanation(
        "(B, H)",
        "What this step sends to the c of the step before: c = f * c_prev + ... goes back as dc * f.",
    ),
}
SQUASHED = "Between 0 and 1 for the sigmoid. Kept for the backward pass, where its derivative is "
FORWARD = {
    "z": Explanation(
        "(B, 4H)",
        "All four gates before their activations, one product for each of x_t and h_prev: columns i, f, g, "
        "o in Keras's order (PyTorch's too; TensorFlow 1 had i, g, f, o). At t = 0 h_prev is the initial "
        "state.",
    ),
    "i": Explanation("(B, H)", "The input gate: how much of g comes in. " + SQUASHED + "i * (1 - i)."),
    "f": Explanation("(B, H)", "The forget gate: how much of c_prev stays. " + SQUASHED + "f * (1 - f)."),
    "g": Explanation(
        "(B, H)",
        "What could come in, through `activation`, tanh by default, and not through `recurrent_activation` "
        "as the three gates are. Its derivative is 1 - g**2. Keras calls it c.",
    ),
    "o": Explanation("(B, H)", "The output gate: how much of tanh(c) is shown. " + SQUASHED + "o * (1 - o)."),
    "c": Explanation(
        "(B, H)",
        "The cell state: what stays of the step before, and what comes in. c_prev is c of the step before, "
        "and the initial state at t = 0.",
    ),
    "h": Explanation(
        "(B, H)",
        "The hidden state, which is the output of the step, and h_prev of the next: c through `activation`, "
        "times the output gate.",
    ),
    "logits": Explanation(
        "(B, T, K) or (B, K)", "The head before its activation: the same W_y and b_y at every step."
    ),
    "y": Explanation(
        "(B, T, K) or (B, K)", "What the loss is given: the logits through the head's activation."
    ),
}
# Faults that are no single equation: what each means, and how it shows.
WHOLE = {
    "scale": "All gradients, or those of all weights, are the exact ones times one number: the loss is "
    "averaged over another count of values than Keras's, or its gradient lacks a factor. It shows in the "
    "table as the same `2 x exact` in all those rows.",
    "sign": "Every gradient points the opposite way: dy is y - y_pred, or what is returned is the direction "
    "of descent. It shows as `-1 x exact` in every row.",
    "clipping": "Gradients are cut to a range on their way back, so they are no gradient of the loss; clip "
    "what comes out at the end. It shows only where gradients are large: a thousand times the upstream "
    "gradient does not give a thousand times the answer.",
    "truncation": "The recurrence is cut after some steps, as in truncated backpropagation through time. It "
    "shows from the cut backwards, and not at all in a case with fewer steps.",
    "precision": "The equations are right, and digits are lost: a float32 buffer or cast within float64. "
    "It shows as errors of some 1e9 eps of scale, a few eps of float32; a wrong equation is off by 1e10 and "
    "more.",
    "layout": "The numbers are right and stand in another order: gates, units, or time steps. It shows as a "
    "cosine below 1, mostly with the right norm. If that is your convention, declare it with "
    "tapecheck.layout.Layout.",
    "cache": "The backward pass of a step reads what another step's forward pass left: one set of values is "
    "kept for all steps, or the index is off by one. It shows only where there is more than one step.",
    "mask": "A masked step counts for nothing: its states are those of the step before, and the gradients "
    "that come to it go past it, to that step. It shows only in a case with a mask.",
}


def explain(name: str) -> str:
    """The text for a quantity of FORWARD or EXPLANATIONS, or a fault of WHOLE. Raises BadInput for another
    name.
    """
    problems = one_of("NAME", name, [*FORWARD, *EXPLANATIONS, *WHOLE])
    if problems:
        raise BadInput("this quantity", problems)
    if name in WHOLE:
        lines, why = [f"{name}  (no single equation)"], WHOLE[name]
    else:
        shape, why = (FORWARD | EXPLANATIONS)[name]
        equation, location = forward_equation_of(name) if name in FORWARD else equation_of(name)
        lines = [f"{name}  {shape}", f"  {equation}  ({location})"]
    lines += textwrap.wrap(why, 88, initial_indent="  ", subsequent_indent="  ")
    mistakes = known_mistakes(name)
    if mistakes:
        order = "one of each kind, the most common kind first" if name in EXPLANATIONS else "the shortest"
        lines += ["", f"  mistakes known here, {order}"]
        rows = [[f"- {wrong}", f"({kind})"] for wrong, kind in mistakes[:SHOWN]]
        lines += indent(table(["", ""], rows, left=(0, 1))[1:])
    return "\n".join(lines)


def known_mistakes(quantity: str) -> list[tuple[str, str]]:
    """The shortest wrong equation of every kind of mistake in this quantity, by how common the kind is. Of
    a fault of WHOLE, which is one kind or two, the shortest of those that differ in more than a number; of
    the forward pass, which is one kind, all but those that nobody makes, 0 and multiples.
    """
    model = Sequential([LSTM(3, return_sequences=True), Dense(2, activation="tanh")])
    mask = "trailing" if quantity == "mask" else None
    problem = Case("explain", model, initial_state="random", mask=mask).problem()
    here = [
        fault
        for fault in faults(problem)
        if fault.quantity == quantity
        and (fault.location or quantity in WHOLE)
        and not (quantity in FORWARD and MULTIPLE.search(fault.wrong))
    ]
    here.sort(key=lambda fault: (RANK[fault.kind], len(fault.wrong)))
    shortest: dict[tuple[str, str], Fault] = {}
    for fault in here:
        if quantity in EXPLANATIONS:
            sort = ""  # the kind is enough
        else:
            sort = fault.wrong if quantity in FORWARD else VARIANTS.sub("", fault.wrong)
        shortest.setdefault((fault.kind, sort), fault)
    return [(fault.wrong, fault.kind) for fault in shortest.values()]
