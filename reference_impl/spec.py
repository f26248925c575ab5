"""What every layer shares: a frozen description whose fields are Keras's arguments.

A layer is described once. The NumPy implementation reads its fields, and the Keras twin is built
from the very same fields, so there is no second description to keep in step.

Constructing a spec never raises for a bad value or a misspelt argument. Everything wrong with a
whole model (or a whole case) is collected by `problems` and raised together as one `BadInput`,
before the first number is computed.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial, wraps
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

import numpy as np

from reference_impl.remembered import remembered

Array = np.ndarray
Shape = tuple[int, ...]
Arrays = dict[str, Array]
NOTHING: Mapping[str, Array] = MappingProxyType({})


class BadInput(ValueError):
    """Something the user gave cannot be used; `problems` holds one sentence for each thing wrong."""

    def __init__(self, subject: str, problems: Iterable[str]):
        self.subject, self.problems = subject, list(problems)
        super().__init__("\n".join([f"{subject} cannot be used:", *(f"  - {p}" for p in self.problems)]))

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, list[str]]]:
        return type(self), (self.subject, self.problems)  # so that it comes back from another process


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the known name nearest to `name`, or "" where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def with_article(word: str) -> str:
    """ "a list", "an int"."""
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


def kind_of(value: object) -> str:
    """What a value is, in a message: "a list", "an int", "None"."""
    return "None" if value is None else with_article(type(value).__name__)


def positive_int(name: str, value: object) -> list[str]:
    """The problem with `value` as a size, as a list of no or one sentence."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value > 0:
        return []
    return [f"`{name}` = {value!r}, but should be a positive whole number"]


def one_of(name: str, value: object, known: Iterable[str]) -> list[str]:
    """The problem with `value` as one of the `known` names, as a list of no or one sentence."""
    known = sorted(known)
    if isinstance(value, str) and value in known:
        return []
    hint = did_you_mean(value, known) if isinstance(value, str) else ""
    return [f"`{name}` = {value!r}, but should be one of {', '.join(known)}{hint}"]


def fraction(name: str, value: object) -> list[str]:
    """The problem with `value` as a share to drop, as a list of no or one sentence."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        return []
    return [f"`{name}` = {value!r}, but should be a number from 0 up to, not including, 1"]


def seed_problems(value: object) -> list[str]:
    """The problem with `value` as the seed of a layer, as a list of no or one sentence."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32):
        return []
    return [f"`seed` = {value!r}, but should be None or a whole number from 0 to {2**32 - 1}"]


def boolean(name: str, value: object) -> list[str]:
    """The problem with `value` as a switch, as a list of no or one sentence."""
    return [] if isinstance(value, bool) else [f"`{name}` = {value!r}, but should be True or False"]


# ---- tables: activations, losses, regularizers, constraints, optimizers, each by Keras's name


@dataclass(frozen=True, init=False, repr=False)
class Named:
    """A name of a table with arguments of its own: `Named("leaky_relu", negative_slope=0.1)`.

    Wherever a plain name is taken, so is this. Argument names and defaults are Keras's.
    """

    name: str
    given: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, **arguments: Any):
        object.__setattr__(self, "name", name)
        kept = {key: tuple(v) if isinstance(v, list) else v for key, v in arguments.items()}  # for the hash
        object.__setattr__(self, "given", tuple(sorted(kept.items())))

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.given)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.given)})"

    def __repr__(self) -> str:
        return f"Named({', '.join([repr(self.name), *(f'{name}={value!r}' for name, value in self.given)])})"


@dataclass(frozen=True)
class Entry:
    """One line of a table. Its functions take the arguments in `defaults`, if any, by keyword."""

    defaults: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def using(self, arguments: Mapping[str, Any]) -> Self:
        """The entry with its functions bound to the arguments, Keras's defaults where one is left out."""
        bound = {**self.defaults, **arguments}
        members = {field.name: getattr(self, field.name) for field in fields(self)}
        functions: dict[str, Any] = {name: partial(f, **bound) for name, f in members.items() if callable(f)}
        return replace(self, **functions) if bound else self

    @remembered
    def bound(self, given: tuple[tuple[str, Any], ...]) -> Self:
        """As `using`, with the arguments as pairs."""
        return self.using(dict(given))


E = TypeVar("E", bound=Entry)


def look_up(table: Mapping[Any, E], value: str | Named | None) -> E:
    """The entry that a name, or a name with arguments, stands for."""
    if isinstance(value, Named):
        return table[value.name].bound(value.given)
    return table[value].bound(())


def not_in_table(argument: str, value: object, table: Mapping[Any, Entry]) -> list[str]:
    """The problems with `value` as a name of the `table`, with or without arguments, a sentence each."""
    if not isinstance(value, Named):
        return one_of(argument, value, [name for name in table if name is not None])
    said = one_of(argument, value.name, [name for name in table if name is not None])
    known = {} if said else table[value.name].defaults
    return said or [
        f"`{argument}` = {value!r}, but {value.name} has no argument {name!r}{did_you_mean(name, known)}"
        for name in value.arguments
        if name not in known
    ]


# What Keras calls a weight in arguments such as `recurrent_constraint`, and the tensor's name.
WEIGHTS = {"kernel": "kernel", "recurrent": "recurrent_kernel", "bias": "bias"}


