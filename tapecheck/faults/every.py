"""Every fault of a model: the single mistakes in an equation, and what else people get wrong around them."""

from functools import cache

from reference_impl import LSTM, Dense, Masking, Sequential
from tapecheck.faults.conventions import conventions
from tapecheck.faults.equations import Which, Writer, called, equations
from tapecheck.faults.fault import Fault
from tapecheck.faults.loops import written
from tapecheck.faults.parts import in_one_gate, in_one_term, in_several_sums
from tapecheck.faults.penalties import penalties
from tapecheck.faults.program import LSTM_BACKWARD
from tapecheck.faults.weighing import weighing
from tapecheck.problem import Problem


def faults(problem: Problem) -> tuple[Fault, ...]:
    """Every fault that the model and loss of a problem can have by a single mistake in an equation, or by a
    convention that acts on results.
    """
    sigma, phi, top = activations(problem.model)
    fused = problem.model.loss_of_logits(problem.loss) is not None
    masked = problem.mask is not None or any(isinstance(layer, Masking) for layer in problem.model.layers)
    stacked = len(lstms(problem.model)) > 1
    found = equations(sigma, phi, top, problem.loss, fused, stacked, masked)
    found += in_each(found, lstms(problem.model))
    return found + conventions() + tuple(penalties(problem.model)) + tuple(weighing(problem))


def further(problem: Problem) -> tuple[Fault, ...]:
    """Mistakes in a part of an equation or around it, to be tried where none of `faults` is the one."""
    found = around(*activations(problem.model), called(problem.loss))
    return found + in_each(found, lstms(problem.model))


@cache
def around(sigma: Which, phi: Which, top: Which, loss: str) -> tuple[Fault, ...]:
    """Those for a model with these activations and this loss."""
    writer = Writer(sigma, phi, top, fused=False)
    loops = (writer.written(*each) for each in written(loss))
    found = [*loops, *in_one_gate(writer), *in_several_sums(writer), *in_one_term(writer)]
    return tuple(fault for fault in found if fault.wrong != fault.right)


def activations(model: Sequential) -> tuple[Which, Which, Which]:
    """The recurrent activation, the activation and that of the head.

    Without an LSTM its equations are Keras's default ones, and no edit of them changes anything.
    """
    layers = [layer for layer in model.layers if isinstance(layer, LSTM)]
    head = model.layers[-1]
    return (
        min((layer.recurrent_activation for layer in layers), key=str, default="sigmoid"),
        min((layer.activation for layer in layers), key=str, default="tanh"),
        head.activation if isinstance(head, Dense) else None,
    )


def lstms(model: Sequential) -> tuple[str, ...]:
    """The names of the LSTMs."""
    return tuple(name for name, layer in model.named_layers() if isinstance(layer, LSTM))


@cache
def in_each(found: tuple[Fault, ...], names: tuple[str, ...]) -> tuple[Fault, ...]:
    """The mistakes of an LSTM's backward pass, in each of several alone."""
    if len(names) < 2:
        return ()
    return tuple(
        fault.in_layer(name)
        for fault in found
        if fault.phase == "backward" and {key.module for key in fault.code} == {LSTM_BACKWARD.name}
        for name in names
    )
