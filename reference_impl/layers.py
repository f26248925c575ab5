"""Every layer by the name of its class, which is Keras's."""

from collections.abc import Mapping
from types import MappingProxyType

from reference_impl.activation import Activation
from reference_impl.dense import Dense
from reference_impl.dropout import Dropout
from reference_impl.flatten import Flatten
from reference_impl.lstm import LSTM
from reference_impl.masking import Masking
from reference_impl.repeat_vector import RepeatVector
from reference_impl.spec import Layer
from reference_impl.time_distributed import TimeDistributed

LAYERS: Mapping[str, type[Layer]] = MappingProxyType(
    {
        layer.__name__: layer
        for layer in (LSTM, Dense, TimeDistributed, Activation, Dropout, Flatten, Masking, RepeatVector)
    }
)
