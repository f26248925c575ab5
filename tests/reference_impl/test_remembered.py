"""What is remembered is what would be computed again, and is remembered for as long as that is true."""

import copy
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

from reference_impl import LSTM, Dense, Sequential
from reference_impl.activations import ACTIVATIONS
from reference_impl.inplace import in_place
from reference_impl.remembered import KEPT, remembered
from reference_impl.spec import BadInput, Named, look_up


@dataclass(frozen=True)
class Counted:
    """Counts how often it is asked for a sum."""

    start: int
    calls: list[int]

    @remembered
    def plus(self, *values: object) -> object:
        """The start and all values in a list."""
        self.calls.append(1)
        return [self.start, *values]


def test_computed_once_for_each_argument() -> None:
    """The same object comes back for the same arguments, and a call of its own for others."""
    counted = Counted(1, [])
    assert counted.plus(2) is counted.plus(2)
    assert counted.plus(3) == [1, 3]
    assert len(counted.calls) == 2


def test_another_object_has_its_own_memory() -> None:
    """What one object remembers, no other does: not an equal one, and not one made by `replace`."""
    calls: list[int] = []
    one, equal = Counted(1, calls), Counted(1, calls)
    assert one == equal
    one.plus(2)
    assert replace(one, start=5).plus(2) == [5, 2]
    assert equal.plus(2) == [1, 2]
    assert len(calls) == 3


def test_unhashable_arguments_are_computed_every_time() -> None:
    """A list is no key: it may change."""
    counted = Counted(1, [])
    assert counted.plus([2]) == counted.plus([2])
    assert len(counted.calls) == 2


def test_memory_is_bounded() -> None:
    """A new argument at every call does not fill the memory."""
    counted = Counted(1, [])
    for value in range(3 * KEPT):
        counted.plus(value)
    assert len(vars(counted)["_plus_remembered"]) <= KEPT


def test_an_exception_is_not_remembered() -> None:
    """A model that cannot be used says so every time it is asked."""
    model = Sequential([LSTM(0)])
    for _ in range(2):
        with pytest.raises(BadInput, match="units"):
            model.init(np.random.default_rng(0), (2, 3, 4))


def test_nobody_can_change_what_a_model_remembers() -> None:
    """The dicts and lists that a model gives out are its caller's own."""
    model = Sequential([LSTM(3), Dense(2)])
    model.weight_shapes((2, 3, 4)).clear()
    model.problems((2, 3, 4)).append("changed")
    model.loss_problems("mean_squared_error").append("changed")
    assert len(model.weight_shapes((2, 3, 4))) == 5
    assert model.problems((2, 3, 4)) == model.loss_problems("mean_squared_error") == []


def test_equal_but_different_losses_are_told_apart() -> None:
    """True equals 1 in Python, and is no number here: what was said of one is not said of the other."""
    model = Sequential([LSTM(3), Dense(2)])
    assert model.loss_problems(Named("huber", delta=1)) == []
    assert "delta" in model.loss_problems(Named("huber", delta=True))[0]


def test_a_model_that_remembers_is_the_same_value() -> None:
    """Memory is no part of a model: it compares, hashes, copies and pickles as before it was asked."""
    asked, fresh = (Sequential([LSTM(3), Dense(2, activation="sigmoid")]) for _ in range(2))
    assert asked.loss_of_logits("binary_crossentropy")  # which could not be pickled
    asked.problems((2, 3, 4))
    assert asked == fresh
    assert hash(asked) == hash(fresh)
    for twin in (copy.deepcopy(asked), pickle.loads(pickle.dumps(asked))):
        assert twin == fresh
        assert twin.weight_shapes((2, 3, 4)) == fresh.weight_shapes((2, 3, 4))


def test_a_table_that_changes_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the entry that remembers, not the table: another entry under the name is another answer."""
    before = look_up(ACTIVATIONS, "tanh")
    monkeypatch.setitem(ACTIVATIONS, "tanh", replace(before, reads_z=True))
    assert look_up(ACTIVATIONS, "tanh").reads_z
    assert not before.reads_z


def test_in_place_is_made_once_for_a_name_and_dtype() -> None:
    """Each dtype has its own constants."""
    single, double = (in_place("sigmoid", np.dtype(dtype)) for dtype in ("float32", "float64"))
    assert single is in_place("sigmoid", np.dtype("float32"))
    assert single is not double
