"""One forward pass and one `tf.GradientTape`: the output, the loss and every gradient of Keras."""

from typing import Any, NamedTuple

import numpy as np

from reference_impl import LSTM, Inputs, Sequential
from reference_impl.sequential import own
from reference_impl.spec import Array, Arrays, Shape
from tf_oracle.models import build, get_weights, set_weights, variables
from tf_oracle.start import load


class LayerSummary(NamedTuple):
    """What Keras says of one layer of the twin."""

    name: str
    kind: str
    output_shape: Shape
    parameters: int


class OraclePass(NamedTuple):
    """What Keras and TensorFlow computed, by the same tensor names as the handwritten side."""

    output: Array
    loss: float
    gradients: Arrays
    weights: Arrays  # read back from the Keras variables after they were set
    layers: list[LayerSummary]


def run(model: Sequential, inputs: Inputs, loss: str | None) -> OraclePass:
    """Build the twin, give it the weights, run it once on the tape.

    Arguments as for `Sequential.run`. Deterministic. Raises OracleUnavailable.
    """
    tf = load().tf
    twin, watched = prepare(model, inputs)
    with tf.GradientTape() as tape:
        tape.watch(list(watched.values()))
        output, value = forward(model, twin, watched, inputs, loss)

    sources = {**variables(twin), **watched}
    found = tape.gradient(
        value,
        [getattr(source, "value", source) for source in sources.values()],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return OraclePass(
        output=output.numpy(),
        loss=float(value),
        gradients={name: gradient.numpy() for name, gradient in zip(sources, found, strict=True)},
        weights=get_weights(twin),
        layers=[
            LayerSummary(layer.name, type(layer).__name__, tuple(layer.output.shape), layer.count_params())
            for layer in twin.layers
        ],
    )


def prepare(model: Sequential, inputs: Inputs) -> tuple[Any, dict[str, Any]]:
    """The twin with its weights, and as tensors `x` and every initial state by tensor name."""
    x = inputs.x
    twin = build(model, x.shape, x.dtype.name)
    set_weights(twin, inputs.weights)
    zeros = {name: np.zeros(shape, x.dtype) for name, shape in model.state_shapes(x.shape).items()}
    arrays = {"x": x, **zeros, **inputs.initial_state}
    return twin, {name: load().tf.constant(array) for name, array in arrays.items()}


def forward(
    model: Sequential, twin: Any, watched: dict[str, Any], inputs: Inputs, loss: str | None
) -> tuple[Any, Any]:
    """Output and loss of the twin, as tensors; a GradientTape around the call records it."""
    tf = load().tf
    target, output = tf.constant(inputs.y), watched["x"]
    for (name, layer), keras_layer in zip(model.named_layers(), twin.layers, strict=True):
        if isinstance(layer, LSTM):
            state = own(watched, name)
            output = keras_layer(output, initial_state=[state["initial_h"], state["initial_c"]])
        else:
            output = keras_layer(output)
    value = (
        tf.reduce_sum(target * output) if loss is None else keras_loss(loss, inputs.y.dtype)(target, output)
    )
    return output, value


def keras_loss(loss: str, dtype: np.dtype) -> Any:
    """The `keras.losses` object by function name, computing in `dtype` (Keras's default is float32)."""
    class_name = "".join(word.capitalize() for word in loss.split("_"))
    return getattr(load().keras.losses, class_name)(dtype=dtype.name)
