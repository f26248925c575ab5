"""Where Keras is known to be off (docs/findings.md), so that a report can say which of it a case meets."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from reference_impl import LSTM, Named, TimeDistributed
from reference_impl.spec import Layer
from tapecheck.case import Case


class Finding(NamedTuple):
    """One of docs/findings.md: its heading there, and whether a case can meet it."""

    heading: str
    met_by: Callable[[Case], bool]


def activations(case: Case) -> Iterator[str]:
    """The name of every activation that the case runs."""
    for layer in layers(case):
        for argument in ("activation", "recurrent_activation"):
            value = getattr(layer, argument, None)
            if value is not None:
                yield value.name if isinstance(value, Named) else value


def layers(case: Case) -> Iterator[Layer]:
    """The layers, and those inside TimeDistributed."""
    for layer in case.model.layers:
        yield layer.layer if isinstance(layer, TimeDistributed) else layer


def uses(*names: str) -> Callable[[Case], bool]:
    """Whether a case runs one of these activations."""
    return lambda case: not set(names).isdisjoint(activations(case))


def zeros_unrolled_backwards(case: Case) -> bool:
    """Whether masked steps of an LSTM that is unrolled backwards are to be zero."""
    return case.masks and any(
        layer.unroll and layer.go_backwards and layer.zero_output_for_mask
        for layer in layers(case)
        if isinstance(layer, LSTM)
    )


FINDINGS = (
    Finding("9. Unrolled backwards, the wrong steps are zero", zeros_unrolled_backwards),
    Finding("15. sparsemax subtracts the wrong threshold", uses("sparsemax")),
    Finding("16. celu has the slope 2 at zero", uses("celu")),
    Finding("18. Values and slopes that cancel", uses("elu", "selu", "tanh_shrink", "squareplus", "gelu")),
)


def known(case: Case) -> list[str]:
    """The headings of the findings that may be why TensorFlow is off in this case."""
    return [finding.heading for finding in FINDINGS if finding.met_by(case)]
