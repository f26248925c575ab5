"""Copies: whatever is written for one array does to each copy what it would do to that array alone."""

import numpy as np
import pytest

from tapecheck.copies import Copies, NoCopies

RNG = np.random.default_rng(0)
STACK = RNG.standard_normal((5, 2, 3, 4))  # five copies of (2, 3, 4)
PLAIN = RNG.standard_normal((2, 3, 4))
MATRICES = RNG.standard_normal((5, 4, 6))

PROGRAMS = {
    "arithmetic": lambda a, m: 2 * (a - PLAIN) / (1 + a * a) ** 2,
    "a plain array on the left": lambda a, m: PLAIN[0] - a,
    "fewer axes than the plain array": lambda a, m: a[0, 0] + PLAIN,
    "parts": lambda a, m: (a + 2j * a).real + (a + 2j * a).imag,
    "another dtype": lambda a, m: a.astype(np.float32) * PLAIN,
    "functions": lambda a, m: np.tanh(np.exp(-a)),
    "branches": lambda a, m: np.where(np.greater(a, 0), a, PLAIN),
    "a step of time": lambda a, m: a[:, 1],
    "backwards": lambda a, m: a[:, ::-1],
    "ellipsis": lambda a, m: a[..., 2:],
    "matrices": lambda a, m: a @ m,
    "plain @ copies": lambda a, m: PLAIN @ m,
    "copies @ plain": lambda a, m: a @ PLAIN[0].T,
    "split": lambda a, m: np.split(a, 2, axis=2)[1],
    "split from the end": lambda a, m: np.split(a, 3, axis=-2)[2],
    "stack": lambda a, m: np.stack([a, 2 * a, PLAIN], axis=1),
    "stack from the end": lambda a, m: np.stack([a, PLAIN], axis=-1),
    "sum": lambda a, m: a.sum(),
    "sum of an axis": lambda a, m: a.sum(axis=0) - a.sum(axis=-3),
    "sum of axes": lambda a, m: a.sum(axis=(0, 2), keepdims=True),
    "maximum": lambda a, m: a.max(axis=-1, keepdims=True),
    "reshape": lambda a, m: a.reshape(a.shape[0], -1) + a.reshape((2, 12)),
    "shapes": lambda a, m: np.zeros((len(a), a.ndim)) + a.size + a[0, :2, :3],
    "a function that is not in the table": lambda a, m: np.roll(a, 1, axis=1),
    "and one more": lambda a, m: np.concatenate([a, a], axis=0)[3],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_copy_is_as_if_alone(name):
    """The program run once on all copies is the program run on each."""
    together = PROGRAMS[name](Copies(STACK), Copies(MATRICES))
    for n in range(len(STACK)):
        alone = PROGRAMS[name](STACK[n], MATRICES[n])
        assert together.shape == np.shape(alone)
        np.testing.assert_allclose(together.stack[n], alone, rtol=1e-14)


def test_writing_into_copies_is_refused():
    """An `out` array would have to be one copy or all of them: neither is meant."""
    with pytest.raises(TypeError):
        np.add(Copies(STACK), 1, out=PLAIN)


def test_copies_are_no_array():
    """NumPy would make an array of objects of them, and go on with that."""
    with pytest.raises(NoCopies):
        np.asarray(Copies(STACK))
