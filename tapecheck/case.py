"""Case: what to check, one model configuration."""

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

import tf_oracle
from reference_impl import Masking, Named, Sequential
from reference_impl.arguments import NOT_NEGATIVE
from reference_impl.checks import DTYPES
from reference_impl.losses import LOSSES, class_weights, output_problems, sign_problems, weight_shapes
from reference_impl.spec import Arrays, BadInput, Shape, boolean, look_up, one_of, positive_int
from tapecheck import drawing
from tapecheck.masks import MASKS
from tapecheck.problem import Problem

INITIAL_STATES = ("zeros", "random")
INPUTS = ("normal", "one_hot")
MOST_NUMBERS = 2**27  # of an array; the trace of every gate is several times as large
COMPILED = "compiled"  # as a loss: the one that a Keras model was compiled with


@dataclass(frozen=True, eq=False)
class Given:
    """Arrays that a case has, by their fields of `Inputs`, in place of drawn ones.

    Equal only to itself, so that a case with arrays can be hashed, and compared, as any other.
    """

    arrays: Mapping[str, Any]

    def put_into(self, problem: Problem) -> Problem:
        """The problem with these arrays. Its case is without: other problems of it are drawn."""
        return replace(problem, case=replace(problem.case, given=None), **self.arrays)

    @property
    def complete(self) -> bool:
        """Whether nothing that matters is left to be drawn."""
        return {"weights", "x", "y"} <= self.arrays.keys()


