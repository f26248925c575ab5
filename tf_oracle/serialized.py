"""What Keras serialized, a thing at a time: a layer as its spec, any other object as its name of a table.

It is data: it names classes and their arguments. Only names of Keras's own are taken, and nothing that they
stand for is ever imported or run. Keras 3.0 to 3.15 write the same things in different words: a dtype as
a string or as a policy, an argument more or less.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from reference_impl import LAYERS, Named
from reference_impl.activations import ACTIVATIONS
from reference_impl.checks import DTYPES
from reference_impl.constraints import CONSTRAINTS
from reference_impl.losses import LOSSES
from reference_impl.regularizers import REGULARIZERS
from reference_impl.spec import Entry, Layer, one_of, with_article

Config = Mapping[str, Any]

# Why a model that is no Sequential, or a layer that people ask for, cannot be checked, by Keras's class name.
REFUSED = {
    "Functional": "it is a graph of layers, and tapecheck checks layers one after the other",
    "Lambda": "it holds Python code",
    "Bidirectional": "it is two LSTMs and what merges them; check the LSTM within it by itself",
    "Sequential": "it is a model inside the model; put its layers into the outer one",
    "Embedding": "its input are token ids, which have no gradient; check the layers after it on vectors",
}

# Layers that are an activation with arguments; Softmax is not, which masks as well.
ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "ELU")
TAKEN = (*LAYERS, *ACTIVATION_LAYERS)

# Arguments that change no output and no gradient: what weights, input and random numbers began as, since
# they are given, and what training leaves alone. A dtype is read by itself.
MEANINGLESS = ("name", "trainable", "dtype", "batch_input_shape", "seed")
INITIALIZER = "_initializer"
# Values that stand in a config where the argument was left out.
LEFT_OUT = {"data_format": "channels_last", "reduction": "sum_over_batch_size", "axis": -1}

# Tables by the last word of an argument's name: "recurrent_activation" takes an activation.
TABLES: Mapping[str, Mapping[Any, Entry]] = {
    "activation": ACTIVATIONS,
    "regularizer": REGULARIZERS,
    "constraint": CONSTRAINTS,
    "loss": LOSSES,
}

# Keras's short names of losses.
SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
}


class Refused(ValueError):
    """Something in a config that cannot be taken over: the sentence about it, without its subject."""


def mapping(value: object, what: str) -> Config:
    """The value if it is a JSON object. Raises Refused."""
    if not isinstance(value, Mapping):
        raise Refused(f"{what} is {value!r:.60}, but should be an object as Keras writes it")
    return value


def class_of(config: Config) -> str:
    """The class name of something of Keras's own. Raises Refused for anyone else's class or function."""
    kind, module, registered = (config.get(name) for name in ("class_name", "module", "registered_name"))
    own = re.match(r"keras(\.|$)", str(module)) and registered in (None, kind)
    if not isinstance(kind, str):
        raise Refused(f"has `class_name` = {kind!r:.60}, but should be a class as Keras writes it")
    if not own:
        raise Refused(f"{kind} is not supported: it is a class of its own ({module}), not one of Keras's")
    return kind


# ---- layers


def layer_of(layer: Config) -> tuple[Layer | None, str | None, list[str]]:
    """The spec of a serialized layer, its dtype, and what keeps either from being used, a sentence each."""
    try:
        kind = class_of(layer)
        if kind not in TAKEN:
            why = REFUSED.get(kind, f"tapecheck knows {', '.join(TAKEN)}")
            raise Refused(f"{kind} is not supported: {why}")
        config = mapping(layer.get("config"), "its config")
        if kind in ACTIVATION_LAYERS:
            kind, config = "Activation", {"activation": layer, "dtype": config.get("dtype", "float32")}
    except Refused as problem:
        return None, None, [str(problem)]
    known = {field.name: field for field in fields(LAYERS[kind])}
    said: list[str] = []
    dtype = None
    try:
        dtype = policy(config.get("dtype", "float32"))
    except Refused as problem:
        said.append(str(problem))
    unused = {name: each.unused for name, each in LAYERS[kind].REFUSED.items()}
    arguments = {}
    for argument, value in config.items():
        off = argument in MEANINGLESS or is_off(argument, value) or unused.get(argument, MISSING) == value
        if argument.endswith(INITIALIZER) or (argument not in known and off):
            continue
        try:
            arguments[argument] = taken(value, argument)
        except (Refused, RecursionError) as problem:
            said.append(f"`{argument}`: {problem}")
    needed = [name for name, field in known.items() if field.default is MISSING and name not in arguments]
    said += [f"`{name}` is missing" for name in needed if not said]
    if said:
        return None, dtype, said
    spec = LAYERS[kind](**arguments)
    return spec, dtype, spec.problems()


def policy(dtype: Any) -> str:
    """ "float32" or "float64", from a dtype's name or a serialized policy. Raises Refused."""
    if isinstance(dtype, Mapping):
        if dtype.get("class_name") != "DTypePolicy":
            raise Refused(
                f"`dtype` is {with_article(str(dtype.get('class_name')))}, but should be float32 or float64"
            )
        dtype = mapping(dtype.get("config"), "`dtype`").get("name")
    if problems := one_of("dtype", dtype, DTYPES):
        raise Refused(problems[0])
    return str(dtype)


