"""Every fault of a model."""

from functools import cache

from reference_impl import LSTM, Dense, Masking
from tapecheck.case import Problem
from tapecheck.faults.conventions import conventions
from tapecheck.faults.equations import equations
from tapecheck.faults.fault import Fault
from tapecheck.faults.penalties import penalties
from tapecheck.faults.program import LSTM_BACKWARD
from tapecheck.faults.weighing import weighing


def faults(problem: Problem) -> tuple[Fault, ...]:
    """Every fault that the model and loss of a problem can have."""
    head = problem.model.layers[-1]
    lstms = {name: layer for name, layer in problem.model.named_layers() if isinstance(layer, LSTM)}
    # without an LSTM its equations are Keras's default ones, and no edit of them changes anything
    sigma = min((layer.recurrent_activation for layer in lstms.values()), key=str, default="sigmoid")
    phi = min((layer.activation for layer in lstms.values()), key=str, default="tanh")
    top = head.activation if isinstance(head, Dense) else None
    fused = problem.model.loss_of_logits(problem.loss) is not None
    masked = problem.mask is not None or any(isinstance(layer, Masking) for layer in problem.model.layers)
    found = equations(sigma, phi, top, problem.loss, fused, len(lstms) > 1, masked)
    if len(lstms) > 1:
        found += in_each(found, tuple(lstms))
    return found + conventions() + tuple(penalties(problem.model)) + tuple(weighing(problem))


@cache
def in_each(found: tuple[Fault, ...], names: tuple[str, ...]) -> tuple[Fault, ...]:
    """The mistakes of an LSTM's backward pass, in each of several alone."""
    return tuple(
        fault.in_layer(name)
        for fault in found
        if fault.phase == "backward" and {key.module for key in fault.code} == {LSTM_BACKWARD.name}
        for name in names
    )