@dataclass(frozen=True, repr=False)
class Case:
    """One model configuration to check. Raises BadInput with everything that is wrong with it.

    `name` is the case's id: the test id, the seed of its draws, the word to rerun it by. `batch`,
    `timesteps` and `features` are B, T and D of the input; left out, D differs from every units.
    `loss` is the name of a Keras loss, `Named` with its arguments, or None for a free upstream gradient.
    `sample_weight` is "sample" for one weight a sample, or "step" for one a time step; `class_weight`, a
    weight by class, is what Keras's `fit` makes weights of the samples of. `initial_state` is "zeros", as
    in a Keras Sequential, or "random". `inputs` are "normal", or "one_hot" for code that takes token ids,
    `problem.x.argmax(-1)`. `mask` is None or one of MASKS: where the steps lie that do not
    count, given directly or, to a model that begins with Masking, within `x`. With `training`, dropout
    drops what Keras draws with the layers' own seeds. So many `batches` are run one after another, for
    stateful layers, and the last is checked; before those in `resets`, from 1 on, the states are reset.
    Another `seed` draws other arrays. `given` are arrays that are not drawn, see `from_keras`.
    """

    name: str
    model: Sequential
    batch: int = 3
    timesteps: int = 5
    features: int | None = None
    loss: str | Named | None = "mean_squared_error"
    dtype: str = "float64"
    initial_state: str = "zeros"
    seed: int = 0
    inputs: str = "normal"
    mask: str | None = None
    training: bool = False
    batches: int = 1
    resets: tuple[int, ...] = ()
    sample_weight: str | None = None
    class_weight: Mapping[int, float] | None = field(default=None, hash=False)
    given: Given | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.features is None:
            taken = [getattr(layer, "units", None) for layer in getattr(self.model, "layers", ())]
            taken = [units for units in taken if isinstance(units, int)]
            object.__setattr__(self, "features", next(D for D in range(4, 99) if D not in taken))
        said = self.problems()
        if said:
            raise BadInput(f"case {self.name!r}", said)

    def __repr__(self) -> str:
        """The Python that makes this case, defaults left out."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        defaults = {field.name: field.default for field in fields(self)}
        said = [repr(given.pop("name")), repr(given.pop("model"))]
        said += [f"{name}={value!r}" for name, value in given.items() if value != defaults[name]]
        return f"Case({', '.join(said)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints a case that fails."""
        printer.text(repr(self))

    @classmethod
    def from_keras(
        cls,
        model: Any,
        *,
        name: str | None = None,
        data: Any = None,
        loss: str | Named | None = COMPILED,
        batch: int | None = None,
        timesteps: int | None = None,
        dtype: str | None = None,
        **options: Any,
    ) -> "Case":
        """A case with the architecture and the weights of a `keras.Sequential`, alive or as the path of a
        `.keras` file. Nothing that the file holds is run.

        `data` is a mapping, or the path of an .npz file, with `x` (B, T, D), `y`, and where wanted `mask`,
        `sample_weight` and initial states by tensor name; without data, inputs and targets are drawn.
        `loss` is the one that the model was compiled with (mean_squared_error where it was not), or
        another. `batch` and `timesteps` are B and T where the model leaves them open; of the data, the
        first B samples are taken. `dtype` is the model's, or another, into which weights and data are
        converted. `options` are further fields of a case, such as `training=True` for a model with dropout.

        Raises BadInput with everything that is not supported, and `tf_oracle.OracleUnavailable`.
        """
        from tapecheck.keras_models import case_of  # which needs this module

        return case_of(
            model,
            name=name,
            data=data,
            loss=loss,
            batch=batch,
            timesteps=timesteps,
            dtype=dtype,
            **options,
        )

    def problems(self) -> list[str]:
        """Everything wrong with the case, a sentence each."""
        said = []
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w.+-]+", self.name, re.ASCII):
            said.append(f"`name` = {self.name!r}, but should be ASCII letters, digits and any of . _ + -")
        sizes = [
            *positive_int("batch", self.batch),
            *positive_int("timesteps", self.timesteps),
            *positive_int("features", self.features),
        ]
        said += sizes
        said += one_of("dtype", self.dtype, DTYPES)
        said += one_of("initial_state", self.initial_state, INITIAL_STATES)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            said.append(f"`seed` = {self.seed!r}, but should be a whole number from 0 on")
        said += one_of("inputs", self.inputs, INPUTS)
        if self.mask is not None:
            said += one_of("mask", self.mask, MASKS)
        said += boolean("training", self.training)
        if not isinstance(self.given, Given | None):
            said.append(f"`given` = {self.given!r}, but should be left out: see Case.from_keras")
        if not isinstance(self.model, Sequential):
            return [*said, f"`model` = {self.model!r}, but should be a reference_impl.Sequential"]
        said += self.batch_problems()
        wrong_model = self.model.problems(None if sizes else self.input_shape)
        if not sizes and not wrong_model:
            wrong_model = too_large("the input", self.input_shape) or self.large_layers()
        return said + wrong_model + self.loss_problems(fits=not sizes and not wrong_model)

    def large_layers(self) -> list[str]:
        """What arrays of the model have more numbers than any memory, a sentence each."""
        return [
            problem
            for name, layer, given, output in self.model.shapes(self.input_shape)
            for what, shape in {"output": output, **layer.weight_shapes(given)}.items()
            for problem in too_large(f"{name}/{what}", shape)
        ]

    def loss_problems(self, fits: bool) -> list[str]:
        """What is wrong with the loss and its weights, a sentence each; with their shapes only where the
        model `fits` its input.
        """
        said = self.model.loss_problems(self.loss, self.input_shape if fits else None)
        if said:
            return said
        if fits and self.given is None:  # trained weights may never give a negative output
            said += sign_problems(self.loss, self.model.top_activation)
        if fits:
            mask = self.model.mask_of_output(self.input_shape) if self.masks else None
            said += output_problems(self.loss, np.ones(self.output_shape), mask)
        if isinstance(self.dtype, str) and self.dtype == "float64" and look_up(LOSSES, self.loss).single:
            said.append(
                f"`loss` = {self.loss!r} in float64: Keras computes it in float32 and there is nothing to "
                'compare with; use dtype="float32"'
            )
        given = [name for name in ("sample_weight", "class_weight") if getattr(self, name) is not None]
        if given and self.loss is None:
            said.append(f"`{given[0]}` is given, but `loss` = None, a free upstream gradient, takes none")
        if len(given) > 1:
            said.append("`sample_weight` and `class_weight` are given, but Keras takes one of them")
        kinds = ["sample", "step"]
        if given and fits and not said:
            kinds = list(weight_shapes(self.loss, self.output_shape))
        if "sample_weight" in given:
            said += one_of("sample_weight", self.sample_weight, kinds)
        if "class_weight" in given:
            said += class_weight_problems(self.class_weight)
            if fits and len(self.output_shape) > 2:
                said.append("`class_weight` is given, but Keras takes it only for one label a sample")
        return said

    @property
    def masks(self) -> bool:
        """Whether some steps do not count."""
        return self.mask is not None or isinstance(self.model.layers[0], Masking)

    @property
    def output_shape(self) -> Shape:
        """(B, K), or (B, T, K)."""
        return self.model.output_shape(self.input_shape)

    def batch_problems(self) -> list[str]:
        """What is wrong with `batches` and `resets`, a sentence each."""
        said = positive_int("batches", self.batches)
        if not said and self.batches > 1 and not self.model.stateful_names:
            said.append(f"`batches` = {self.batches}, but should be 1: no layer is stateful")
        if not isinstance(self.resets, tuple):
            return [*said, f"`resets` = {self.resets!r}, but should be a tuple of numbers of batches"]
        if said:
            return said
        if any(not isinstance(at, int) or not 0 < at < self.batches for at in self.resets):
            said.append(
                f"`resets` = {self.resets!r}, but should be numbers of batches from 1 to {self.batches - 1}"
            )
        return said

    @property
    def input_shape(self) -> Shape:
        """(B, T, D)."""
        assert self.features is not None
        return self.batch, self.timesteps, self.features

    def problem(self) -> Problem:
        """The arrays of this case, always the same: drawn at random with O(1) scale, so that a wrong
        equation leaves a visible trace. A draw that proves too little is drawn again (see `drawing.lively`).
        """
        drawn_by_keras = self.initial_weights()
        for attempt in range(64):
            rng = np.random.default_rng([zlib.crc32(self.name.encode()), self.seed, attempt])
            problem = self.draw(rng)
            problem = replace(problem, weights=problem.weights | drawn_by_keras, dropout=self.dropout)
            if self.given:
                problem = self.given.put_into(problem)
            if self.class_weight is not None:
                problem = replace(problem, sample_weight=class_weights(problem.y, self.class_weight))
            try:
                if drawing.lively(problem) or (self.given and self.given.complete):
                    break
            except BadInput:  # of a draw; what was given stays as it is
                if self.given:
                    raise
        return problem

    def draw(self, rng: np.random.Generator) -> Problem:
        """One draw, whatever it can prove."""
        return drawing.draw(self, rng)

    @property
    def weights_by_keras(self) -> frozenset[str]:
        """The weights, by tensor name, that Keras draws: those with an initializer of their own."""
        return frozenset(
            f"{name}/{tensor}" for name, layer in self.model.named_layers() for tensor in layer.drawn_by_keras
        )

    @property
    def drawn_by_keras(self) -> bool:
        """Whether TensorFlow is needed to draw a problem: for its dropout, or for initial weights."""
        return self.training or bool(self.weights_by_keras)

    def initial_weights(self) -> Arrays:
        """The weights whose initializer is not Keras's default one, as Keras draws them."""
        names = self.weights_by_keras
        if not names:
            return {}
        drawn = tf_oracle.initial_weights(self.model, self.input_shape, self.dtype)
        return {name: drawn[name] for name in names if name in drawn}

    @cached_property
    def dropout(self) -> Arrays:
        """The factors of every dropout as Keras draws them; none without `training`."""
        if not self.training or not self.model.dropout_shapes(self.input_shape):
            return {}
        return tf_oracle.draw_dropout(self.model, self.input_shape, self.dtype, self.batches - 1)


def too_large(what: str, shape: Shape) -> list[str]:
    """The problem with `shape` as that of an array, as a list of no or one sentence."""
    numbers = math.prod(shape)
    if numbers <= MOST_NUMBERS:
        return []
    return [f"{what} of shape {shape} is {numbers} numbers, but should be at most {MOST_NUMBERS}"]


def class_weight_problems(given: object) -> list[str]:
    """What is wrong with weights by class, a sentence each."""
    if not isinstance(given, Mapping):
        return [f"`class_weight` = {given!r}, but should be a dict such as {{0: 1.0, 1: 2.5}}"]
    return [
        f"`class_weight` holds {key!r}: {value!r}, but should hold a number from 0 on for a class, 0, 1, …"
        for key, value in given.items()
        if not (isinstance(key, int) and key >= 0 and NOT_NEGATIVE.holds(value))
    ]
