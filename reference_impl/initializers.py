"""Initializers by Keras name, each as Keras draws it, but from a NumPy generator.

`Sequential.init` draws from this table. The weights of a case with an initializer of its own are Keras's own
draw, handed over: there the `seed` counts, which the generator takes the place of here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from reference_impl.spec import WEIGHTS, Array, Entry, Layer, Named, Shape, look_up, not_in_table, one_of

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")
CUT = 2.0  # a truncated normal ends after so many standard deviations,
CUT_STDDEV = 0.87962566103423978  # which leaves it this standard deviation of its own


def truncated(rng: np.random.Generator, shape: Shape) -> Array:
    """Standard normal numbers, those past the cut drawn again."""
    drawn = rng.standard_normal(shape)
    while (past := np.abs(drawn) > CUT).any():
        drawn[past] = rng.standard_normal(past.sum())
    return drawn


def variance_scaling(
    rng: np.random.Generator, shape: Shape, scale: float, mode: str, distribution: str, seed: object = None
) -> Array:
    """Numbers of the variance scale / fan: what a weight (fan_in, fan_out) needs for a sum over its inputs,
    or over its outputs, to vary by `scale` (Glorot and Bengio 2010; He et al. 2015; LeCun et al. 1998).
    """
    fan_in, fan_out = shape[0], shape[-1]
    variance = scale / {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    if distribution == "uniform":
        limit = np.sqrt(3 * variance)
        return rng.uniform(-limit, limit, shape)
    if distribution == "untruncated_normal":
        return np.sqrt(variance) * rng.standard_normal(shape)
    return np.sqrt(variance) / CUT_STDDEV * truncated(rng, shape)


def orthogonal(rng: np.random.Generator, shape: Shape, gain: float, seed: object = None) -> Array:
    """Orthonormal rows, or columns where there are fewer of them, times `gain` (Saxe et al. 2014)."""
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q *= np.sign(np.diag(r))  # which makes the draw uniform over all such matrices
    return gain * (q if shape[0] >= shape[1] else q.T)


@dataclass(frozen=True)
class Initializer(Entry):
    """`draw(rng, shape)` gives float64 weights of that shape, (fan_in, fan_out) or (n,)."""

    draw: Callable[..., Array]


def scaled(scale: float, mode: str, distribution: str) -> Initializer:
    """A variance scaling that has a name of its own."""

    def draw(rng: np.random.Generator, shape: Shape, seed: object = None) -> Array:
        return variance_scaling(rng, shape, scale, mode, distribution)

    return Initializer(draw, defaults={"seed": None})


INITIALIZERS: Mapping[str, Initializer] = {
    "zeros": Initializer(lambda rng, shape: np.zeros(shape)),
    "ones": Initializer(lambda rng, shape: np.ones(shape)),
    "constant": Initializer(lambda rng, shape, value: np.full(shape, float(value)), defaults={"value": 0.0}),
    "random_normal": Initializer(
        lambda rng, shape, mean, stddev, seed: rng.normal(mean, stddev, shape),
        defaults={"mean": 0.0, "stddev": 0.05, "seed": None},
    ),
    "random_uniform": Initializer(
        lambda rng, shape, minval, maxval, seed: rng.uniform(minval, maxval, shape),
        defaults={"minval": -0.05, "maxval": 0.05, "seed": None},
    ),
    "truncated_normal": Initializer(
        lambda rng, shape, mean, stddev, seed: mean + stddev * truncated(rng, shape),
        defaults={"mean": 0.0, "stddev": 0.05, "seed": None},
    ),
    "glorot_normal": scaled(1.0, "fan_avg", "truncated_normal"),
    "glorot_uniform": scaled(1.0, "fan_avg", "uniform"),
    "he_normal": scaled(2.0, "fan_in", "truncated_normal"),
    "he_uniform": scaled(2.0, "fan_in", "uniform"),
    "lecun_normal": scaled(1.0, "fan_in", "truncated_normal"),
    "lecun_uniform": scaled(1.0, "fan_in", "uniform"),
    "variance_scaling": Initializer(
        variance_scaling,
        defaults={"scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal", "seed": None},
    ),
    "orthogonal": Initializer(orthogonal, defaults={"gain": 1.0, "seed": None}),
    "identity": Initializer(lambda rng, shape, gain: gain * np.eye(*shape), defaults={"gain": 1.0}),
}

# What keras.initializers exports besides, and why it is no weight of these layers.
REFUSED_INITIALIZERS: Mapping[str, str] = MappingProxyType(
    {"stft": "it makes the kernel of a short-time Fourier transform"}
)
TWO_AXES = ("orthogonal", "identity")


def draw(rng: np.random.Generator, layer: Layer, tensor: str, shape: Shape) -> Array:
    """One weight of a layer, by the initializer that it has for it."""
    word = {tensor: word for word, tensor in WEIGHTS.items()}[tensor]
    return look_up(INITIALIZERS, getattr(layer, f"{word}_initializer")).draw(rng, shape)


def initializer_problems(argument: str, value: str | Named) -> list[str]:
    """The problems with `value` as the initializer `argument`, a sentence each."""
    name = value.name if isinstance(value, Named) else value
    if not isinstance(name, str):
        return not_in_table(argument, value, INITIALIZERS)
    if name in REFUSED_INITIALIZERS:
        return [f"`{argument}` = {value!r}, but {REFUSED_INITIALIZERS[name]}"]
    if name in TWO_AXES and argument == "bias_initializer":
        return [f"`{argument}` = {value!r}, but should be one for a single axis: {name} takes two"]
    said = not_in_table(argument, value, INITIALIZERS)
    if said or name != "variance_scaling" or not isinstance(value, Named):
        return said
    given = {**INITIALIZERS[name].defaults, **value.arguments}
    said += one_of("mode", given["mode"], MODES) + one_of(
        "distribution", given["distribution"], DISTRIBUTIONS
    )
    if not given["scale"] > 0:
        said.append(f"`scale` = {given['scale']!r}, but should be above 0")
    return [f"`{argument}`: {each}" for each in said]
