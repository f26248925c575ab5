"""Moved: whatever is written for one array has the derivative that its complex step has."""

import numpy as np
import pytest

from tapecheck.moved import STEP, Moved, NotMoved

RNG = np.random.default_rng(0)
REAL, MOVES = RNG.standard_normal((2, 3, 4)), RNG.standard_normal((2, 3, 4, 5))  # in five directions
PLAIN = RNG.standard_normal((2, 3, 4))
MATRIX, MATRIX_MOVES = RNG.standard_normal((4, 6)), RNG.standard_normal((4, 6, 5))

PROGRAMS = {
    "arithmetic": lambda a, m: 2 * (a - PLAIN) / (1 + a * a) ** 2,
    "a plain array on the left": lambda a, m: PLAIN[0] - a,
    "fewer axes than the plain array": lambda a, m: a[0, 0] + PLAIN,
    "fewer axes than the other": lambda a, m: a[0, 0] * a,
    "with itself": lambda a, m: a * a - a,
    "functions": lambda a, m: np.tanh(np.exp(-a)),
    "logarithms": lambda a, m: np.log1p(a * a) + np.sqrt(a * a + 1) + np.log(a * a + 1) + np.expm1(a),
    "branches": lambda a, m: np.where(np.greater(a.real, 0), a, PLAIN),
    "branches with a number": lambda a, m: np.where(PLAIN > 0, 0, a),
    "a step of time": lambda a, m: a[:, 1],
    "backwards": lambda a, m: a[:, ::-1],
    "chosen by their numbers": lambda a, m: a[np.array([1, 0])] + a[:, np.array([2, 0, 1])],
    "chosen by a condition": lambda a, m: a[PLAIN > 0],
    "ellipsis": lambda a, m: a[..., 2:],
    "a new axis": lambda a, m: a[..., None] * a[:, :, None],
    "matrices": lambda a, m: a @ m,
    "batches of matrices": lambda a, m: a @ (2 * a.reshape(2, 4, 3)),
    "numbers of few bits": lambda a, m: np.uint8(200) * (np.uint8(200) * a),
    "plain @ moved": lambda a, m: PLAIN @ m,
    "moved @ plain": lambda a, m: a @ PLAIN[0].T,
    "transposed": lambda a, m: m.T @ a[0].T + a.T[0, 0, 0],
    "split": lambda a, m: np.split(a, 2, axis=2)[1],
    "split from the end": lambda a, m: np.split(a, 3, axis=-2)[2],
    "stack": lambda a, m: np.stack([a, 2 * a, PLAIN], axis=1),
    "stack from the end": lambda a, m: np.stack([a, PLAIN], axis=-1),
    "sum": lambda a, m: a.sum() + np.sum(a),
    "sum of an axis": lambda a, m: a.sum(axis=0) - a.sum(axis=-3),
    "sum of axes": lambda a, m: a.sum(axis=(0, 2), keepdims=True),
    "maximum": lambda a, m: a.max(axis=-1, keepdims=True) - a[..., :1],
    "maximum without its axis": lambda a, m: a.max(axis=1),
    "reshape": lambda a, m: a.reshape(a.shape[0], -1) + a.reshape((2, 12)),
    "shapes": lambda a, m: np.zeros((len(a), a.ndim)) + a.size + a[0, :2, :3],
    "functions that are not in the table": lambda a, m: np.cumsum(np.roll(a, 1, axis=1), axis=-1),
    "concatenate": lambda a, m: np.concatenate([a, PLAIN, a], axis=0)[3],
    "concatenate from the end": lambda a, m: np.concatenate([PLAIN, a], axis=-1),
    "a function of a list that is not": lambda a, m: np.vstack([a, PLAIN])[3],
    "sorted": lambda a, m: np.take_along_axis(a, np.argsort(a, axis=-1), axis=-1),
    "larger and smaller": lambda a, m: np.maximum(a, PLAIN) * np.minimum(a, 0.5),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_direction_is_the_complex_step(name):
    """The program run once is, in each direction, the complex step of the program run on complex numbers;
    and the real numbers are those of a run without any step.
    """
    program = PROGRAMS[name]
    together = program(Moved(REAL, MOVES), Moved(MATRIX, MATRIX_MOVES))
    np.testing.assert_allclose(together.real, program(REAL, MATRIX), rtol=1e-14)
    assert together.moves.shape == (*together.shape, 5)
    for n in range(5):
        alone = program(REAL + 1j * STEP * MOVES[..., n], MATRIX + 1j * STEP * MATRIX_MOVES[..., n])
        np.testing.assert_allclose(together.moves[..., n], alone.imag / STEP, rtol=1e-12, atol=1e-13)


def test_comparisons_are_plain():
    """Which branch is taken is a matter of the real numbers."""
    assert np.array_equal(np.greater(Moved(REAL, MOVES), 0), REAL > 0)
    assert np.array_equal(np.argsort(Moved(REAL, MOVES), axis=-1), np.argsort(REAL, axis=-1))


def test_writing_into_them_is_refused():
    """An `out` array would keep the real numbers and lose the moves."""
    with pytest.raises(TypeError):
        np.add(Moved(REAL, MOVES), 1, out=PLAIN)


def test_they_are_no_array():
    """NumPy would make an array of objects of them, or of real numbers, and go on with that."""
    with pytest.raises(NotMoved):
        np.asarray(Moved(REAL, MOVES))
    with pytest.raises(NotMoved):
        Moved(REAL, MOVES).argsort()
    with pytest.raises(NotMoved):
        Moved(REAL, MOVES) @ PLAIN[0, 0]