@dataclass_transform(frozen_default=True)
def spec(cls: type) -> type:
    """Make `cls` a frozen dataclass that keeps arguments it does not know instead of raising."""
    made: Any = dataclass(frozen=True, repr=False)(cls)
    names = {field.name for field in fields(made)}
    assign = made.__init__

    @wraps(assign)  # so that inspect.signature shows the fields
    def construct(self: Any, *args: Any, **arguments: Any) -> None:
        strange = {name: arguments.pop(name) for name in list(arguments) if name not in names}
        assign(self, *args, **arguments)
        object.__setattr__(self, "strange", strange)

    made.__init__ = construct
    return cls


class Refused(NamedTuple):
    """An argument of Keras that no layer here has: the value that means "not used", and why it is refused."""

    unused: object
    reason: str


# What every Keras layer takes, and no layer here.
EVERYWHERE = {
    "name": Refused(None, "layers are named by their kind and number"),
    "dtype": Refused(None, "a case has one dtype, Case(dtype=...)"),
    "trainable": Refused(True, "every weight's gradient is checked"),
    "autocast": Refused(True, "a case has one dtype"),
    "activity_regularizer": Refused(None, "only LSTM and Dense have it here"),
}


@dataclass(frozen=True, repr=False)
class Layer:
    """One layer: its Keras arguments, its shapes, its forward pass and its backward pass.

    `weights` and gradients are dicts by the layer's own tensor names ("kernel", "bias", …), and so is
    `given`, what a pass has besides: initial states, dropout factors in training, and the "mask" (B, T)
    of the input where it has one. A forward pass returns its output and a cache; the backward pass takes
    that cache and returns the gradient of every weight and of every input ("x", and for an LSTM
    "initial_h" and "initial_c").
    """

    # Keras's arguments that the layer does not have.
    REFUSED: ClassVar[Mapping[str, Refused]] = EVERYWHERE
    # Arguments that were given and are no field, with their values; set by `spec`.
    strange: ClassVar[Mapping[str, object]] = {}

    def __repr__(self) -> str:
        """The Python that makes this layer, defaults left out: "LSTM(8, return_sequences=True)"."""
        given = {
            name: value for name, value in self.arguments().items() if value != self.defaults().get(name)
        }
        said = [repr(given.pop("units"))] if "units" in given else []
        said += [f"{name}={value!r}" for name, value in (given | dict(self.strange)).items()]
        return f"{type(self).__name__}({', '.join(said)})"

    @classmethod
    def defaults(cls) -> dict[str, object]:
        """Keras's default of every supported argument that has one."""
        return {field.name: field.default for field in fields(cls)}

    @remembered
    def of_weights(self, kind: str) -> Mapping[str, str | Named]:
        """The layer's regularizers ("regularizer") or constraints ("constraint"), by its tensor names."""
        given = {tensor: getattr(self, f"{word}_{kind}", None) for word, tensor in WEIGHTS.items()}
        if not getattr(self, "use_bias", True):
            del given["bias"]
        return {tensor: value for tensor, value in given.items() if value is not None}

    def problems(self) -> list[str]:
        """Everything wrong with the arguments, a sentence each; [] when the layer can be used."""
        said = []
        known = [*(field.name for field in fields(self)), *self.REFUSED]
        for name, value in self.strange.items():
            if name not in self.REFUSED:
                said.append(f"has no argument `{name}`{did_you_mean(name, known)}")
            elif value != self.REFUSED[name].unused:
                said.append(f"`{name}` = {value!r}, but should be left out: {self.REFUSED[name].reason}")
        return said + self.value_problems()

    def value_problems(self) -> list[str]:
        """What is wrong with the values of the supported arguments."""
        return []

    def arguments(self) -> dict[str, object]:
        """The arguments by Keras's names: `keras.layers.<type>(**layer.arguments())` is the twin."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def shape_problems(self, input_shape: Shape) -> list[str]:
        """Why the layer cannot take an input of `input_shape` (batch first); [] when it can."""
        return []

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output for an input of `input_shape`, both with the batch axis first."""
        raise NotImplementedError

    def weight_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of each weight by tensor name, in Keras's order."""
        return {}

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of each initial state by tensor name; {} for a layer without state."""
        return {}

    def dropout_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of each array of dropout factors that a training pass takes, by tensor name."""
        return {}

    def upstream_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of each final state that is an output of its own, by tensor name."""
        return {}

    def output_mask(self, x: Array, mask: Array | None) -> Array | None:
        """The mask (B, T) that goes on with the output, from the input and its mask."""
        return mask

    def init(self, rng: np.random.Generator, input_shape: Shape) -> Arrays:
        """Fresh float64 weights by its initializers."""
        return {}

    @property
    def drawn_by_keras(self) -> frozenset[str]:
        """The weights, by tensor name, whose initializer is not the default one."""
        default = self.defaults()
        return frozenset(
            tensor
            for word, tensor in WEIGHTS.items()
            if getattr(self, f"{word}_initializer", None) != default.get(f"{word}_initializer")
        )

    def forward(self, weights: Arrays, x: Array, given: Arrays) -> tuple[Array, Any]:
        """Output and cache for one batch."""
        raise NotImplementedError

    def final_state(self, cache: Any) -> Arrays:
        """The states after the last step, by tensor name; {} for a layer whose states nobody is given."""
        return {}

    def backward(
        self, weights: Arrays, cache: Any, dy: Array, upstream: Mapping[str, Array] = NOTHING
    ) -> Arrays:
        """Gradients of every weight and input, from the gradient `dy` of the output and, in `upstream`,
        those of the final states that are outputs of their own.
        """
        raise NotImplementedError
