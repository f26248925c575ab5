"""The losses of Keras by the name of their function, with arguments, in the dtype of the problem."""

from typing import Any

import numpy as np

from reference_impl import Named
from tf_oracle.start import load


def keras_loss(loss: str | Named, dtype: np.dtype) -> Any:
    """The `keras.losses` object. Keras's own default dtype is float32 whatever the outputs are, and two of
    its losses keep a float32 number even so, which is put right here (docs/findings.md, 3 and 24).
    """
    name, arguments = (loss.name, loss.arguments) if isinstance(loss, Named) else (loss, {})
    in_dtype = {
        key: np.asarray(value, dtype) if key == "alpha" and isinstance(value, tuple) else value
        for key, value in arguments.items()
    }
    made = loss_class(name)(**in_dtype, dtype=dtype.name)
    if name == "log_cosh":
        make_zero_at_zero(made)
    return made


def loss_class(name: str) -> Any:
    """The class by the name of its function: KLDivergence for "kl_divergence"."""
    losses = load().keras.losses
    (found,) = [key for key in vars(losses) if key.lower() == name.replace("_", "") and not key.islower()]
    return getattr(losses, found)


def make_zero_at_zero(loss: Any) -> None:
    """Take from each value what the loss has where output and target are equal: a float32's log(2) less
    a float64's.
    """
    call = loss.call

    def corrected(y_true: Any, y_pred: Any) -> Any:
        zero = load().tf.zeros_like(y_pred)
        return call(y_true, y_pred) - call(zero, zero)

    loss.call = corrected
