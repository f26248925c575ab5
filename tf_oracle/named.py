"""Names with arguments as Keras objects: regularizers, constraints, schedules and optimizers.

Keras rounds Python's floats to float32 on their way to a float64 tensor (docs/findings.md). So in float64
every number that a Keras object holds is exchanged for a float64 tensor, which Keras takes as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reference_impl.arguments import bound, is_number
from reference_impl.optimizers import OPTIMIZERS
from reference_impl.regularizers import REGULARIZERS
from reference_impl.schedules import SCHEDULES
from reference_impl.spec import Named
from tf_oracle.start import load


def class_name(name: str) -> str:
    """A snake_case name as Keras's class is called: "cosine_decay" is CosineDecay."""
    return "".join(word.capitalize() for word in name.split("_"))


def kept(value: Any, dtype: str) -> Any:
    """A float for Keras to compute with in `dtype`, also inside a list; anything else as it is."""
    if isinstance(value, list | tuple):
        return [kept(each, dtype) for each in value]
    return load().tf.constant(value, dtype) if isinstance(value, float) and dtype == "float64" else value


def regularizer(value: str | Named, dtype: str) -> Any:
    """The `keras.regularizers` object, its factors in `dtype`."""
    named = value if isinstance(value, Named) else Named(value)
    made = getattr(load().keras.regularizers, named.name)(**named.arguments)
    for name, factor in bound(named, REGULARIZERS).items():
        setattr(made, name, kept(float(factor) if is_number(factor) else factor, dtype))
    return made


def constraint(value: str | Named) -> Any:
    """The `keras.constraints` object."""
    named = value if isinstance(value, Named) else Named(value)
    return getattr(load().keras.constraints, named.name)(**named.arguments)


def schedule(value: Named, dtype: str) -> Any:
    """The `keras.optimizers.schedules` object, computing in `dtype`."""
    given = bound(value, SCHEDULES)
    numbers = {
        name: floats(each) for name, each in given.items() if "steps" not in name and name != "boundaries"
    }
    made = getattr(load().keras.optimizers.schedules, class_name(value.name))
    return made(**given | {name: kept(each, dtype) for name, each in numbers.items()})


def floats(value: Any) -> Any:
    """Whole numbers as floats, which is what Keras asks for, also inside a list; anything else as it is."""
    if isinstance(value, list | tuple):
        return list(map(floats, value))
    return float(value) if is_number(value) else value


def optimizer(value: str | Named, dtype: str) -> Any:
    """The `keras.optimizers` object for weights of `dtype`, its hyperparameters in that dtype."""
    named = value if isinstance(value, Named) else Named(value)
    given = {name: floats(each) for name, each in bound(named, OPTIMIZERS).items()}
    rate = given["learning_rate"]
    found = load().keras.optimizers
    classes = {name.lower(): getattr(found, name) for name in dir(found)}
    with floatx(dtype):  # the dtype of the variable that holds a constant rate
        made = classes[named.name](
            **given | {"learning_rate": schedule(rate, dtype) if isinstance(rate, Named) else rate}
        )
    for name, each in given.items():
        if name != "learning_rate" and isinstance(each, float):
            setattr(made, name, kept(each, dtype))
    return made


@contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """Keras's default dtype in the body."""
    config = load().keras.config
    before = config.floatx()
    config.set_floatx(dtype)
    try:
        yield
    finally:
        config.set_floatx(before)
