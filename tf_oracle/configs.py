"""Keras's serialized models as specs: what a config says of a `keras.Sequential`, read without Keras."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reference_impl import Named, Sequential
from reference_impl.spec import BadInput, Layer, with_article
from tf_oracle.serialized import REFUSED, Config, Refused, class_of, layer_of, mapping, taken


@dataclass(frozen=True)
class Description:
    """What a config says. A size that it leaves open is None."""

    model: Sequential
    batch: int | None
    timesteps: int | None
    features: int | None
    dtype: str
    compiled: Any  # the loss as Keras serialized it; None where the model was not compiled


def described(config: object, subject: str = "this model") -> Description:
    """The Sequential that a config describes. Raises BadInput about the `subject` with everything that is not
    supported, each layer by its position in Keras's `model.layers` and its own name.
    """
    try:
        layers, (batch, timesteps, features), compiled = opened(config)
    except Refused as problem:
        raise BadInput(subject, [str(problem)]) from problem
    said: list[str] = []
    specs: list[Layer] = []
    dtypes: list[str] = []
    for position, layer in enumerate(layers):
        spec, dtype, problems = layer_of(layer)
        said += [f"layer {position} ({name_of(layer)}): {problem}" for problem in problems]
        specs += [spec] if spec else []
        if dtype and dtypes and dtype != dtypes[0]:
            said.append(
                f"layer {position} ({name_of(layer)}): `dtype` = {dtype!r}, but should be {dtypes[0]!r}, "
                "as that of the layers before it"
            )
        dtypes += [dtype] if dtype else []
    if not layers:
        said.append("the model has no layers")
    weights = compiled.get("loss_weights")
    if weights not in (None, 1, [1], [1.0]):
        said.append(f"`loss_weights` = {weights!r}, but should be left out: there is one loss")
    if said:
        raise BadInput(subject, said)
    return Description(Sequential(specs), batch, timesteps, features, dtypes[0], compiled.get("loss"))


Sizes = tuple[int | None, int | None, int | None]


def opened(config: object) -> tuple[list[Config], Sizes, Config]:
    """The layers, the sizes B, T and D of the input, and how the model was compiled. Raises Refused."""
    top = mapping(config, "the config")
    kind = class_of(top)
    if kind != "Sequential":
        why = REFUSED.get(kind, "only the layers of a keras.Sequential are known one by one")
        raise Refused(f"it is {with_article(kind)}, but should be a Sequential: {why}")
    inner = mapping(top.get("config"), "the model's config")
    if not isinstance(inner.get("layers"), list | tuple):
        raise Refused(f"the model's `layers` = {inner.get('layers')!r:.60}, but should be a list")
    layers = [mapping(layer, f"layer {position}") for position, layer in enumerate(inner["layers"])]
    inputs = [mapping(layer.get("config"), "the input's config") for layer in layers if is_input(layer)]
    compiled = mapping(top.get("compile_config") or {}, "`compile_config`")
    return [layer for layer in layers if not is_input(layer)], input_sizes(inputs, inner), compiled


def is_input(layer: Config) -> bool:
    """Whether this is no layer but the shape of the input."""
    return layer.get("class_name") == "InputLayer"


def name_of(layer: Config) -> str:
    """The layer's own name, or else its class, as it can be printed."""
    inner = layer.get("config")
    name = str((inner.get("name") if isinstance(inner, Mapping) else None) or layer.get("class_name"))
    return name if name.isprintable() else ascii(name)


def input_sizes(inputs: list[Config], model: Config) -> Sizes:
    """B, T and D of the input, as far as they are fixed. Raises Refused."""
    given = inputs[0] if inputs else {}
    shape = given.get("batch_shape") or given.get("batch_input_shape") or model.get("build_input_shape")
    if len(inputs) > 1 or given.get("sparse") or given.get("ragged"):
        raise Refused("its input should be one dense array of shape (batch, timesteps, features)")
    if shape is None:
        return None, None, None
    sized = isinstance(shape, list | tuple) and all(size is None or isinstance(size, int) for size in shape)
    if not sized or len(shape) != 3:
        raise Refused(f"its input has shape {shape!r:.60}, but should have (batch, timesteps, features)")
    batch, timesteps, features = shape
    return batch, timesteps, features


def loss_of(compiled: Any, subject: str = "this model") -> str | Named:
    """The loss that a model was compiled with, from what Keras serialized. Raises BadInput."""
    if isinstance(compiled, list | tuple) and len(compiled) == 1:
        (compiled,) = compiled
    if isinstance(compiled, Mapping) and "class_name" not in compiled and len(compiled) == 1:
        (compiled,) = compiled.values()
    try:
        return taken(compiled, "loss")
    except (Refused, RecursionError) as problem:
        raise BadInput(subject, [f"the loss that it was compiled with: {problem}"]) from problem
