"""A mistake behind clipping: the clipping itself shows in the numbers, so it can be put on top of every known
mistake. Nothing else can be read off clipped gradients.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tapecheck.faults import Fault, clipped_by_norm, clipped_by_value
from tapecheck.faults.conventions import is_weight
from tapecheck.faults.fitted import norm
from tapecheck.fit import Seen, fitting

# Norms of two answers that agree to this are one limit.
AGREES = 1e-9


def clipped(known: Iterable[Fault], seen: Sequence[Seen]) -> tuple[list[Fault], Fault] | None:
    """The clipping that shows in the answers, and the known mistakes that reproduce them behind it, likeliest
    first; None where no clipping shows.
    """
    first = None
    for clipping in shown(seen):
        behind = {fault + clipping: fault for fault in known if fault.phase != "forward"}
        if fits := fitting(behind, seen):
            return sorted((behind[both] for both in fits), key=lambda fault: fault.rank), clipping
        first = first or clipping
    return None if first is None else ([], first)


def shown(seen: Sequence[Seen]) -> Iterator[Fault]:
    """The ways of clipping that leave their limit in the answers: as the largest entry of several, or as the
    norm of two answers.
    """
    groups = [[name for name in seen[0].gradients if is_weight(name)], [*seen[0].gradients]]
    for names in groups:
        tops = [top_of(each, names) for each in seen]
        limits = [top for top, count in tops if count > 1]
        if limits and all(top <= limits[0] * (1 + AGREES) for top, _ in tops):
            yield clipped_by_value(limits[0], names)
        norms = sorted(norm(each.gradients, names) for each in seen)
        if len(norms) > 1 and norms[-1] > 0 and norms[-1] - norms[-2] <= AGREES * norms[-1]:
            yield from (clipped_by_norm(norms[-1], names, scaled) for scaled in (None, names))


def top_of(seen: Seen, names: Sequence[str]) -> tuple[float, int]:
    """The largest entry of the gradients `names`, and how many entries are that large."""
    entries = np.concatenate(
        [np.abs(seen.gradients[name]).ravel() for name in names if name in seen.gradients]
    )
    top = float(entries.max(initial=0))
    return top, int((entries == top).sum()) if top else 0
