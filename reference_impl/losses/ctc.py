"""Connectionist temporal classification: the probability of a label sequence over all alignments.

`z` (B, T, K) are logits, class 0 is the blank, and `y_true` (B, L) holds label sequences padded with 0.
The forward and the backward recursion run over the states of a sequence, blank label blank … blank,
and are scaled to sum 1 at each step, so that nothing underflows (Graves et al. 2006, section 4.1).
"""

import numpy as np

from reference_impl.activations import softmax
from reference_impl.spec import Array

BLANK = 0


def ctc(y_true: Array, z: Array) -> Array:
    return -np.array([alignments(y, softmax(rows))[0] for y, rows in zip(y_true, z, strict=True)])


def d_ctc(y_true: Array, z: Array) -> Array:
    p = softmax(z)
    return p - np.stack([alignments(y, rows)[1] for y, rows in zip(y_true, p, strict=True)])


def alignments(y: Array, p: Array) -> tuple[Array, Array]:
    """Log probability of the labels `y` (L,), and each class's share (T, K) of all alignments at each
    step, from the probabilities `p` (T, K).
    """
    states = [BLANK]
    for label in y:
        if label != BLANK:
            states += [int(float(label.real)), BLANK]
    skips = [s > 1 and states[s] not in (BLANK, states[s - 2]) for s in range(len(states))]
    emitted = p[:, states]  # (T, S)

    def from_before(a: Array) -> Array:
        """What reaches each state: from itself, the one before, and past a blank the one before that."""
        return np.array(
            [a[s] + (a[s - 1] if s else 0) + (a[s - 2] if skips[s] else 0) for s in range(len(a))]
        )

    def to_after(b: Array) -> Array:
        """The same steps taken back."""
        S = len(b)
        return np.array(
            [
                b[s] + (b[s + 1] if s + 1 < S else 0) + (b[s + 2] if s + 2 < S and skips[s + 2] else 0)
                for s in range(S)
            ]
        )

    log_p = 0 * p[0, 0]
    a = np.array([1 + 0 * log_p] + [0 * log_p] * (len(states) - 1))
    alphas = []
    for t in range(len(p)):
        a = (from_before(a) if t else a + np.roll(a, 1) * (len(a) > 1)) * emitted[t]
        log_p = log_p + np.log(a.sum())
        a = a / a.sum()
        alphas.append(a)
    ends = slice(-2, None) if len(states) > 1 else slice(None)
    log_p = log_p + np.log(a[ends].sum())

    b = 0 * a
    b[ends] = b[ends] + 1
    share = 0 * p
    for t in reversed(range(len(p))):
        through = alphas[t] * b
        through = through / through.sum()
        for s, k in enumerate(states):
            share[t, k] = share[t, k] + through[s]
        b = to_after(b * emitted[t])
        b = b / b.sum()
    return log_p, share
