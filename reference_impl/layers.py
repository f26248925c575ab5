"""Every layer by Keras's class name. A new layer is one more name here; files are read by this table."""

from reference_impl.dense import Dense
from reference_impl.flatten import Flatten
from reference_impl.lstm import LSTM
from reference_impl.spec import Layer

LAYERS: dict[str, type[Layer]] = {layer.__name__: layer for layer in (LSTM, Dense, Flatten)}
