"""What is run around code that is only a part: our head, a time loop, an update instead of gradients."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from reference_impl import Inputs, Sequential
from reference_impl.losses import LOSSES
from reference_impl.spec import Array, Arrays, BadInput, did_you_mean, look_up
from tapecheck.layout.declaration import Layout
from tapecheck.layout.moves import misfit, only_lstm
from tapecheck.problem import Problem, Result


class Head(NamedTuple):
    """What our layers after the LSTM, and the loss, make of an LSTM's output."""

    dh: Array  # dh_above, in the shape of the h that was given
    gradients: Arrays  # by our tensor names, of the layers after the LSTM
    output: Array  # (B, K) or (B, T, K)
    loss: float


def run_head(problem: Problem, layout: Layout, h: Array) -> Head:
    """Our layers after the LSTM, and the loss, forward and backward on the output of their LSTM.

    `h` is in their axes, of all steps, or without return_sequences of the last step alone; `dh` has the
    same shape, and is zero at the steps that the loss does not see. Raises BadInput.
    """
    lstm, ours = only_lstm(problem), layout.ours(h)
    B, T, _ = problem.x.shape
    all_steps = lstm.return_sequences or ours.ndim == 3
    said = misfit(
        "`h`", ours, (B, T, lstm.units) if all_steps else (B, lstm.units), "BTH" if all_steps else "BH"
    )
    if ours.dtype != problem.dtype:
        said.append(f"`h` is {ours.dtype}, but should be {problem.dtype}, as `x` is")
    if said:
        raise BadInput("this output of the LSTM", said)

    steps = (slice(None), -1) if all_steps and not lstm.return_sequences else ...  # that the loss sees
    dh = np.zeros_like(ours)
    rest, mask = problem.model.layers[1:], lstm.output_mask(problem.x, problem.mask)
    if rest:
        weights = {name: array for name, array in problem.weights.items() if not name.startswith("lstm/")}
        inputs = Inputs(ours[steps], problem.y, weights, mask=mask, sample_weight=problem.sample_weight)
        output, loss, gradients = Sequential(rest).run(inputs, problem.loss)
        dh[steps] = gradients.pop("x")
    else:  # the LSTM's output is the model's
        output, gradients = ours[steps], {}
        found = look_up(LOSSES, problem.loss)
        value, dh[steps] = found.value_and_gradient(problem.y, output, problem.sample_weight, mask)
        loss = float(value)
    return Head(layout.theirs(dh), gradients, output, loss)


def unroll(
    problem: Problem,
    layout: Layout,
    step_forward: Callable[[Array, Array, Array, Arrays], tuple[Array, Array, Any]],
    step_backward: Callable[[Array, Array, Any], tuple[Array, Array, Array, Mapping[str, Array]]],
) -> Result:
    """The time loop, and our head, around someone's single step. All arrays are in their axes.

    `step_forward(x_t, h_prev, c_prev, weights)` returns h, c and a cache.
    `step_backward(dh, dc, cache)` returns dx_t, dh_prev, dc_prev and the gradients of the weights at
    this step, by name. `dh` is dh_above + dh_next; the gradients are summed over the steps here.
    """
    weights = layout.weights(problem)
    h, c = (layout.theirs(problem.initial_state[f"lstm/initial_{name}"]) for name in "hc")
    outputs, caches = [], []
    for x_t in np.moveaxis(problem.x, 1, 0):
        h, c, cache = step_forward(layout.theirs(x_t), h, c, weights)
        outputs.append(h)
        caches.append(cache)

    time = layout.axes.index("T")
    head = run_head(problem, layout, np.stack(outputs, axis=time))

    dh_next, dc_next = np.zeros_like(h), np.zeros_like(c)
    dx: list[Array] = []
    total: dict[str, Any] = {}
    for dh_above, cache in zip(np.moveaxis(head.dh, time, 0)[::-1], caches[::-1], strict=True):
        dx_t, dh_next, dc_next, gradients = step_backward(dh_above + dh_next, dc_next, cache)
        dx.append(dx_t)
        total = {name: total.get(name, 0) + gradient for name, gradient in gradients.items()}

    dx_all = np.stack(dx[::-1], axis=time)
    mine = layout.gradients(problem, total, x=dx_all, initial_h=dh_next, initial_c=dc_next)
    return Result(mine | head.gradients, head.output, head.loss)


def gradient_from_update(
    before: Mapping[str, Array], after: Mapping[str, Array], learning_rate: float
) -> Arrays:
    """The gradients by name behind one plain update, weight -= learning_rate * gradient. What else `after`
    holds, such as the other attributes of an object, is passed over.

    Take a learning rate such as 2.0**20. The update rounds each weight, by eps/2 of it, and the division
    turns that into eps/2 * |weight| / learning_rate: too much to pass with a usual one. From about 10 on
    the step is the larger part, and nothing is lost. The weights after it are no use, so: one update.
    Where the learning rate cannot be changed, give the code weights in `np.longdouble`.

    Raises BadInput with everything that does not fit.
    """
    said = []
    if not (np.isfinite(learning_rate) and learning_rate != 0):
        said.append(f"`learning_rate` = {learning_rate!r}, but should be a finite number that is not 0")
    for name in before:
        if name not in after:
            said.append(f"weight {name!r} is missing in `after`{did_you_mean(name, after)}")
        elif np.shape(before[name]) != np.shape(after[name]):
            was, now = np.shape(before[name]), np.shape(after[name])
            said.append(f"weight {name!r} has shape {now} in `after`, but should be {was}, as in `before`")
        elif np.shares_memory(before[name], after[name]):
            said.append(f"weight {name!r} is the same array before and after: copy it before the update")
    if said:
        raise BadInput("this update", said)
    return {name: (before[name] - after[name]) / learning_rate for name in before}
