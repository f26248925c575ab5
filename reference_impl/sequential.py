"""The stack: names, shapes, forward, and backward as forward reversed.

Tensor names are Keras's: a layer is its type in snake case, numbered from the second of its kind on
("lstm", "lstm_1", "dense", …), a tensor "lstm/kernel", an initial state "lstm/initial_h".
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from reference_impl import penalties
from reference_impl.activation import Activation
from reference_impl.checks import (
    earlier_problems,
    mask_problems,
    model_problems,
    target_misfits,
    tensor_problems,
    x_problems,
)
from reference_impl.dense import Dense
from reference_impl.inputs import Inputs
from reference_impl.losses import (
    LOSSES,
    Loss,
    loss_of_logits,
    loss_problems,
    output_problems,
    target_problems,
)
from reference_impl.penalties import Outputs
from reference_impl.remembered import remembered
from reference_impl.spec import NOTHING, Array, Arrays, BadInput, Layer, Named, Shape, look_up

NO_OUTPUTS: Mapping[str, Outputs] = MappingProxyType({})


class Forward(NamedTuple):
    """What a forward pass leaves."""

    output: Array  # (B, K) or (B, T, K)
    caches: list[Any]  # each layer's, for the backward pass
    final_state: Arrays  # by tensor name: "lstm/final_h", …, (B, H) each
    mask: Array | None  # (B, T), of the output
    activities: Mapping[str, Outputs]  # by layer: the outputs that an activity regularizer acts on


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

    @remembered
    def named_layers(self) -> Sequence[tuple[str, Layer]]:
        """Each layer with its name, first to last."""
        seen: Counter[str] = Counter()
        named = []
        for layer in self.layers:
            kind = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
            named.append((f"{kind}_{seen[kind]}" if seen[kind] else kind, layer))
            seen[kind] += 1
        return tuple(named)

    def shapes(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Shape, Shape]]:
        """Name, layer, input shape and output shape of each layer, for an input (B, T, D)."""
        for name, layer in self.named_layers():
            output_shape = layer.output_shape(input_shape)
            yield name, layer, input_shape, output_shape
            input_shape = output_shape

    @remembered
    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the model's output for an input of `input_shape` (B, T, D)."""
        return list(self.shapes(input_shape))[-1][-1]

    def mask_of_output(self, input_shape: Shape) -> Array | None:
        """A mask (B, T) as it comes out for a masked input of `input_shape`; None where a layer ends it."""
        mask: Array | None = np.ones(input_shape[:2], bool)
        for _, layer, given, _ in self.shapes(input_shape):
            mask = layer.output_mask(np.zeros(given), mask)
        return mask

    def weight_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of every weight by tensor name, for an input (B, T, D)."""
        return dict(self._tensor_shapes("weight_shapes", input_shape))

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of every initial state by tensor name, for an input (B, T, D)."""
        return dict(self._tensor_shapes("state_shapes", input_shape))

    def dropout_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of every array of dropout factors by tensor name, for an input (B, T, D)."""
        return dict(self._tensor_shapes("dropout_shapes", input_shape))

    def upstream_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of every final state that is an output of its own, by tensor name."""
        return dict(self._tensor_shapes("upstream_shapes", input_shape))

    @remembered
    def _tensor_shapes(self, kind: str, input_shape: Shape) -> Mapping[str, Shape]:
        return {
            f"{name}/{tensor}": shape
            for name, layer, given, _ in self.shapes(input_shape)
            for tensor, shape in getattr(layer, kind)(given).items()
        }

    def of_weights(self, kind: str) -> dict[str, str | Named]:
        """Every "regularizer" or "constraint" of a weight, by tensor name."""
        return {
            f"{name}/{tensor}": value
            for name, layer in self.named_layers()
            for tensor, value in layer.of_weights(kind).items()
        }

    @property
    def stateful_names(self) -> frozenset[str]:
        """The names of the layers whose states go on from batch to batch."""
        return frozenset(name for name, layer in self.named_layers() if getattr(layer, "stateful", False))

    @remembered
    def _regularized(self) -> bool:
        """Whether anything is added to the loss."""
        return any(
            layer.of_weights("regularizer") or penalties.activity(layer) for _, layer in self.named_layers()
        )

    # ---- the head

    @property
    def head(self) -> str | Named | None:
        """The activation of the last layer, where Keras sees its logits: through no other layer after it."""
        layer = self.layers[-1] if self.layers else None
        return layer.activation if isinstance(layer, Dense | Activation) else None

    @property
    def top_activation(self) -> str | Named | None:
        """The activation that the output has gone through last; None is linear."""
        for layer in reversed(self.layers):
            inner = getattr(layer, "layer", layer)  # of a TimeDistributed
            if hasattr(inner, "activation"):
                return inner.activation
        return None

    @remembered
    def loss_of_logits(self, loss: str | Named | None) -> Loss | None:
        """The form of `loss` that takes the head's logits, where Keras uses one."""
        return loss_of_logits(loss, self.head)

    # ---- what can be wrong

    def problems(self, input_shape: Shape | None = None) -> list[str]:
        """Everything wrong with the model, and with an input of `input_shape` for it, a sentence each."""
        return list(self._problems(input_shape))

    @remembered
    def _problems(self, input_shape: Shape | None) -> Sequence[str]:
        return model_problems(self.named_layers(), input_shape)

    def loss_problems(self, loss: object, input_shape: Shape | None = None) -> list[str]:
        """Why this model, for an input of `input_shape`, cannot be trained on `loss`, a sentence each; None
        is the free upstream gradient.
        """
        return list(self._loss_problems(loss, repr(loss), input_shape))

    @remembered
    def _loss_problems(self, loss: object, written: str, input_shape: Shape | None) -> Sequence[str]:
        # `written` tells True from 1, which are equal
        return loss_problems(loss, self.head, input_shape and self.output_shape(input_shape))

    def _check(self, inputs: Inputs, loss: str | Named | None = None, *, forward: bool = False) -> None:
        """Raise one BadInput for everything that does not fit; `y` and its weights unless `forward`."""
        if said := x_problems(inputs.x):
            raise BadInput("this input", said)
        shape = inputs.x.shape
        if said := self.problems(shape):
            raise BadInput("this model", said)
        said = tensor_problems(inputs, lambda kind: self._tensor_shapes(kind, shape))
        said += [] if forward else target_misfits(inputs, loss, self.output_shape(shape))
        said += mask_problems(inputs.mask, shape)
        said += earlier_problems(inputs)
        if said:
            raise BadInput("these arrays", said)

    # ---- for the caller: everything is checked

    def init(self, rng: np.random.Generator, input_shape: Shape, dtype: str = "float64") -> Arrays:
        """Fresh weights as Keras would draw them, for an input (B, T, D): by the layers' initializers, which
        by default make glorot_uniform kernels, orthogonal recurrent kernels, and zero biases with ones for
        the forget gate.

        Raises BadInput for a model that cannot take that input.
        """
        said = self.problems(input_shape)
        if said:
            raise BadInput("this model", said)
        return {
            f"{name}/{tensor}": array.astype(dtype, order="C")
            for name, layer, given, _ in self.shapes(input_shape)
            for tensor, array in layer.init(rng, given).items()
        }

    def predict(
        self, weights: Arrays, x: Array, *, initial_state: Mapping[str, Array] | None = None
    ) -> Array:
        """The model's output, (B, K) or (B, T, K), for `x` (B, T, D). Raises BadInput."""
        inputs = Inputs(x, np.empty(0), weights, dict(initial_state or {}))
        self._check(inputs, forward=True)
        return self.forward(inputs).output

    def loss_and_gradients(
        self,
        weights: Arrays,
        x: Array,
        y: Array,
        *,
        loss: str | Named | None = "mean_squared_error",
        initial_state: Mapping[str, Array] | None = None,
        sample_weight: Array | None = None,
    ) -> tuple[float, Arrays]:
        """The loss and its gradient with respect to every weight, `x` and every initial state.

        `weights` by tensor name; `x` (B, T, D); `y` of the output's shape, or labels without its last
        axis; all of one dtype, float32 or float64. `initial_state` by tensor name (B, H), zeros where it is
        left out. `sample_weight` (B,), and for an output of all steps (B, T) or (B, 1). With `loss=None`,
        `y` is the gradient of the output itself and the loss is sum(y * output).

        Raises BadInput with everything that is wrong with the model or the arrays.
        """
        inputs = Inputs(x, y, weights, dict(initial_state or {}), sample_weight=sample_weight)
        _, value, gradients = self.run(inputs, loss)
        return value, gradients

    def run(self, inputs: Inputs, loss: str | Named | None) -> tuple[Array, float, Arrays]:
        """As `loss_and_gradients`, with the output of the forward pass first."""
        if said := self._loss_problems(loss, repr(loss), None):
            raise BadInput("this loss", said)
        used, y = look_up(LOSSES, loss), inputs.y
        if used.targets.whole and isinstance(y, np.ndarray) and y.dtype.kind in "iu":
            y = y.astype(inputs.x.dtype)
        self._check(inputs if y is inputs.y else replace(inputs, y=y), loss)
        if said := self._loss_problems(loss, repr(loss), inputs.x.shape):
            raise BadInput("this loss", said)
        if said := target_problems(loss, y, self.output_shape(inputs.x.shape)):
            raise BadInput("these targets", said)

        output, caches, final_state, mask, activities = self.forward(inputs)
        if said := output_problems(loss, output, mask):
            raise BadInput("this loss", said)
        of_logits = self.loss_of_logits(loss)
        used, given = (used, output) if of_logits is None else (of_logits, caches[-1].logits)
        value, dy = used.value_and_gradient(y, given, inputs.sample_weight, mask)
        for name, gradient in inputs.upstream.items():
            value += (gradient * final_state[name]).sum()
        if self._regularized():
            value += penalties.penalty(
                (layer, own(inputs.weights, name), activities[name]) for name, layer in self.named_layers()
            )
        with np.errstate(invalid="ignore"):  # what no loss is defined for is NaN, as in Keras
            gradients = self.backward(
                inputs.weights,
                caches,
                dy,
                from_logits=of_logits is not None,
                upstream=inputs.upstream,
                activities=activities,
            )
        return output, float(value), gradients

    # ---- the two passes: nothing is checked

    def forward(self, inputs: Inputs) -> Forward:
        """Output, and what the backward pass needs."""
        states = self.carried(inputs)
        return self._forward(inputs.weights, inputs.x, states | inputs.dropout, inputs.mask)

    def carried(self, inputs: Inputs) -> Arrays:
        """The initial states of the pass: those given, or those that earlier batches have left."""
        states = dict(inputs.initial_state)
        for batch in inputs.before:
            left = {} if batch is None else self._forward(inputs.weights, batch, states, None).final_state
            states |= self.stateful_only(left, inputs.x)
        return states

    def stateful_only(self, final_state: Arrays, x: Array) -> Arrays:
        """The initial states of every stateful layer for the next batch; zeros where none is left."""
        return {
            name: final_state.get(name.replace("/initial_", "/final_"), np.zeros(shape, x.dtype))
            for name, shape in self.state_shapes(x.shape).items()
            if name.split("/")[0] in self.stateful_names
        }

    def _forward(self, weights: Arrays, x: Array, given: Arrays, mask: Array | None) -> Forward:
        caches = []
        final_state: Arrays = {}
        activities: dict[str, Outputs] = {}
        regularized = self._regularized()
        for name, layer in self.named_layers():
            here = own(given, name)
            for tensor, shape in layer.state_shapes(x.shape).items():
                if tensor not in here:
                    here[tensor] = np.zeros(shape, x.dtype)
            if mask is not None:
                here["mask"] = mask
            mask = layer.output_mask(x, mask)
            x, cache = layer.forward(own(weights, name), x, here)
            if final := layer.final_state(cache):
                final_state |= {f"{name}/{tensor}": h for tensor, h in final.items()}
            if regularized:
                activities[name] = penalties.outputs_of(layer, x, final)
            caches.append(cache)
        return Forward(x, caches, final_state, mask, activities)

    def backward(
        self,
        weights: Arrays,
        caches: list[Any],
        dy: Array,
        *,
        from_logits: bool = False,
        upstream: Mapping[str, Array] = NOTHING,
        activities: Mapping[str, Outputs] = NO_OUTPUTS,
    ) -> Arrays:
        """Every gradient from that of the output, or of the head's logits with `from_logits`, from those of
        the final states in `upstream`, and from the penalties on weights and on the outputs in `activities`.
        """
        gradients: Arrays = {}
        regularized = self._regularized()
        for (name, layer), cache in reversed(list(zip(self.named_layers(), caches, strict=True))):
            here, above = own(weights, name), own(upstream, name)
            logits = cache.logits if from_logits else None
            d_penalty = penalties.d_outputs(layer, activities.get(name, {}), logits) if regularized else {}
            if d_penalty:
                dy = dy + d_penalty.pop("y")
                above |= {tensor: above.get(tensor, 0) + d for tensor, d in d_penalty.items()}
            if from_logits and isinstance(layer, Dense | Activation):
                found = layer.backward_from_logits(here, cache, dy)
                from_logits = False  # only the head, which comes first here
            else:
                found = layer.backward(here, cache, dy, above)
            for tensor, d in penalties.d_weights(layer, here).items() if regularized else ():
                found[tensor] = found[tensor] + d
            dy = found.pop("x")
            gradients |= {f"{name}/{tensor}": array for tensor, array in found.items()}
        return {"x": dy} | gradients


def own(weights: Mapping[str, Array], name: str) -> Arrays:
    """The weights of the layer `name`, by the layer's own tensor names."""
    if not weights:
        return {}
    return {tensor: weights[key] for key, tensor in own_names(tuple(weights), name)}


@lru_cache(1024)
def own_names(keys: tuple[str, ...], name: str) -> Sequence[tuple[str, str]]:
    """Which of the tensor names are of the layer `name`, with the layer's own names of these tensors."""
    prefix = f"{name}/"
    return [(key, key[len(prefix) :]) for key in keys if key.startswith(prefix)]
