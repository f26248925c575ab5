"""The Keras side: the same model as real Keras layers under one `tf.GradientTape`.

The only package that imports TensorFlow, and it does so late: importing `tf_oracle` costs nothing,
`tf_oracle.run` loads it.
"""

from tf_oracle.models import draw_dropout, initial_weights
from tf_oracle.start import OracleUnavailable, versions
from tf_oracle.tape import LayerSummary, OraclePass, run
from tf_oracle.training import train

__all__ = [
    "LayerSummary",
    "OraclePass",
    "OracleUnavailable",
    "draw_dropout",
    "initial_weights",
    "run",
    "train",
    "versions",
]
