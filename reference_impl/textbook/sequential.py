"""The stack, forward and then backward in the opposite order, with the same headings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from reference_impl import penalties
from reference_impl.dense import Dense
from reference_impl.inputs import Inputs
from reference_impl.losses import LOSSES, Loss
from reference_impl.lstm import LSTM
from reference_impl.penalties import Outputs
from reference_impl.sequential import Sequential, own
from reference_impl.spec import Array, Arrays, Named, look_up
from reference_impl.textbook import dense, lstm
from reference_impl.time_distributed import TimeDistributed


class Pass(NamedTuple):
    """One forward and backward pass in the arithmetic of its input."""

    output: Array  # (B, K) or (B, T, K)
    loss: Any  # a scalar
    gradients: Arrays  # by tensor name: weights, "x", initial states
    trace: Arrays  # by tensor name: "lstm/i", …, "lstm/dz_i", …, each (B, T, H)


class Kept(NamedTuple):
    """What one layer leaves for the backward pass."""

    given: Mapping[str, Array]  # states, dropout factors and the mask
    values: Any  # as the layer's own backward pass takes them
    mask: Array | None  # (B, T), of its output
    outputs: Outputs  # those that an activity regularizer acts on


def forward(model: Sequential, inputs: Inputs, loss: str | Named | None) -> tuple[Array, Any, list[Kept]]:
    """Output, loss and each layer's values for the backward pass."""
    given = carried(model, inputs) | inputs.dropout
    x, kept, final_state = through(model, inputs.weights, inputs.x, given, inputs.mask)

    y = inputs.y
    used, of = loss_and_what_it_is_of(model, loss, x, kept)
    each = used.value(y, of)  # (B,), or (B, T)
    w = used.factors(y, each, inputs.sample_weight, kept[-1].mask)
    value = np.sum(w * each)
    for name, gradient in inputs.upstream.items():
        value = value + (gradient * final_state[name]).sum()
    layers = list(model.named_layers())
    value = value + penalties.penalty(
        (layer, own(inputs.weights, name), here.outputs)
        for (name, layer), here in zip(layers, kept, strict=True)
    )
    return x, value, kept


def carried(model: Sequential, inputs: Inputs) -> Arrays:
    """The initial states of the pass: those given, or what earlier batches have left. They are where this
    pass starts, so no gradient goes back into those batches.
    """
    states = inputs.initial_state
    for batch in inputs.before:
        left = {} if batch is None else through(model, inputs.weights, batch, states, None)[2]
        states = states | model.stateful_only(left, inputs.x)
    return states


def through(
    model: Sequential, weights: Arrays, x: Array, given: Arrays, mask: Array | None
) -> tuple[Array, list[Kept], Arrays]:
    """The layers one after the other: output, what each keeps, and the final states by tensor name."""
    kept: list[Kept] = []
    final_state: Arrays = {}
    values: Any
    for name, layer in model.named_layers():
        here = {tensor: np.zeros(shape, x.dtype) for tensor, shape in layer.state_shapes(x.shape).items()}
        here |= own(given, name)
        if mask is not None:
            here["mask"] = mask
        mask = layer.output_mask(x, mask)
        final: Arrays = {}
        if isinstance(layer, LSTM):
            x, values, final = lstm.forward(layer, own(weights, name), x, here)
            final_state |= {f"{name}/{tensor}": state for tensor, state in final.items()}
        elif isinstance(layer, Dense | TimeDistributed):
            x, values = dense.forward(dense_of(layer), own(weights, name), x)
        else:  # moves, masks and factors, the same in both forms
            x, values = layer.forward({}, x, here)
        kept.append(Kept(here, values, mask, penalties.outputs_of(layer, x, final)))
    return x, kept, final_state


def backpropagate(model: Sequential, inputs: Inputs, loss: str | Named | None) -> Pass:
    """The whole pass: the loss, and its gradient with respect to every weight, `x` and state."""
    output, value, kept = forward(model, inputs, loss)
    y, weights = inputs.y, inputs.weights

    used, of = loss_and_what_it_is_of(model, loss, output, kept)
    factors = used.factors(y, used.value(y, of), inputs.sample_weight, kept[-1].mask)
    w, d_loss = used.derivative(factors, of)  # (B, 1), or (B, T, 1)
    dy = w * d_loss(y, of)
    from_logits = of is not output

    gradients: Arrays = {}
    trace: Arrays = {}
    for (name, layer), here in reversed(list(zip(model.named_layers(), kept, strict=True))):
        given, values, _, outputs = here
        upstream = own(inputs.upstream, name)
        d_penalty = penalties.d_outputs(layer, outputs, logits_of(here) if from_logits else None)
        for tensor, d in d_penalty.items():
            if tensor == "y":
                dy = dy + d
            else:
                upstream[tensor] = upstream.get(tensor, 0) + d
        if isinstance(layer, LSTM):
            found, d_steps = lstm.backward(layer, own(weights, name), values, dy, given, upstream)
            trace |= traced(name, values, ("i", "f", "g", "o", "c", "h"))
            trace |= traced(name, d_steps, ("dz_i", "dz_f", "dz_g", "dz_o", "dc", "dh"))
        elif isinstance(layer, Dense | TimeDistributed):
            found = dense.backward(dense_of(layer), own(weights, name), values, dy, from_logits)
        elif from_logits:  # an Activation at the top
            found = {"x": dy}
        else:
            found = layer.backward({}, values, dy)
        from_logits = False  # only the head, which comes first here
        for tensor, d in penalties.d_weights(layer, own(weights, name)).items():
            found[tensor] = found[tensor] + d
        dy = found.pop("x")
        gradients |= {f"{name}/{tensor}": array for tensor, array in found.items()}
    return Pass(output, value, {"x": dy} | gradients, trace)


def dense_of(layer: Dense | TimeDistributed) -> Dense:
    """The Dense layer itself, also of one that is applied to every time step."""
    return layer.layer if isinstance(layer, TimeDistributed) else layer


def loss_and_what_it_is_of(
    model: Sequential, loss: str | Named | None, output: Array, kept: list[Kept]
) -> tuple[Loss, Array]:
    """The loss and the model's output; or its form for the head's logits, and those."""
    of_logits = model.loss_of_logits(loss)
    return (look_up(LOSSES, loss), output) if of_logits is None else (of_logits, logits_of(kept[-1]))


def logits_of(kept: Kept) -> Array:
    """What went into the head's activation."""
    values = kept.values
    logits: Array = values["logits"] if isinstance(values, dict) else values.logits
    return logits


def traced(name: str, steps: list[lstm.Step], quantities: tuple[str, ...]) -> Arrays:
    """The `quantities` of all steps as tensors (B, T, H)."""
    return {f"{name}/{q}": np.stack([step[q] for step in steps], axis=1) for q in quantities}
