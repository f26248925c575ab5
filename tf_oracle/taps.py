"""The inside of Keras's LSTM: gate values and their gradients at every time step, off the real layer.

Keras does not give them out. Its cell calls its two activations in a fixed order at every step
(keras/src/layers/rnn/lstm.py), so wrapping them, and the cell's `call`, hears every pre-activation
and every gate, and the tape differentiates with respect to the very tensors that were heard.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from reference_impl import LSTM, Inputs, Named, Sequential
from reference_impl.spec import Arrays
from tf_oracle.start import load
from tf_oracle.tape import forward, prepare

VALUES = ("i", "f", "g", "o", "c", "h")
# Each gradient by the tensor that the loss is differentiated by. A tape's gradient is the total one:
# into h_t from above and from the next step, into c_t likewise.
GRADIENTS = {"dz_i": "z_i", "dz_f": "z_f", "dz_g": "z_g", "dz_o": "z_o", "dc": "c", "dh": "h"}

Heard = dict[str, Any]  # the tensors (B, H) of one time step by name


def run(model: Sequential, inputs: Inputs, loss: str | Named | None) -> Arrays:
    """The trace of every LSTM by tensor name ("lstm/i", …, "lstm/dz_i", …), each (B, T, H).

    Arguments as for `tf_oracle.run`. Deterministic. Raises OracleUnavailable.
    """
    tf = load().tf
    twin, watched = prepare(model, inputs)
    cells = {
        name: twin.get_layer(name).cell for name, layer in model.named_layers() if isinstance(layer, LSTM)
    }

    with ExitStack() as taps, tf.GradientTape() as tape:
        tape.watch(list(watched.values()))
        calls = {name: taps.enter_context(tapped(cell)) for name, cell in cells.items()}
        _, value = forward(model, twin, watched, inputs, loss)

    # Keras calls the cell once more before the first step, to learn the shape of what it returns.
    T = inputs.x.shape[1]
    steps = {name: heard[-T:] for name, heard in calls.items()}
    gradients = tape.gradient(
        value,
        {
            name: [{d: step[of] for d, of in GRADIENTS.items()} for step in heard]
            for name, heard in steps.items()
        },
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    trace: Arrays = {}
    for name in steps:
        for found, quantities in ((steps[name], VALUES), (gradients[name], GRADIENTS)):
            trace |= {
                f"{name}/{q}": np.stack([step[q].numpy() for step in found], axis=1) for q in quantities
            }
    return trace


@contextmanager
def tapped(cell: Any) -> Iterator[list[Heard]]:
    """Yield a list to which every call of the Keras LSTM cell within the block adds what it computed."""
    heard: list[Heard] = []
    call, phi, sigma = cell.call, cell.activation, cell.recurrent_activation
    of_phi: list[tuple[Any, Any]] = []
    of_sigma: list[tuple[Any, Any]] = []

    def heard_call(*args: Any, **arguments: Any) -> Any:
        of_phi.clear()
        of_sigma.clear()
        h, states = call(*args, **arguments)
        (z_i, i), (z_f, f), (z_o, o) = of_sigma
        (z_g, g), (c, _) = of_phi
        heard.append(dict(i=i, f=f, g=g, o=o, c=c, h=h, z_i=z_i, z_f=z_f, z_g=z_g, z_o=z_o))
        return h, states

    cell.call = heard_call
    cell.activation, cell.recurrent_activation = listening(phi, of_phi), listening(sigma, of_sigma)
    try:
        yield heard
    finally:
        del cell.call  # the class's own comes back into view
        cell.activation, cell.recurrent_activation = phi, sigma


def listening(function: Callable[[Any], Any], heard: list[tuple[Any, Any]]) -> Callable[[Any], Any]:
    """The `function`, which adds each argument and value to `heard`."""

    def heard_function(z: Any) -> Any:
        y = function(z)
        heard.append((z, y))
        return y

    return heard_function
