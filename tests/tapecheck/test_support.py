"""What is supported: every argument of Keras's layers has a place, and the README says what is true."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from reference_impl import LAYERS
from reference_impl.initializers import INITIALIZERS, REFUSED_INITIALIZERS
from tapecheck.support import support
from tf_oracle.start import load

# Taken by the base classes of Keras's layers through **kwargs.
INHERITED = {"name", "dtype", "trainable", "autocast", "activity_regularizer"}
RECURRENT = {"implementation", "zero_output_for_mask"}


@pytest.mark.parametrize("kind", LAYERS)
def test_every_argument_of_keras_is_supported_or_refused(kind):
    """The arguments of the installed Keras's constructor are the spec's fields, with Keras's defaults, or
    are refused by name with a reason; a new one in another version of Keras fails here.
    """
    theirs = dict(inspect.signature(getattr(load().keras.layers, kind).__init__).parameters)
    arguments = {name: p.default for name, p in theirs.items() if name not in ("self", "kwargs")}
    ours = {field.name: field.default for field in fields(LAYERS[kind])}
    refused = LAYERS[kind].REFUSED
    assert set(arguments) <= set(ours) | set(refused)
    assert set(ours) | set(refused) >= INHERITED
    assert set(ours) <= set(arguments) | (RECURRENT if kind == "LSTM" else set())
    for name, default in arguments.items():
        if name in ours and default is not inspect.Parameter.empty:
            assert ours[name] == default, name
    assert all(each.reason for each in refused.values())


def test_every_initializer_is_supported_or_refused():
    """So are the installed Keras's initializers, with their arguments' names and defaults."""
    initializers = load().keras.initializers
    names = {
        name for name in dir(initializers) if inspect.isclass(getattr(initializers, name)) and name.islower()
    }
    assert names == set(INITIALIZERS) | set(REFUSED_INITIALIZERS)
    for name, entry in INITIALIZERS.items():
        parameters = inspect.signature(getattr(initializers, name).__init__).parameters
        defaults = {
            key: p.default for key, p in parameters.items() if p.default is not inspect.Parameter.empty
        }
        assert {key: value for key, value in defaults.items() if not key.endswith("_axes")} == entry.defaults


def test_the_table_of_the_readme_is_current():
    """The README's table is what `python -m tapecheck.support` prints."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert support() in readme
