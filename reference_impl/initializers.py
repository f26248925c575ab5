"""Initializers by Keras name. Keras draws them, with its own generator, and the weights are handed over."""

from collections.abc import Mapping
from types import MappingProxyType

from reference_impl.spec import Entry, Named, not_in_table

SCALED = ("glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform")

INITIALIZERS = {
    "zeros": Entry(),
    "ones": Entry(),
    "constant": Entry(defaults={"value": 0.0}),
    "random_normal": Entry(defaults={"mean": 0.0, "stddev": 0.05, "seed": None}),
    "random_uniform": Entry(defaults={"minval": -0.05, "maxval": 0.05, "seed": None}),
    "truncated_normal": Entry(defaults={"mean": 0.0, "stddev": 0.05, "seed": None}),
    **{name: Entry(defaults={"seed": None}) for name in SCALED},
    "variance_scaling": Entry(
        defaults={"scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal", "seed": None}
    ),
    "orthogonal": Entry(defaults={"gain": 1.0, "seed": None}),
    "identity": Entry(defaults={"gain": 1.0}),
}

# What keras.initializers exports besides, and why it is no weight of these layers.
REFUSED_INITIALIZERS: Mapping[str, str] = MappingProxyType(
    {"stft": "it makes the kernel of a short-time Fourier transform"}
)
TWO_AXES = ("orthogonal", "identity")


def initializer_problems(argument: str, value: str | Named) -> list[str]:
    """The problems with `value` as the initializer `argument`, a sentence each."""
    name = value.name if isinstance(value, Named) else value
    if name in REFUSED_INITIALIZERS:
        return [f"`{argument}` = {value!r}, but {REFUSED_INITIALIZERS[name]}"]
    if name in TWO_AXES and argument == "bias_initializer":
        return [f"`{argument}` = {value!r}, but should be one for a single axis: {name} takes two"]
    return not_in_table(argument, value, INITIALIZERS)
