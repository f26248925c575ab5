"""The activations by Keras name."""

from collections.abc import Callable
from dataclasses import dataclass

from reference_impl.activations import kinks, rows, smooth
from reference_impl.arguments import NOT_NEGATIVE, NUMBER, POSITIVE, REQUIRED, SWITCH, Kind, argument_problems
from reference_impl.spec import Array, Entry, Named, look_up


@dataclass(frozen=True)
class Activation(Entry):
    """`value(z)` is y, shape as z. `backward(dy, z, y)` is dz = dy * dy/dz, shape as y.

    Where `couples` is set, entries of the last axis depend on each other and `backward` is the product
    with the Jacobian, written in y; for all others it is a factor. Where `reads_z` is not set, `backward`
    is written in y alone, and whoever calls it need not have kept z.
    """

    value: Callable[..., Array]
    backward: Callable[..., Array]
    couples: bool = False
    reads_z: bool = True


ACTIVATIONS = {
    "linear": Activation(smooth.linear, smooth.d_linear, reads_z=False),
    "relu": Activation(
        kinks.relu,
        kinks.d_relu,
        defaults={"negative_slope": 0.0, "max_value": None, "threshold": 0.0},
    ),
    "leaky_relu": Activation(kinks.leaky_relu, kinks.d_leaky_relu, defaults={"negative_slope": 0.2}),
    "relu6": Activation(kinks.relu6, kinks.d_relu6, reads_z=False),
    "elu": Activation(kinks.elu, kinks.d_elu, defaults={"alpha": 1.0}),
    "selu": Activation(kinks.selu, kinks.d_selu),
    "celu": Activation(kinks.celu, kinks.d_celu, defaults={"alpha": 1.0}),
    "gelu": Activation(smooth.gelu, smooth.d_gelu, defaults={"approximate": False}),
    "silu": Activation(smooth.silu, smooth.d_silu),
    "swish": Activation(smooth.silu, smooth.d_silu),
    "mish": Activation(smooth.mish, smooth.d_mish),
    "tanh": Activation(smooth.tanh, smooth.d_tanh, reads_z=False),
    "sigmoid": Activation(smooth.sigmoid, smooth.d_sigmoid, reads_z=False),
    "exponential": Activation(smooth.exponential, smooth.d_exponential, reads_z=False),
    "softplus": Activation(smooth.softplus, smooth.d_softplus),
    "softsign": Activation(smooth.softsign, smooth.d_softsign),
    "squareplus": Activation(smooth.squareplus, smooth.d_squareplus, defaults={"b": 4}),
    "log_sigmoid": Activation(smooth.log_sigmoid, smooth.d_log_sigmoid),
    "hard_sigmoid": Activation(kinks.hard_sigmoid, kinks.d_hard_sigmoid, reads_z=False),
    "hard_silu": Activation(kinks.hard_silu, kinks.d_hard_silu),
    "hard_swish": Activation(kinks.hard_silu, kinks.d_hard_silu),
    "hard_tanh": Activation(kinks.hard_tanh, kinks.d_hard_tanh),
    "hard_shrink": Activation(kinks.hard_shrink, kinks.d_hard_shrink, defaults={"threshold": 0.5}),
    "soft_shrink": Activation(kinks.soft_shrink, kinks.d_soft_shrink, defaults={"threshold": 0.5}),
    "tanh_shrink": Activation(smooth.tanh_shrink, smooth.d_tanh_shrink),
    "sparse_plus": Activation(kinks.sparse_plus, kinks.d_sparse_plus),
    "sparse_sigmoid": Activation(kinks.sparse_sigmoid, kinks.d_sparse_sigmoid),
    "threshold": Activation(
        kinks.threshold,
        kinks.d_threshold,
        defaults={"threshold": REQUIRED, "default_value": REQUIRED},
    ),
    "softmax": Activation(rows.softmax, rows.d_softmax, couples=True, reads_z=False, defaults={"axis": -1}),
    "log_softmax": Activation(
        rows.log_softmax, rows.d_log_softmax, couples=True, reads_z=False, defaults={"axis": -1}
    ),
    "sparsemax": Activation(
        rows.sparsemax, rows.d_sparsemax, couples=True, reads_z=False, defaults={"axis": -1}
    ),
}

# What else `keras.activations` exports, and why it is in no table.
REFUSED = {
    "glu": "its output has half the units of its input, and no LSTM or Dense layer has room for that",
    "get": "it is no activation: it looks one up",
    "serialize": "it is no activation: it writes one into a config",
    "deserialize": "it is no activation: it reads one from a config",
}

KINDS = {
    "negative_slope": NUMBER,
    "max_value": NOT_NEGATIVE,
    "threshold": NUMBER,
    "default_value": NUMBER,
    "alpha": POSITIVE,
    "b": POSITIVE,
    "approximate": SWITCH,
    "axis": Kind("-1: along another axis the samples or the time steps would mix", lambda value: value == -1),
}


def activation_problems(argument: str, value: object) -> list[str]:
    """Why `value` is no activation, a sentence each; None is one, as in Keras."""
    return [] if value is None else argument_problems(argument, value, ACTIVATIONS, KINDS, REFUSED)


def activation(name: str | Named | None) -> Activation:
    """The activation by Keras name; None is "linear", as in Keras."""
    return look_up(ACTIVATIONS, "linear" if name is None else name)
