"""One forward pass and one `tf.GradientTape`: the output, the loss and every gradient of Keras."""

from typing import Any, NamedTuple

import numpy as np

from reference_impl import LSTM, Dropout, Inputs, Named, Sequential
from reference_impl.sequential import own
from reference_impl.spec import Array, Arrays, BadInput, Shape
from tf_oracle.losses import keras_loss
from tf_oracle.models import build, draw_dropout, get_weights, set_weights, variables
from tf_oracle.start import load, quiet


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


def run(model: Sequential, inputs: Inputs, loss: str | Named | None) -> OraclePass:
    """Build the twin, give it the weights, run it once on the tape.

    Arguments as for `Sequential.run`. Deterministic. Raises OracleUnavailable, and BadInput for dropout
    factors that are not those that Keras draws.
    """
    tf = load().tf
    twin, watched = prepare(model, inputs)
    with tf.GradientTape() as tape:
        tape.watch(list(watched.values()))
        output, value = forward(model, twin, watched, inputs, loss)

    sources = {name: variable.value for name, variable in variables(twin).items()} | watched
    found = tape.gradient(
        value,
        list(sources.values()),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return OraclePass(
        output=output.numpy(),
        loss=float(value),
        gradients={name: gradient.numpy() for name, gradient in zip(sources, found, strict=True)},
        weights=get_weights(twin),
        layers=[
            LayerSummary(layer.name, type(layer).__name__, output_shape(layer), layer.count_params())
            for layer in twin.layers
        ],
    )


def output_shape(keras_layer: Any) -> Shape:
    """The shape of a layer's output, without the states that it returns besides."""
    output = keras_layer.output
    return tuple((output[0] if isinstance(output, list | tuple) else output).shape)


def prepare(model: Sequential, inputs: Inputs) -> tuple[Any, dict[str, Any]]:
    """The twin with its weights, after the earlier batches; and what is watched besides the weights: `x`
    and every initial state by tensor name. Those of a stateful layer are the layer's own variables.
    """
    x, dtype = inputs.x, inputs.x.dtype.name
    twin = build(model, x.shape, dtype)
    set_weights(twin, inputs.weights)
    if inputs.dropout:
        earlier = sum(batch is not None for batch in inputs.before)
        refuse_other_draws(inputs.dropout, draw_dropout(model, x.shape, dtype, earlier))
    constant = load().tf.constant
    zeros = {name: np.zeros(shape, x.dtype) for name, shape in model.state_shapes(x.shape).items()}
    states = {name: constant(array) for name, array in {**zeros, **inputs.initial_state}.items()}
    for name in model.stateful_names:
        for variable, tensor in zip(twin.get_layer(name).states, ("initial_h", "initial_c"), strict=True):
            variable.assign(states[f"{name}/{tensor}"])
            states[f"{name}/{tensor}"] = variable.value
    for batch in inputs.before:
        if batch is None:
            for name in model.stateful_names:
                twin.get_layer(name).reset_state()
        else:
            call(model, twin, {"x": constant(batch), **states}, training=False)
    return twin, {"x": constant(x), **states}


def refuse_other_draws(given: Arrays, drawn: Arrays) -> None:
    """Raise BadInput where dropout factors are not those that Keras itself draws."""
    other = [name for name, factors in drawn.items() if differs(factors, given.get(name))]
    if other:
        raise BadInput(
            "these dropout factors",
            [
                f"`dropout[{name!r}]` is not what Keras draws with the layer's seed (see "
                "`tf_oracle.draw_dropout`): nothing could be compared"
                for name in other
            ],
        )


def differs(array: Array, other: Array | None) -> bool:
    """Whether two arrays are not the same."""
    return other is None or not np.array_equal(array, other)


def forward(
    model: Sequential, twin: Any, watched: dict[str, Any], inputs: Inputs, loss: str | Named | None
) -> tuple[Any, Any]:
    """Output and loss of the twin, as tensors; a GradientTape around the call records it."""
    tf = load().tf
    target = tf.constant(inputs.y)
    if inputs.mask is not None:
        load().keras.src.backend.set_keras_mask(watched["x"], tf.constant(inputs.mask))
    output, final_state = call(model, twin, watched, training=bool(inputs.dropout))
    if loss is None:
        value = tf.reduce_sum(target * output)
    else:  # one number already, unless the loss has no reduction
        values = keras_loss(loss, inputs.x.dtype)(target, output, inputs.sample_weight)
        value = tf.reduce_sum(values)
    for name, gradient in inputs.upstream.items():
        value += tf.reduce_sum(tf.constant(gradient) * final_state[name])
    for penalty in [each for layer in twin.layers for each in layer.losses]:
        value += penalty
    return output, value


def call(model: Sequential, twin: Any, tensors: dict[str, Any], *, training: bool) -> tuple[Any, Any]:
    """The layers one after the other: the output, and the final states that are outputs, by tensor name."""
    output = tensors["x"]
    final_state: dict[str, Any] = {}
    with quiet():
        for (name, layer), keras_layer in zip(model.named_layers(), twin.layers, strict=True):
            arguments: dict[str, Any] = {"training": training} if isinstance(layer, LSTM | Dropout) else {}
            if isinstance(layer, LSTM) and not layer.stateful:
                state = own(tensors, name)
                arguments["initial_state"] = [state["initial_h"], state["initial_c"]]
                # With more than one tensor as argument Keras does not look for a mask (docs/findings.md).
                arguments["mask"] = load().keras.src.backend.get_keras_mask(output)
            output = keras_layer(output, **arguments)
            if isinstance(layer, LSTM) and layer.return_state:
                output, *final = output
                final_state |= {f"{name}/final_{k}": state for k, state in zip("hc", final, strict=True)}
    return output, final_state
