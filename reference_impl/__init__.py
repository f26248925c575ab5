"""LSTM → Dense backpropagation by hand, in NumPy. See `textbook/` for the derivation as code."""

from reference_impl.dense import Dense
from reference_impl.flatten import Flatten
from reference_impl.inputs import Inputs
from reference_impl.layers import LAYERS
from reference_impl.lstm import GATES, LSTM
from reference_impl.sequential import Sequential
from reference_impl.spec import BadInput, Named

__all__ = ["GATES", "LAYERS", "LSTM", "BadInput", "Dense", "Flatten", "Inputs", "Named", "Sequential"]
