"""Every fault of a model."""

from reference_impl import LSTM, Dense
from tapecheck.case import Problem
from tapecheck.faults.conventions import conventions
from tapecheck.faults.equations import equations
from tapecheck.faults.fault import Fault
from tapecheck.faults.penalties import penalties
from tapecheck.faults.weighing import weighing


def faults(problem: Problem) -> tuple[Fault, ...]:
    """Every fault that the model and loss of a problem can have."""
    head = problem.model.layers[-1]
    lstms = [layer for layer in problem.model.layers if isinstance(layer, LSTM)]
    # without an LSTM its equations are Keras's default ones, and no edit of them changes anything
    sigma = min((layer.recurrent_activation for layer in lstms), key=str, default="sigmoid")
    phi = min((layer.activation for layer in lstms), key=str, default="tanh")
    top = head.activation if isinstance(head, Dense) else None
    fused = problem.model.loss_of_logits(problem.loss) is not None
    found = equations(sigma, phi, top, problem.loss, fused) + conventions()
    return found + tuple(penalties(problem.model)) + tuple(weighing(problem))
