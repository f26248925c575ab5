"""A live `keras.Sequential` in the form in which a file holds it, with what Keras leaves out of a file."""

import warnings
from collections import Counter
from dataclasses import fields
from typing import Any

from reference_impl import LAYERS
from reference_impl.spec import BadInput
from tf_oracle.keras_file import KerasFile, group_of
from tf_oracle.serialized import TAKEN
from tf_oracle.start import load


def taken_apart(model: Any) -> KerasFile:
    """Config and weights of a live model. Raises BadInput for what is none, and OracleUnavailable."""
    keras = load().keras
    if not isinstance(model, keras.Model):
        raise BadInput("this model", [f"`model` = {model!r:.60}, but should be a keras.Sequential or a path"])
    inner: dict[str, Any] = {"layers": []}
    if type(model) is keras.Sequential:
        inner["layers"] = [serialized(layer) for layer in model.layers]
        inner["build_input_shape"] = model.input_shape if model.built else None
    compiled = {"loss": serialized_loss(getattr(model, "loss", None)), "loss_weights": loss_weights(model)}
    seen: Counter[str] = Counter()
    groups = {
        group_of(type(layer).__name__, seen): [variable.numpy() for variable in layer.weights]
        for layer in model.layers
    }
    return KerasFile(
        written(model, inner) | {"compile_config": compiled},
        {path: arrays for path, arrays in groups.items() if arrays},
    )


def written(thing: Any, config: dict[str, Any]) -> dict[str, Any]:
    """A model, a layer or a loss by its class, as Keras writes it down."""
    return {"module": type(thing).__module__, "class_name": type(thing).__name__, "config": config}


def serialized(layer: Any) -> dict[str, Any]:
    """A layer, with those of its arguments that Keras does not write, such as `implementation`.

    Raises BadInput for an argument that Keras cannot write.
    """
    config = {"name": layer.name}
    if type(layer).__name__ not in TAKEN:  # refused by its class, whatever its arguments are
        return written(layer, config)
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python code as an argument, which is refused
            config |= layer.get_config()
    except (TypeError, ValueError) as error:
        said = f"layer {layer.name}: an argument cannot be written down: {str(error).splitlines()[0]}"
        raise BadInput("this model", [said]) from error
    spec = LAYERS.get(type(layer).__name__)
    for field in fields(spec) if spec else ():
        holder = layer if hasattr(layer, field.name) else getattr(layer, "cell", None)
        value = getattr(holder, field.name, None)
        if isinstance(value, load().keras.Layer):
            config[field.name] = serialized(value)
        elif field.name not in config and value is not None:
            config[field.name] = value
    return written(layer, config)


def serialized_loss(loss: Any) -> Any:
    """A compiled loss, with those of its arguments that Keras does not write, such as Huber's `delta`."""
    keras = load().keras
    if not isinstance(loss, keras.Loss):
        with warnings.catch_warnings(action="ignore"):  # of Python code, which is refused
            return keras.saving.serialize_keras_object(loss)
    return written(loss, loss.get_config() | getattr(loss, "_fn_kwargs", {}))


def loss_weights(model: Any) -> Any:
    """The factors of the losses that a model was compiled with, None where there are none."""
    return getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)