def taken(value: Any, argument: str) -> Any:
    """An argument's value as a spec takes it: plain, Named, a spec, a list as a tuple. Raises Refused."""
    if isinstance(value, list | tuple):
        return tuple(taken(each, argument) for each in value)
    if not isinstance(value, Mapping):
        return named(value, argument)
    kind = value.get("class_name")
    if kind in ("__numpy__", "__tensor__"):
        return taken(mapping(value.get("config"), "an array").get("value"), argument)
    if kind == "function" and is_name(value.get("config"), argument):
        return named(value["config"], argument)  # a function of Keras's own, by its name
    if kind in ("function", "__lambda__", None):
        raise Refused("it holds Python code, which is not run; use one of Keras's own by name")
    kind = class_of(value)
    if kind in LAYERS and not table_of(argument):
        spec, _, said = layer_of(value)
        if spec is None or said:
            raise Refused("; ".join(said))
        return spec
    config = mapping(value.get("config") or {}, f"the config of {kind}")
    if kind == "Activation":  # the layer, in the place of what it wraps
        return taken(config.get("activation"), argument)
    name = named(kind, argument)
    entry = table_of(argument).get(name)
    defaults = entry.defaults if entry else {}
    given = {
        member: taken(each, member)
        for member, each in config.items()
        if member not in MEANINGLESS
        and (each != defaults[member] if member in defaults else not is_off(member, each))
    }
    return Named(name, **given) if given else name


def is_off(argument: str, value: Any) -> bool:
    """Whether an argument that a spec does not know does nothing: None, False, 0, or as if left out."""
    return value in (None, False) or LEFT_OUT.get(argument, MISSING) == value


# ---- names of tables


def table_of(argument: str) -> Mapping[Any, Entry]:
    """The table of names that an argument's value is one of, {} for an argument without."""
    return TABLES.get(argument.rpartition("_")[2], {})


def plain(name: str) -> str:
    """A name as all of Keras's spellings of it have it: "LeakyReLU" and "leaky_relu" are "leakyrelu"."""
    return name.lower().replace("_", "")


def named(value: Any, argument: str) -> Any:
    """A name in the table's spelling; any other value, or a name that no table has, as it is."""
    if not isinstance(value, str):
        return value
    value = SHORT.get(value.lower(), value)
    spellings = {plain(name): name for name in table_of(argument) if name}
    return spellings.get(plain(value), value)


def is_name(value: object, argument: str) -> bool:
    """Whether the value is a name of the argument's table."""
    return isinstance(value, str) and named(value, argument) in table_of(argument)
