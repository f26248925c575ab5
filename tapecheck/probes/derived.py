"""Problems derived from a given one, each with something taken away: steps, rows, a path of the gradient."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reference_impl import LSTM, Named
from reference_impl.losses import LOSSES, target_problems
from reference_impl.lstm import GATES
from reference_impl.spec import Array, BadInput, Shape, look_up
from tapecheck.problem import Problem

# A bias that closes a sigmoid gate: sigmoid(-60) is 1e-26.
CLOSED = -60.0


def cut(problem: Problem | None, batch: int | None = None, timesteps: int | None = None) -> Problem | None:
    """The first rows of the batch, the first time steps; a kernel behind a Flatten is cut with them. None
    where the loss cannot take what is left, as with labels that need more steps.
    """
    if problem is None:
        return None
    case = problem.case
    try:
        case = replace(case, batch=batch or case.batch, timesteps=timesteps or case.timesteps)
    except BadInput:
        return None
    model, given = case.model, case.input_shape

    def crop(array: Array, shape: Shape) -> Array:
        return array[tuple(map(slice, shape))].copy()

    y = crop(problem.y, look_up(LOSSES, case.loss).targets.shape(case.output_shape))
    if target_problems(case.loss, y, case.output_shape):
        return None
    weight = problem.sample_weight
    states = model.state_shapes(given)
    dropout, upstream = model.dropout_shapes(given), model.upstream_shapes(given)
    return replace(
        problem,
        case=case,
        x=crop(problem.x, given),
        y=y,
        weights={
            name: crop(problem.weights[name], shape) for name, shape in model.weight_shapes(given).items()
        },
        initial_state={name: crop(array, states[name]) for name, array in problem.initial_state.items()},
        sample_weight=None if weight is None else crop(weight, case.output_shape[: weight.ndim]),
        mask=None if problem.mask is None else crop(problem.mask, given[:2]),
        dropout={name: crop(array, dropout[name]) for name, array in problem.dropout.items()},
        upstream={name: crop(array, upstream[name]) for name, array in problem.upstream.items()},
        before=tuple(None if earlier is None else crop(earlier, given) for earlier in problem.before),
    )


def at_rest(problem: Problem) -> Problem:
    """The problem with initial states of zero."""
    return replace(problem, initial_state={name: 0 * array for name, array in problem.initial_state.items()})


def edit_weights(problem: Problem, tensor: str, edit: Callable[[Array], Array]) -> Problem:
    """The problem with `edit` applied to the weight `tensor` of every LSTM."""
    names = [f"{name}/{tensor}" for name, layer in problem.model.named_layers() if isinstance(layer, LSTM)]
    edited = {name: edit(problem.weights[name]).astype(problem.dtype) for name in names}
    return replace(problem, weights=problem.weights | edited)


def without_dh_next(problem: Problem) -> Problem:
    """W_h = 0, so that dh_next is."""
    return edit_weights(problem, "recurrent_kernel", np.zeros_like)


def without_dc_next(problem: Problem) -> Problem | None:
    """f = 0 by a large negative bias, so that dc_next is, and dz_f with it; None where it cannot be."""
    lstms = [layer for layer in problem.model.layers if isinstance(layer, LSTM)]
    if not all(layer.use_bias and layer.recurrent_activation == "sigmoid" for layer in lstms):
        return None

    def close(bias: Array) -> Array:
        gates = bias.reshape(4, -1).copy()
        gates[GATES.index("f")] = CLOSED
        return gates.ravel()

    return edit_weights(problem, "bias", close)


def with_symmetric_kernel(problem: Problem) -> Problem:
    """Each gate's block of W_h made symmetric, so that transposing it changes nothing."""

    def symmetrise(W_h: Array) -> Array:
        blocks = np.split(W_h, 4, axis=1)  # (H, H) each
        return np.concatenate([(block + block.T) / 2 for block in blocks], axis=1)

    return edit_weights(problem, "recurrent_kernel", symmetrise)


def steered(problem: Problem, factor: float | Array) -> Problem | None:
    """The problem whose upstream gradient is `factor` times as large, by its targets alone; None for a
    loss of which targets cannot do that.

    The gradient of the mean squared error is linear in y_pred - y, and a free upstream gradient is y.
    """
    name = problem.loss.name if isinstance(problem.loss, Named) else problem.loss
    if name not in (None, "mean_squared_error"):
        return None
    y_pred = 0 if problem.loss is None else np.asarray(problem.reference.output)
    return replace(problem, y=(y_pred + factor * (problem.y - y_pred)).astype(problem.dtype))


def with_free_upstream(problem: Problem) -> Problem:
    """The same gradients asked for with loss=None: `y` is the dy of the loss."""
    found, mask = look_up(LOSSES, problem.loss), problem.model.forward(problem).mask
    output = np.asarray(problem.reference.output)
    _, dy = found.value_and_gradient(problem.y, output, problem.sample_weight, mask)
    case = replace(problem.case, loss=None, sample_weight=None, class_weight=None)
    return replace(problem, case=case, y=dy.astype(problem.dtype), sample_weight=None)


def in_float32(problem: Problem) -> Problem:
    """The problem with every array rounded to float32."""
    narrow = problem.map(lambda array: array.astype(np.float32))
    return replace(narrow, case=replace(problem.case, dtype="float32"))
