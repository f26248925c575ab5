"""The stack: names, shapes, forward, and backward as forward reversed.

Tensor names are Keras's: a layer is its type in lower case, numbered from the second of its kind on
("lstm", "lstm_1", "dense", …), a tensor "lstm/kernel", an initial state "lstm/initial_h".
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference_impl.dense import Dense
from reference_impl.inputs import Inputs
from reference_impl.losses import FROM_LOGITS, LOSSES, WRONG_LOGITS, Loss
from reference_impl.spec import Array, Arrays, BadInput, Layer, Shape, did_you_mean, one_of

DTYPES = ("float32", "float64")


@dataclass(frozen=True, repr=False)
class Sequential:
    """A model: layers one after the other, as in `keras.Sequential`. Holds no weights and no state.

    The weights live in a dict by tensor name, such as `{"lstm/kernel": (D, 4H) array, …}`.
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        layers = self.layers if isinstance(self.layers, list | tuple) else (self.layers,)
        object.__setattr__(self, "layers", tuple(layers))

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.layers))}])"

    # ---- names and shapes

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """Each layer with its name, first to last."""
        seen: Counter[str] = Counter()
        for layer in self.layers:
            kind = type(layer).__name__.lower()
            yield f"{kind}_{seen[kind]}" if seen[kind] else kind, layer
            seen[kind] += 1

    def shapes(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Shape, Shape]]:
        """Name, layer, input shape and output shape of each layer, for an input (B, T, D)."""
        for name, layer in self.named_layers():
            output_shape = layer.output_shape(input_shape)
            yield name, layer, input_shape, output_shape
            input_shape = output_shape

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the model's output for an input of `input_shape` (B, T, D)."""
        return list(self.shapes(input_shape))[-1][-1]

    def weight_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of every weight by tensor name, for an input (B, T, D)."""
        return {
            f"{name}/{tensor}": shape
            for name, layer, given, _ in self.shapes(input_shape)
            for tensor, shape in layer.weight_shapes(given).items()
        }

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of every initial state by tensor name, for an input (B, T, D)."""
        return {
            f"{name}/{tensor}": shape
            for name, layer, given, _ in self.shapes(input_shape)
            for tensor, shape in layer.state_shapes(given).items()
        }

    # ---- what can be wrong

    def problems(self, input_shape: Shape | None = None) -> list[str]:
        """Everything wrong with the model, and with an input of `input_shape` for it, a sentence each."""
        if not self.layers:
            return ["the model has no layers: give Sequential a list such as [LSTM(8), Dense(1)]"]
        strangers = [layer for layer in self.layers if not isinstance(layer, Layer)]
        if strangers:
            return [
                f"{layer!r} is no layer of reference_impl: use LSTM, Dense or Flatten" for layer in strangers
            ]
        said = [
            f"layer {position} ({name}): {problem}"
            for position, (name, layer) in enumerate(self.named_layers())
            for problem in layer.problems()
        ]
        if said or input_shape is None:
            return said
        for position, (name, layer) in enumerate(self.named_layers()):
            said = [f"layer {position} ({name}): {problem}" for problem in layer.shape_problems(input_shape)]
            if said:  # nothing can be said of the layers after it
                return said
            input_shape = layer.output_shape(input_shape)
        return []

    def loss_problems(self, loss: object) -> list[str]:
        """Why this model cannot be trained on `loss`, a sentence each; None is the free upstream gradient."""
        if loss is None:
            return []
        said = one_of("loss", loss, [name for name in LOSSES if name])
        head = self.layers[-1] if self.layers else None
        if not said and isinstance(head, Dense) and (loss, head.activation) in WRONG_LOGITS:
            own = WRONG_LOGITS[str(loss), str(head.activation)]
            said.append(
                f"`loss` = {loss!r} on a {head.activation} head: Keras would take the {head.activation}'s "
                f"logits for a {own}'s and compute another loss; use activation={own!r}, or another loss"
            )
        return said

    def _check(self, weights: Arrays, x: Array, initial_state: Arrays, targets: dict[str, Array]) -> None:
        """Raise one BadInput for everything that does not fit; `targets` holds y, or nothing."""
        if not isinstance(x, np.ndarray) or x.dtype not in DTYPES or x.ndim < 2:
            found = f"a {x.dtype} array of shape {x.shape}" if isinstance(x, np.ndarray) else repr(type(x))
            raise BadInput(
                "this input", [f"`x` is {found}, but should be a float32 or float64 array (B, T, D)"]
            )
        said = self.problems(x.shape)
        if said:
            raise BadInput("this model", said)
        said += misfits("weight", weights, self.weight_shapes(x.shape), x.dtype)
        states = self.state_shapes(x.shape)
        given = {name: shape for name, shape in states.items() if name in initial_state}
        said += misfits("initial state", initial_state, given, x.dtype, known=states)
        said += misfits("target", targets, {name: self.output_shape(x.shape) for name in targets}, x.dtype)
        if said:
            raise BadInput("these arrays", said)

    # ---- the two passes

    def init(self, rng: np.random.Generator, input_shape: Shape, dtype: str = "float64") -> Arrays:
        """Fresh weights as Keras would draw them, for an input (B, T, D): glorot_uniform kernels,
        orthogonal recurrent kernels, zero biases with ones for the forget gate.

        Raises BadInput for a model that cannot take that input.
        """
        said = self.problems(input_shape)
        if said:
            raise BadInput("this model", said)
        return {
            f"{name}/{tensor}": array.astype(dtype)
            for name, layer, given, _ in self.shapes(input_shape)
            for tensor, array in layer.init(rng, given).items()
        }

    def predict(
        self, weights: Arrays, x: Array, *, initial_state: Mapping[str, Array] | None = None
    ) -> Array:
        """The model's output, (B, K) or (B, T, K), for `x` (B, T, D). Raises BadInput."""
        states = dict(initial_state or {})
        self._check(weights, x, states, {})
        return self.forward(weights, x, states)[0]

    def loss_and_gradients(
        self,
        weights: Arrays,
        x: Array,
        y: Array,
        *,
        loss: str | None = "mean_squared_error",
        initial_state: Mapping[str, Array] | None = None,
    ) -> tuple[float, Arrays]:
        """The loss and its gradient with respect to every weight, `x` and every initial state.

        `weights` by tensor name; `x` (B, T, D); `y` of the output's shape, all of one dtype, float32
        or float64; `initial_state` by tensor name (B, H), zeros where it is left out. With `loss=None`,
        `y` is the gradient of the output itself and the loss is sum(y * output).

        Raises BadInput with everything that is wrong with the model or the arrays.
        """
        _, value, gradients = self.run(Inputs(x, y, weights, dict(initial_state or {})), loss)
        return value, gradients

    def run(self, inputs: Inputs, loss: str | None) -> tuple[Array, float, Arrays]:
        """As `loss_and_gradients`, with the output of the forward pass first."""
        said = self.loss_problems(loss)
        if said:
            raise BadInput("this loss", said)
        y, weights = inputs.y, inputs.weights
        self._check(weights, inputs.x, inputs.initial_state, {"y": y})
        wrong_target = LOSSES[loss].targets.problem(y)
        if wrong_target:
            raise BadInput("these targets", [f"`y` for {loss} {wrong_target}"])

        output, caches = self.forward(weights, inputs.x, inputs.initial_state)
        of_logits = self.loss_of_logits(loss)
        if of_logits is None:
            dy = LOSSES[loss].backward(y, output)
            return output, float(LOSSES[loss].value(y, output)), self.backward(weights, caches, dy)
        logits = caches[-1].logits
        dlogits = of_logits.backward(y, logits)
        value = float(of_logits.value(y, logits))
        return output, value, self.backward(weights, caches, dlogits, from_logits=True)

    def loss_of_logits(self, loss: str | None) -> Loss | None:
        """The form of `loss` that takes the head's logits, where Keras uses one (see FROM_LOGITS)."""
        head = self.layers[-1]
        return FROM_LOGITS.get((str(loss), str(head.activation))) if isinstance(head, Dense) else None

    def forward(self, weights: Arrays, x: Array, initial_state: Arrays) -> tuple[Array, list[Any]]:
        """Output and each layer's cache."""
        caches = []
        for name, layer in self.named_layers():
            state = {
                tensor: initial_state.get(f"{name}/{tensor}", np.zeros(shape, x.dtype))
                for tensor, shape in layer.state_shapes(x.shape).items()
            }
            x, cache = layer.forward(own(weights, name), x, state)
            caches.append(cache)
        return x, caches

    def backward(self, weights: Arrays, caches: list[Any], dy: Array, *, from_logits: bool = False) -> Arrays:
        """Every gradient from that of the output, or of the head's logits with `from_logits`."""
        gradients: Arrays = {}
        for (name, layer), cache in reversed(list(zip(self.named_layers(), caches, strict=True))):
            if from_logits and isinstance(layer, Dense):
                found = layer.backward_from_logits(own(weights, name), cache, dy)
                from_logits = False  # only the head, which comes first here
            else:
                found = layer.backward(own(weights, name), cache, dy)
            dy = found.pop("x")
            gradients |= {f"{name}/{tensor}": array for tensor, array in found.items()}
        return {"x": dy} | gradients


