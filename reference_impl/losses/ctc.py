"""Connectionist temporal classification: the probability of a label sequence over all alignments.

`z` (B, T, K) are logits, class 0 is the blank, and `y_true` (B, L) holds label sequences padded with 0.
The recursions over time run over the states of a sequence, blank label blank … blank, and are scaled to
sum 1 at each step, so that nothing underflows (Graves et al. 2006, section 4.1). They run on lists of
numbers, one a state, which can be of any kind.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from reference_impl.activations import softmax
from reference_impl.spec import Array

BLANK = 0


class States(NamedTuple):
    """What a sequence goes through: the class that each state emits, and whether the blank before it may
    be skipped, as between two labels that differ.
    """

    classes: list[int]
    skips: list[bool]


def ctc(y_true: Array, z: Array) -> Array:
    p = softmax(z)
    return np.stack([-log_probability(list(forward(states_of(y), p[b]))) for b, y in enumerate(y_true)])


def d_ctc(y_true: Array, z: Array) -> Array:
    p = softmax(z)
    return p - np.stack([shares(states_of(y), p[b]) for b, y in enumerate(y_true)])


def states_of(y: Array) -> States:
    """The states of the labels `y` (L,)."""
    labels = [int(float(label.real)) for label in y if label != BLANK]
    classes = [BLANK] + [k for label in labels for k in (label, BLANK)]
    return States(classes, [s > 1 and k not in (BLANK, classes[s - 2]) for s, k in enumerate(classes)])


def forward(states: States, p: Array) -> Iterator[tuple[list[Any], Any]]:
    """At each step the probability of every state given what came before, and the step's own."""
    S = len(states.classes)
    a = [1 + 0 * p[0, 0]] + [0 * p[0, 0]] * (S - 1)
    for t in range(len(p)):
        if t:
            a = [a[s] + (a[s - 1] if s else 0) + (a[s - 2] if states.skips[s] else 0) for s in range(S)]
        elif S > 1:
            a[1] = a[0]  # the first step is the blank, or the first label
        a = [a[s] * p[t, states.classes[s]] for s in range(S)]
        total = sum(a[1:], a[0])
        a = [one / total for one in a]
        yield a, total


def log_probability(steps: list[tuple[list[Any], Any]]) -> Any:
    """Of the whole sequence, which ends with its last label or with the blank after it."""
    last = steps[-1][0][-2:]
    return sum((np.log(total) for _, total in steps), np.log(sum(last[1:], last[0])))


def shares(states: States, p: Array) -> Array:
    """The share (T, K) that each class has at each step in the probability of all alignments."""
    S, zero = len(states.classes), 0 * p[0, 0]
    b = [zero + (s >= S - 2) for s in range(S)]  # of what is to come, as far as it can be known
    found = [[zero] * p.shape[1] for _ in range(len(p))]
    for t, (a, _) in reversed(list(enumerate(forward(states, p)))):
        through = [a[s] * b[s] for s in range(S)]
        total = sum(through[1:], through[0])
        for s, k in enumerate(states.classes):
            found[t][k] = found[t][k] + through[s] / total
        b = [b[s] * p[t, states.classes[s]] for s in range(S)]
        b = [
            b[s] + (b[s + 1] if s + 1 < S else 0) + (b[s + 2] if s + 2 < S and states.skips[s + 2] else 0)
            for s in range(S)
        ]
        total = sum(b[1:], b[0])
        b = [one / total for one in b]
    return np.array(found)
