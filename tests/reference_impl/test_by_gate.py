"""Dropout by gate as an equation on copies, and the way back."""

import numpy as np
import pytest

from reference_impl.by_gate import block_diagonal, diagonal, gathered, spread


@pytest.mark.parametrize("G", [1, 4])
@pytest.mark.parametrize("T", [None, 5])
def test_copies_side_by_side_give_what_each_gate_computes(G, T):
    """x spread over the gates times the block-diagonal kernel is each gate's own x times its kernel."""
    rng = np.random.default_rng(0)
    B, n, H = 3, 4, 2
    x, W = rng.standard_normal((B, T, n) if T else (B, n)), rng.standard_normal((n, 4 * H))
    factors = rng.integers(0, 2, (G, B, n)) * 1.25
    found = spread(x, factors) @ block_diagonal(W, factors)
    for k, (W_k, z_k) in enumerate(zip(np.split(W, 4, axis=1), np.split(found, 4, axis=-1), strict=True)):
        of_gate = factors[k % G][:, None] if T else factors[k % G]
        # sums of 4 numbers near 1, with zeros between them in one of the two: some roundings of 1e-16
        assert np.allclose((x * of_gate) @ W_k, z_k, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("G", [1, 4])
def test_gradients_come_back_by_the_transposed_moves(G):
    """<spread(x), y> = <x, gathered(y)> and <block_diagonal(W), Y> = <W, diagonal(Y)>: each way back is
    the adjoint of the way there, which is what the gradient of a linear move is.
    """
    rng = np.random.default_rng(1)
    B, n, H = 3, 4, 2
    factors = rng.standard_normal((G, B, n))
    x, y = rng.standard_normal((B, n)), rng.standard_normal((B, G * n))
    # the same terms in other orders: at most 128 roundings of 1e-16
    assert np.isclose((spread(x, factors) * y).sum(), (x * gathered(y, factors)).sum(), rtol=1e-13)
    W, Y = rng.standard_normal((n, 4 * H)), rng.standard_normal((G * n, 4 * H))
    assert np.isclose((block_diagonal(W, factors) * Y).sum(), (W * diagonal(Y, factors)).sum(), rtol=1e-13)
