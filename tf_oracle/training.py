"""Training in Keras: its own optimizer, schedules and constraints, on the twin's variables."""

import inspect
from typing import Any

from reference_impl.arguments import bound
from reference_impl.schedules import SCHEDULES
from reference_impl.spec import Named
from tf_oracle.start import load

NO_DEFAULT = inspect.Parameter.empty


def parameters(keras_class: type) -> dict[str, Any]:
    """A class's constructor arguments with their defaults, NO_DEFAULT where there is none."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter.default
        for name, parameter in inspect.signature(keras_class).parameters.items()
        if parameter.kind in kinds
    }


def class_name(name: str) -> str:
    """A snake_case name as Keras's class is called: "cosine_decay" is CosineDecay."""
    return "".join(word.capitalize() for word in name.split("_"))


def kept(value: Any, dtype: str) -> Any:
    """A float for Keras to compute with in `dtype`: for float64 as a tensor, since Keras rounds Python's
    floats to float32 on their way there (docs/findings.md). Also inside a list; anything else as it is.
    """
    if isinstance(value, list | tuple):
        return [kept(each, dtype) for each in value]
    return load().tf.constant(value, dtype) if isinstance(value, float) and dtype == "float64" else value


def schedule(value: Named, dtype: str) -> Any:
    """The schedule as a `keras.optimizers.schedules` object that computes in `dtype`."""
    made = getattr(load().keras.optimizers.schedules, class_name(value.name))
    given = bound(value, SCHEDULES)
    for name in ("initial_learning_rate", "values"):  # Keras refuses whole numbers
        if name in given:
            given[name] = list(map(float, given[name])) if name == "values" else float(given[name])
    return made(**{name: each if name == "boundaries" else kept(each, dtype) for name, each in given.items()})
