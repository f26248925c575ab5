"""LSTM → Dense backpropagation by hand, in NumPy. See `textbook/` for the derivation as code."""

from reference_impl.activation import Activation
from reference_impl.dense import Dense
from reference_impl.dropout import Dropout
from reference_impl.flatten import Flatten
from reference_impl.inputs import Inputs
from reference_impl.layers import LAYERS
from reference_impl.lstm import GATES, LSTM
from reference_impl.masking import Masking
from reference_impl.repeat_vector import RepeatVector
from reference_impl.sequential import Sequential
from reference_impl.spec import BadInput, Named
from reference_impl.time_distributed import TimeDistributed

__all__ = [
    "GATES",
    "LAYERS",
    "LSTM",
    "Activation",
    "BadInput",
    "Dense",
    "Dropout",
    "Flatten",
    "Inputs",
    "Masking",
    "Named",
    "RepeatVector",
    "Sequential",
    "TimeDistributed",
]
