"""The words that every message shares."""

import pytest

from reference_impl.spec import kind_of


@pytest.mark.parametrize(
    ("value", "said"),
    [([], "a list"), (1, "an int"), (object(), "an object"), ("x", "a str"), (None, "None")],
)
def test_a_value_is_named_with_its_article(value, said):
    """What a value is reads as English, and None is no NoneType."""
    assert kind_of(value) == said
