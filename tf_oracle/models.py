"""Layer specs to Keras layers, and weights in and out by tensor name."""

from typing import Any

from reference_impl import Sequential
from reference_impl.spec import Arrays, Shape
from tf_oracle.start import load


def build(model: Sequential, input_shape: Shape, dtype: str) -> Any:
    """A real, built `keras.Sequential` for an input (B, T, D), with Keras's own initial weights.

    Each layer is `keras.layers.<type>(**spec.arguments())`: the spec's fields are Keras's arguments.
    """
    layers = load().keras.layers
    twins = [
        getattr(layers, type(layer).__name__)(**layer.arguments(), name=name, dtype=dtype)
        for name, layer in model.named_layers()
    ]
    return load().keras.Sequential([layers.Input(batch_shape=input_shape, dtype=dtype), *twins])


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