def own(weights: Arrays, name: str) -> Arrays:
    """The weights of the layer `name`, by the layer's own tensor names."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): array for key, array in weights.items() if key.startswith(prefix)}


def misfits(
    kind: str,
    arrays: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    dtype: np.dtype,
    known: Mapping[str, Shape] | None = None,
) -> list[str]:
    """How `arrays` differ from what `shapes` asks for, a sentence each. `known` may be given beyond."""
    known = shapes if known is None else known
    said = [f"no {kind} is named {name!r}{did_you_mean(name, known)}" for name in arrays if name not in known]
    for name, shape in shapes.items():
        array = arrays.get(name)
        if array is None:
            said.append(f"{kind} {name!r} is missing: it should be a {dtype} array of shape {shape}")
        elif not isinstance(array, np.ndarray):
            said.append(f"{kind} {name!r} is a {type(array).__name__}, but should be a NumPy array {shape}")
        elif array.shape != shape:
            said.append(f"{kind} {name!r} has shape {array.shape}, but should be {shape}")
        elif array.dtype != dtype:
            said.append(f"{kind} {name!r} is {array.dtype}, but should be {dtype}, as `x` is")
        elif not np.isfinite(array).all():
            where = [int(k) for k in np.argwhere(~np.isfinite(array))[0]]
            said.append(f"{kind} {name!r} holds {array[tuple(where)]!s} at {where}, but should be finite")
    return said
