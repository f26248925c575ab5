"""Regularizers at work in a model: their penalties are part of the loss, their gradients of its gradients.

    loss = ... + sum of penalty(w) + sum of penalty(y) / B        y the outputs of a layer, B samples

Keras divides the penalty on a layer's outputs by the batch size, and on a weight not. An LSTM that returns
its states has three outputs. Both forms, fast and textbook, use these functions; each is generic in its
arithmetic. Source: keras/src/layers/layer.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reference_impl import constraints, regularizers
from reference_impl.activations import activation
from reference_impl.regularizers import REGULARIZERS, Regularizer
from reference_impl.spec import WEIGHTS, Array, Arrays, Layer, Shape, look_up

# The outputs of one layer by name: "y", and of an LSTM that returns its states "final_h" and "final_c".
Outputs = Mapping[str, Array]


def activity(layer: Layer) -> Regularizer | None:
    """The regularizer of a layer's outputs."""
    value = getattr(layer, "activity_regularizer", None)
    return None if value is None else look_up(REGULARIZERS, value)


def outputs_of(layer: Layer, y: Array, final_state: Arrays) -> Outputs:
    """What the layer returns, where a regularizer acts on it; {} where none does."""
    if activity(layer) is None:
        return {}
    return {"y": y, **(final_state if getattr(layer, "return_state", False) else {})}


def penalty(layers: Iterable[tuple[Layer, Arrays, Outputs]]) -> Any:
    """The sum of all penalties, a scalar, over layers with their weights, by their own names, and outputs."""
    total: Any = 0
    for layer, weights, outputs in layers:
        for tensor, value in layer.of_weights("regularizer").items():
            total = total + look_up(REGULARIZERS, value).value(weights[tensor])
        regularizer = activity(layer)
        if regularizer is not None:
            total = total + sum(regularizer.value(output) / len(output) for output in outputs.values())
    return total


def d_weights(layer: Layer, weights: Arrays) -> Arrays:
    """The gradient of the penalties on the layer's weights, by its own tensor names."""
    return {
        tensor: look_up(REGULARIZERS, value).backward(weights[tensor])
        for tensor, value in layer.of_weights("regularizer").items()
    }


def d_outputs(layer: Layer, outputs: Outputs, logits: Array | None = None) -> Arrays:
    """The gradient of the penalties on the layer's outputs, by their names. With `logits` that of "y" is
    taken on through the layer's activation, for a loss whose gradient is that of the logits.
    """
    regularizer = activity(layer)
    if regularizer is None:
        return {}
    found = {name: regularizer.backward(output) / len(output) for name, output in outputs.items()}
    if logits is not None:
        through = activation(getattr(layer, "activation", None))
        found["y"] = through.backward(found["y"], logits, outputs["y"])
    return found


# ---- what can be wrong

ARGUMENTS = {
    "_regularizer": regularizers.regularizer_problems,
    "_constraint": constraints.constraint_problems,
}


def argument_problems(layer: Layer) -> list[str]:
    """What is wrong with the layer's regularizers and constraints themselves, a sentence each."""
    return [
        problem
        for argument, value in layer.arguments().items()
        for end, problems in ARGUMENTS.items()
        if argument.endswith(end)
        for problem in problems(argument, value)
    ]


def shape_problems(layer: Layer, input_shape: Shape) -> list[str]:
    """Which of them cannot act on an array of the shape that it would be given, a sentence each."""
    shapes, said = layer.weight_shapes(input_shape), []
    words = {tensor: word for word, tensor in WEIGHTS.items()}
    for kind, unfit in (("regularizer", regularizers.unfit_for), ("constraint", constraints.unfit_for)):
        for tensor, value in layer.of_weights(kind).items():
            said += unfit(f"{words[tensor]}_{kind}", value, shapes[tensor])
    of_outputs = getattr(layer, "activity_regularizer", None)
    return said + regularizers.unfit_for("activity_regularizer", of_outputs, layer.output_shape(input_shape))
