"""Layer specs to Keras layers, and weights in and out by tensor name."""

import zlib
from typing import Any

import numpy as np

from reference_impl import LSTM, Dropout, Named, Sequential
from reference_impl.initializers import INITIALIZERS
from reference_impl.spec import Array, Arrays, Layer, Shape
from tf_oracle.activations import activation
from tf_oracle.named import constraint, regularizer
from tf_oracle.start import load, quiet


def build(model: Sequential, input_shape: Shape, dtype: str) -> Any:
    """A real, built `keras.Sequential` for an input (B, T, D), with Keras's own initial weights.

    Each layer is `keras.layers.<type>(**spec.arguments())`: the spec's fields are Keras's arguments.
    """
    twins = [twin_of(layer, name, dtype) for name, layer in model.named_layers()]
    layers = load().keras.layers
    with quiet():
        return load().keras.Sequential([layers.Input(batch_shape=input_shape, dtype=dtype), *twins])


def twin_of(layer: Layer, name: str, dtype: str) -> Any:
    """The Keras layer. Where a `seed` is left out it follows from the name, so that every twin of a
    model draws the same. Without a GPU `use_cudnn` could only fail.
    """
    arguments = {
        argument: argument_of(argument, value, name, dtype) for argument, value in layer.arguments().items()
    }
    if "seed" in arguments and arguments["seed"] is None:
        arguments["seed"] = seed_of(name)
    if "use_cudnn" in arguments:
        arguments["use_cudnn"] = False
    return getattr(load().keras.layers, type(layer).__name__)(**arguments, name=name, dtype=dtype)


def argument_of(argument: str, value: Any, name: str, dtype: str) -> Any:
    """A spec's argument as Keras takes it."""
    if isinstance(value, Layer):
        return twin_of(value, f"{name}_inner", dtype)
    if argument in ("activation", "recurrent_activation"):
        return activation(value, dtype)
    if argument.endswith("_regularizer") and value is not None:
        return regularizer(value, dtype)
    if argument.endswith("_constraint") and value is not None:
        return constraint(value)
    if argument.endswith("_initializer"):
        return initializer_of(value, f"{name}/{argument}")
    return value


def initializer_of(value: str | Named, place: str) -> Any:
    """The Keras initializer, with a seed that follows from its place where it takes one and none is given."""
    named = value if isinstance(value, Named) else Named(value)
    arguments = named.arguments
    if "seed" in INITIALIZERS[named.name].defaults and arguments.get("seed") is None:
        arguments["seed"] = seed_of(place)
    return getattr(load().keras.initializers, named.name)(**arguments)


def seed_of(place: str) -> int:
    """A seed for what has a name."""
    return zlib.crc32(place.encode()) % 2**31


def variables(twin: Any) -> dict[str, Any]:
    """The Keras variables by tensor name, such as "lstm/kernel", in Keras's order."""
    return {f"{layer.name}/{variable.name}": variable for layer in twin.layers for variable in layer.weights}


def set_weights(twin: Any, weights: Arrays) -> None:
    """Assign `weights` by tensor name; every variable must be named."""
    for name, variable in variables(twin).items():
        variable.assign(weights[name])


def get_weights(twin: Any) -> Arrays:
    """The weights by tensor name, as NumPy arrays."""
    return {name: variable.numpy() for name, variable in variables(twin).items()}


def initial_weights(model: Sequential, input_shape: Shape, dtype: str) -> Arrays:
    """The weights by tensor name as Keras's own initializers draw them. Raises OracleUnavailable."""
    return get_weights(build(model, input_shape, dtype))


def draw_dropout(model: Sequential, input_shape: Shape, dtype: str, earlier: int = 0) -> Arrays:
    """The dropout factors that Keras draws for a training pass after so many `earlier` batches, by tensor
    name. The same every time: the layers' seeds decide. Raises OracleUnavailable.
    """
    twin = build(model, input_shape, dtype)
    drawn: Arrays = {}
    for (name, layer, given, _), keras_layer in zip(model.shapes(input_shape), twin.layers, strict=True):
        shapes = layer.dropout_shapes(given)
        if isinstance(layer, LSTM) and shapes:
            for _ in range(earlier + 1):  # an LSTM draws for every batch, also where nothing is dropped
                drawn |= {f"{name}/{tensor}": array for tensor, array in cell_factors(keras_layer, given)}
        elif isinstance(layer, Dropout) and shapes:
            drawn[f"{name}/dropout_mask"] = keras_layer(np.ones(given, dtype), training=True).numpy()
    return drawn


def cell_factors(keras_layer: Any, input_shape: Shape) -> list[tuple[str, Array]]:
    """One draw of an LSTM's factors, (G, B, n) each, in the order in which `RNN.call` makes it."""
    cell, (B, _, D) = keras_layer.cell, input_shape
    dtype = keras_layer.compute_dtype
    drawn = {
        "dropout_mask": cell.get_dropout_mask(load().tf.ones((B, D), dtype)),
        "recurrent_dropout_mask": cell.get_recurrent_dropout_mask(load().tf.ones((B, cell.units), dtype)),
    }
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    return [
        (name, np.stack(factors if isinstance(factors, list) else [factors]))
        for name, factors in drawn.items()
        if factors is not None
    ]
