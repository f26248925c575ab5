"""What explains an answer where no single known mistake does: several at once, or one that nobody listed.

The implementation is asked about problems with room to read its values (tapecheck/search). What mends all
that is wrong there is tried on every answer: only what reproduces all of them is a finding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import islice, product
from operator import add

from tapecheck.answer import ask
from tapecheck.diagnosis import Diagnosis, finding, mended, unknown
from tapecheck.faults import Fault, program
from tapecheck.fit import Seen, alike, fitting
from tapecheck.loud import grows, loud
from tapecheck.problem import Implementation
from tapecheck.progress import bar
from tapecheck.questions import elsewhere, usable
from tapecheck.search.peel import DEPTH, MOST_RUNS, Search
from tapecheck.search.reading import roomy

# How many times the targets are asked for besides: enough for gradients to reach what they are clipped at.
STRONGER = 30
# What is complete on one problem, and sets of faults that come to the same there, of which so many are
# tried on the others.
MOST_STATES, MOST_SETS = 12, 60


def several(
    implementation: Implementation,
    checked: Seen,
    seen: Sequence[Seen],
    known: Sequence[Fault],
    pairs: bool,
    forward: Fault | None = None,
) -> list[Diagnosis]:
    """Faults that nobody listed, or with `pairs` several at once, that reproduce every answer in `seen`; or
    else the broken equations as leads. `forward` is a fault of the forward pass that is known already.
    """
    code = {**forward.code, **forward.own} if forward else {}
    first, runs = None, MOST_RUNS
    with bar("looking for several mistakes at once", shown=pairs) as advance:
        for room in rooms(implementation, checked):
            kept = program.forward(room.problem, code)
            search = Search(room.problem, kept, room.gradients, known, code, runs)
            first = first or search
            complete = False
            for states in search.complete(DEPTH if pairs else 1, advance):
                complete = True
                for state in states[:MOST_STATES]:
                    if found := named(search.equals(state), forward, seen):
                        return found
            runs = search.runs
            if not complete or runs <= 0:
                break  # in another room no more would be seen
    if not first or not first.roots[0].forced.values:
        return []
    state = first.partial()
    return [*mended(state.faults), *unknown(state.broken)]


def rooms(implementation: Implementation, checked: Seen) -> Iterator[Seen]:
    """The implementation's wrong answers to problems with room to read them, and then the one checked."""
    for case in roomy(checked.problem.case):
        asked = [case.problem()]
        if grows(asked[0]):
            asked.append(loud(asked[0], STRONGER))
        for problem in asked:
            answer = ask(implementation, problem)
            if not answer.failure and usable(problem, answer.result, checked.gradients.keys()):
                found = Seen(problem, answer.result)
                if not found.is_right:
                    yield found
    yield checked


def named(equals: Sequence[Sequence[Fault]], forward: Fault | None, seen: Sequence[Seen]) -> list[Diagnosis]:
    """The likeliest set of faults, one of each group of `equals`, that reproduces every answer, as a
    diagnosis for each; [] where none does.
    """
    sets = {faults: sum_of(faults, forward) for faults in islice(product(*equals), MOST_SETS)}
    fits = fitting(sets.values(), seen)
    fitting_sets = [faults for faults, together in sets.items() if together in fits]
    if not fitting_sets:
        return []
    best = min(fitting_sets, key=lambda faults: [fault.rank for fault in faults])
    problem = elsewhere(seen[0].problem.case)
    certain = len(seen) > 1 and len(alike(fits, problem, seen[0].tensors)) == 1
    found = []
    for position, fault in sorted(enumerate(best), key=lambda each: each[1].rank):
        others = {each[position] for each in fitting_sets} - {fault}
        group = [fault, *sorted(others, key=lambda other: other.rank)]
        found.append(finding(group, fits[sets[best]], certain, seen, mistakes=len(best)))
    return found


def sum_of(faults: Sequence[Fault], forward: Fault | None) -> Fault:
    """All of them at once."""
    together = reduce(add, faults)
    return together + replace(forward, code={**forward.code, **forward.own}) if forward else together
