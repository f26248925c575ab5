"""The problems that an implementation is asked about: every case has smaller and larger ones like it."""

import pytest

from reference_impl import LSTM, Dense, Named, Sequential
from tapecheck import Case
from tapecheck.catalogue import CATALOGUE
from tapecheck.questions import resized

FOCAL = Named("categorical_focal_crossentropy", alpha=(0.1, 0.2, 0.7))


@pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.name)
def test_every_case_has_others_like_it(case):
    """Whatever its loss asks for, there is a case like it with another batch and other steps."""
    other = resized(case, 4, 6, 2)
    assert other.timesteps == 6
    assert other.batch == (4 if case.batch > 1 else 1)
    assert [type(layer) for layer in other.model.layers] == [type(layer) for layer in case.model.layers]


def test_as_many_classes_as_the_loss_has_weights_for():
    """Sizes stay where the loss's own arguments fix them, and else there are other ones."""
    layers = Sequential([LSTM(4, return_sequences=True), Dense(3, activation="softmax")])
    assert resized(Case("question", layers, loss=FOCAL), 4, 6, 2).model == layers
    plain = Case("question", layers, loss="categorical_crossentropy")
    assert [layer.units for layer in resized(plain, 4, 6, 2).model.layers] == [6, 5]
