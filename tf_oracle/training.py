"""Training in Keras: its own optimizer, schedule and constraints on the twin's variables."""

from collections.abc import Iterator

from reference_impl import Inputs, Sequential
from reference_impl.spec import Arrays, Named
from tf_oracle.models import get_weights, variables
from tf_oracle.named import optimizer
from tf_oracle.start import load
from tf_oracle.tape import forward, prepare


def train(
    model: Sequential, inputs: Inputs, loss: str | Named | None, named: str | Named, steps: int
) -> Iterator[Arrays]:
    """The weights after each of so many steps of Keras's optimizer, each on the same inputs.

    Arguments as for `run`, with the optimizer's name. Deterministic. Raises OracleUnavailable.
    """
    tf = load().tf
    twin, watched = prepare(model, inputs)
    made, trained = optimizer(named, inputs.x.dtype.name), list(variables(twin).values())
    for _ in range(steps):
        with tf.GradientTape() as tape:
            _, value = forward(model, twin, watched, inputs, loss)
        gradients = tape.gradient(
            value,
            [variable.value for variable in trained],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        made.apply(gradients, trained)
        yield get_weights(twin)
