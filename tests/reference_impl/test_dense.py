"""Dense on every layout in memory that its input may have."""

import numpy as np
import pytest

from reference_impl import Dense
from tapecheck.compare import FACTOR, FLOOR, errors

LAYOUTS = {
    "batch-major": lambda x: x,
    "time-major": lambda x: x.swapaxes(0, 1).copy().swapaxes(0, 1),
    "batch-last": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "reversed": lambda x: x[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
}


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """Within the measure's smallest limit: the two differ in the order of their sums."""
    apart = errors("tensor", found, expected.astype(np.longdouble), found.dtype)
    return bool(apart.max() <= FACTOR * FLOOR)


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 5, 4), (3, 1, 4), (3, 4)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", ["tanh", "softmax"])
def test_rows_are_never_mixed_up(activation: str, layout: str, shape: tuple[int, ...]) -> None:
    """Sample by sample and step by step, one row at a time, is what all rows in one product give."""
    rng = np.random.default_rng(0)
    x, dy = LAYOUTS[layout](rng.standard_normal(shape)), rng.standard_normal((*shape[:-1], 2))
    weights = {"kernel": rng.standard_normal((4, 2)), "bias": rng.standard_normal(2)}
    layer = Dense(2, activation=activation)
    y, cache = layer.forward(weights, x, {})
    found = layer.backward(weights, cache, dy)

    total = {"kernel": np.zeros((4, 2)), "bias": np.zeros(2)}
    for at in np.ndindex(shape[:-1]):
        one_y, one_cache = layer.forward(weights, x[at][None], {})
        one = layer.backward(weights, one_cache, dy[at][None])
        assert agree(y[at], one_y[0])
        assert agree(found["x"][at], one["x"][0])
        total = {name: total[name] + one[name] for name in total}
    for name, gradient in total.items():
        assert agree(found[name], gradient), name
