"""What can be checked, as the table of the README: `python -m tapecheck.support` prints it.

It is made from the tables and the layers themselves, so that it cannot say more or less than is true.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields

from reference_impl import LAYERS
from reference_impl.activations import ACTIVATIONS
from reference_impl.activations import REFUSED as REFUSED_ACTIVATIONS
from reference_impl.constraints import CONSTRAINTS
from reference_impl.initializers import INITIALIZERS, REFUSED_INITIALIZERS
from reference_impl.losses import LOSSES
from reference_impl.optimizers import OPTIMIZERS
from reference_impl.optimizers import REFUSED as REFUSED_BY_OPTIMIZERS
from reference_impl.regularizers import REGULARIZERS
from reference_impl.schedules import SCHEDULES
from reference_impl.spec import EVERYWHERE, Layer


def support() -> str:
    """The table in Markdown: what there is by Keras's names, and what is refused and why."""
    rows = [
        *((f"`{name}`", listed(arguments(layer)), reasons(refused(layer))) for name, layer in LAYERS.items()),
        ("any layer", "", reasons({name: each.reason for name, each in EVERYWHERE.items()})),
        ("activations", listed(ACTIVATIONS), reasons(REFUSED_ACTIVATIONS)),
        ("losses", listed(LOSSES), ""),
        ("regularizers", listed(REGULARIZERS), ""),
        ("constraints", listed(CONSTRAINTS), ""),
        ("initializers", listed(INITIALIZERS), reasons(REFUSED_INITIALIZERS)),
        ("optimizers", listed(OPTIMIZERS), reasons(REFUSED_BY_OPTIMIZERS)),
        ("learning rates", listed(SCHEDULES), ""),
    ]
    lines = [f"| {what} | {names} | {no} |" for what, names, no in rows]
    return "\n".join(["| | checked | refused, because |", "|---|---|---|", *lines])


def listed(names: Iterable[str | None]) -> str:
    """The names as code, in their order."""
    return " ".join(f"`{name}`" for name in names if name)


def arguments(layer: type[Layer]) -> list[str]:
    """The arguments of a layer."""
    return [field.name for field in fields(layer)]


def refused(layer: type[Layer]) -> dict[str, str]:
    """The arguments that this layer alone refuses, with the reasons."""
    return {name: each.reason for name, each in layer.REFUSED.items() if name not in EVERYWHERE}


def reasons(why: Mapping[str, str]) -> str:
    """Each name with its reason."""
    return "; ".join(
        f"`{name}`: {reason}" for name, reason in why.items() if "it is no activation" not in reason
    )


if __name__ == "__main__":
    print(support())
