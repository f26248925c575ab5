"""What Keras leaves out of a saved model, on Keras itself.

`figures("heading")` is the text block that docs/findings.md shows under that heading.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapecheck import Case
from tf_oracle.configs import described
from tf_oracle.live import taken_apart
from tf_oracle.start import load

Figures = Callable[[str], str]
HEADING = "14. A saved model forgets arguments"

# Keras's own model.save, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def saved_and_loaded(path: Path, **compiled: Any) -> tuple[Any, Any]:
    """A compiled model, and what Keras makes of its file."""
    keras = load().keras
    L = keras.layers
    model = keras.Sequential([L.Input((3, 2)), L.LSTM(4, implementation=1), L.Dense(2)])
    model.compile("sgd", **compiled)
    model.save(path / "model.keras")
    return model, keras.saving.load_model(path / "model.keras")


def test_a_saved_model_forgets_arguments(figures: Figures, tmp_path: Path) -> None:
    """Losses and layers come back with the defaults of arguments that their `get_config` leaves out."""
    losses = load().keras.losses
    y, p = np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[1.0, 2.0], [3.0, 2.0]])
    lines = [f"{'':40}{'compiled':>10}{'loaded':>10}"]
    for title, loss in (
        ("Huber(delta=0.5): loss", losses.Huber(delta=0.5)),
        ("CosineSimilarity(axis=0): loss", losses.CosineSimilarity(axis=0)),
    ):
        models = saved_and_loaded(tmp_path, loss=loss)
        lines.append(f"{title:40}" + "".join(f"{float(model.loss(y, p)):10.4f}" for model in models))
    models = saved_and_loaded(tmp_path, loss=losses.MeanSquaredError(dtype="float64"))
    lines.append(
        f"{'MeanSquaredError(dtype=float64): dtype':40}"
        + "".join(f"{model.loss.dtype:>10}" for model in models)
    )
    lines.append(
        f"{'LSTM(implementation=1): implementation':40}"
        + "".join(f"{model.layers[0].cell.implementation:10}" for model in models)
    )
    assert figures(HEADING) == "\n".join(lines)


def test_a_live_model_keeps_them(tmp_path: Path) -> None:
    """`Case.from_keras` takes them off the live model; from a file it checks the model that Keras loads."""
    model, loaded = saved_and_loaded(tmp_path, loss=load().keras.losses.Huber(delta=0.5))
    for source, expected in ((model, "Named('huber', delta=0.5)"), (loaded, "'huber'")):
        assert repr(Case.from_keras(source, name="huber").loss) == expected
    assert repr(Case.from_keras(tmp_path / "model.keras").loss) == "'huber'"
    assert described(taken_apart(model).config).model.layers[0].implementation == 1
