"""The stack, forward and then backward in the opposite order, with the same headings."""

from typing import Any, NamedTuple

import numpy as np

from reference_impl.dense import Dense
from reference_impl.flatten import Flatten
from reference_impl.inputs import Inputs
from reference_impl.losses import LOSSES
from reference_impl.lstm import LSTM
from reference_impl.sequential import Sequential, own
from reference_impl.spec import Array, Arrays
from reference_impl.textbook import dense, lstm


class Pass(NamedTuple):
    """One forward and backward pass in the arithmetic of its input."""

    output: Array  # (B, K) or (B, T, K)
    loss: Any  # a scalar
    gradients: Arrays  # by tensor name: weights, "x", initial states
    trace: Arrays  # by tensor name: "lstm/i", …, "lstm/dz_i", …, each (B, T, H)


def forward(model: Sequential, inputs: Inputs, loss: str | None) -> tuple[Array, Any, list[Any]]:
    """Output, loss and each layer's values for the backward pass."""
    x, y, weights = inputs.x, inputs.y, inputs.weights
    values: list[Any] = []
    kept: Any  # as each layer's backward pass takes it
    for name, layer in model.named_layers():
        if isinstance(layer, LSTM):
            zero = np.zeros((len(x), layer.units), x.dtype)
            state = {"initial_h": zero, "initial_c": zero} | own(inputs.initial_state, name)
            x, kept = lstm.forward(layer, own(weights, name), x, state)
        elif isinstance(layer, Flatten):
            x, kept = layer.forward({}, x, {})
        elif isinstance(layer, Dense):
            x, kept = dense.forward(layer, own(weights, name), x)
        values.append(kept)

    of_logits = model.loss_of_logits(loss)
    value = LOSSES[loss].value(y, x) if of_logits is None else of_logits.value(y, values[-1]["logits"])
    return x, value, values


def backpropagate(model: Sequential, inputs: Inputs, loss: str | None) -> Pass:
    """The whole pass: the loss, and its gradient with respect to every weight, `x` and state."""
    output, value, values = forward(model, inputs, loss)
    y, weights = inputs.y, inputs.weights

    of_logits = model.loss_of_logits(loss)
    dy = (
        LOSSES[loss].backward(y, output) if of_logits is None else of_logits.backward(y, values[-1]["logits"])
    )
    from_logits = of_logits is not None

    gradients: Arrays = {}
    trace: Arrays = {}
    for (name, layer), kept in reversed(list(zip(model.named_layers(), values, strict=True))):
        if isinstance(layer, LSTM):
            found, d_steps = lstm.backward(layer, own(weights, name), kept, dy)
            trace |= traced(name, kept, ("i", "f", "g", "o", "c", "h"))
            trace |= traced(name, d_steps, ("dz_i", "dz_f", "dz_g", "dz_o", "dc", "dh"))
        elif isinstance(layer, Flatten):
            found = layer.backward({}, kept, dy)
        elif isinstance(layer, Dense):
            found = dense.backward(layer, own(weights, name), kept, dy, from_logits)
            from_logits = False
        dy = found.pop("x")
        gradients |= {f"{name}/{tensor}": array for tensor, array in found.items()}
    return Pass(output, value, {"x": dy} | gradients, trace)


def traced(name: str, steps: list[lstm.Step], quantities: tuple[str, ...]) -> Arrays:
    """The `quantities` of all steps as tensors (B, T, H)."""
    return {f"{name}/{q}": np.stack([step[q] for step in steps], axis=1) for q in quantities}
