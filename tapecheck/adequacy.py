"""What a case can see: every fault is run on it, and those that leave no trace are listed with the reason.

A check that passes proves the absence of the faults that its cases would have seen, and of no others.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

from reference_impl import LSTM, Dense, Sequential
from reference_impl.spec import BadInput
from tapecheck.case import Case
from tapecheck.design import Design
from tapecheck.equivalent import SAME_NUMBERS, set_aside
from tapecheck.faults import Fault, faults
from tapecheck.questions import sizes_of, smaller, with_sizes
from tapecheck.text import fitted, table

# The faults that a case does not see though a like case does, by the reason.
Blind = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Adequacy:
    """What some cases see together.

    `seen` by case name: the faults that it sees. `blind` by case name: those that it does not see though
    a like case does, by the reason. `unseen` are seen by no case, though a like case sees them; `aside`
    are those that are no mistakes, by the reason. `smallest` names a small set of cases that sees all
    that any of them sees.
    """

    seen: Mapping[str, frozenset[str]]
    blind: Mapping[str, Blind]
    unseen: frozenset[str]
    aside: Mapping[str, frozenset[str]]
    smallest: tuple[str, ...]

    def __str__(self) -> str:
        """A table of the cases, what hides faults there, and the faults that no case sees."""
        rows = [
            [name, str(len(seen)), str(sum(map(len, self.blind[name].values()))), in_short(self.blind[name])]
            for name, seen in self.seen.items()
        ]
        lines = table(["case", "sees", "blind to", "because of"], rows, left=(0, 3))
        whole = list(dict.fromkeys(reason for blind in self.blind.values() for reason in blind))
        lines += ["", *whole] if whole else []
        together = len(frozenset[str]().union(*self.seen.values()))
        lines += [
            "",
            f"{len(self.seen)} cases see {together} faults together; seen by none: {len(self.unseen)}",
        ]
        lines += [f"  - {fault}" for fault in sorted(self.unseen)]
        for reason, some in self.aside.items():
            lines.append(f"set aside: {len(some)}, of which each {reason}")
        lines += [f"  - {fault}" for fault in sorted(self.aside.get(SAME_NUMBERS, ()))]
        lines += ["", f"{len(self.smallest)} of them see as much: {', '.join(self.smallest)}"]
        return "\n".join(fitted(lines))


def reasons(blind: Blind) -> str:
    """Each reason with the number of faults that it hides, most first."""
    counts = Counter({reason: len(hidden) for reason, hidden in blind.items()})
    return "; ".join(f"{reason}: {count}" for reason, count in counts.most_common())


def in_short(blind: Blind) -> str:
    """The same with each reason's first words."""
    return reasons({reason.partition(":")[0]: faults for reason, faults in blind.items()})


class View(NamedTuple):
    """What one case sees of its faults, what it is blind to, and all that it does not see."""

    seen: frozenset[str]
    blind: Blind
    left: tuple[str, ...]


def view(case: Case) -> View:
    """Run every fault on the case."""
    every = faults(case.problem())
    visible = sees(case, every)
    left = [fault for fault in every if fault not in visible]
    return View(frozenset(map(str, visible)), blindness(case, left), tuple(map(str, left)))


def no_mistakes(case: Case, names: Collection[str]) -> dict[str, frozenset[str]]:
    """Which of the case's faults with these names are none, by the reason."""
    some = [fault for fault in faults(case.problem()) if str(fault) in names]
    return {reason: frozenset(map(str, found)) for reason, found in set_aside(rich(case), some).items()}


def adequacy(cases: Iterable[Case], run: Callable[..., Iterable[Any]] = map) -> Adequacy:
    """Run every fault on every case. `run` is called as `map` is; that of an executor spreads the work."""
    by_name = {case.name: case for case in cases}
    views: dict[str, View] = dict(zip(by_name, run(view, by_name.values()), strict=True))
    blind = {name: each.blind for name, each in views.items()}
    together = frozenset[str]().union(*(each.seen for each in views.values()))
    hidden = {fault for reason in blind.values() for some in reason.values() for fault in some}
    asked = {fault: name for name, each in views.items() for fault in each.left}  # the last case of each
    by_case: dict[str, set[str]] = {}
    for fault in asked.keys() - together - hidden:
        by_case.setdefault(asked[fault], set()).add(fault)
    aside: dict[str, frozenset[str]] = {}
    for found in run(no_mistakes, [by_name[name] for name in by_case], by_case.values()):
        for reason, some in found.items():
            aside[reason] = aside.get(reason, frozenset()) | some
    seen = {name: each.seen for name, each in views.items()}
    return Adequacy(seen, blind, frozenset(hidden - together), aside, smallest_cover(seen))


def blind_to(case: Case) -> str:
    """In one line, what a check of this case cannot see.

    Measured on a small case with the same blind spots: what is 1, 2, equal or different is so there too.
    """
    small = smaller([case.batch, case.timesteps, *sizes_of(case)])
    like = changed(case, lambda case: with_sizes(case, small[case.batch], small[case.timesteps], small))
    return _blind_to(replace(like, name="like", seed=0))


@cache
def _blind_to(case: Case) -> str:
    every = faults(case.problem())
    seen = sees(case, every)
    hidden = blindness(case, [fault for fault in every if fault not in seen])
    if not hidden:
        return "blind to: nothing that a case like this can be made to see"
    count = sum(map(len, hidden.values()))
    return f"blind to: {count} of {len(seen) + count} known mistakes ({reasons(hidden)})"


def unseen(cases: Sequence[Case]) -> frozenset[str]:
    """The faults that no case sees though one like it would: `adequacy(cases).unseen`, without the rest."""
    every = {case.name: faults(case.problem()) for case in cases}
    seen: set[str] = set()
    for case in cases:  # each is asked for what none before it has seen
        seen |= {str(f) for f in sees(case, [f for f in every[case.name] if str(f) not in seen])}
    reasons = [blindness(case, [f for f in every[case.name] if str(f) not in seen]) for case in cases]
    return frozenset(fault for reason in reasons for some in reason.values() for fault in some)


def sees(case: Case, candidates: Iterable[Fault]) -> set[Fault]:
    """The faults that change the output or a gradient by more than rounding."""
    return Design(case).sees(candidates)


def blindness(case: Case, hidden: Sequence[Fault]) -> Blind:
    """Why the case does not see the `hidden` faults, by the one change that would show each. An edit
    that even all changes together do not show changes nothing, and is left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    rest = set(hidden)
    for reason, change in changes(case).items():
        shown = sees(changed(case, change), rest)
        if shown:
            found[reason] = tuple(sorted(map(str, shown)))
            rest -= shown
    if changes(case) and (shown := sees(rich(case), rest)):
        found["several of these"] = tuple(sorted(map(str, shown)))
    return found


def rich(case: Case) -> Case:
    """The case with nothing left that can hide a fault."""
    for change in changes(case).values():
        case = changed(case, change)
    return case


def changed(case: Case, change: Callable[[Case], Case]) -> Case:
    """The case after the change; as it is where its loss cannot take that."""
    try:
        return change(case)
    except BadInput:
        return case


def changes(case: Case) -> dict[str, Callable[[Case], Case]]:
    """What can hide a fault in this case, in words, each with the change that takes it away."""
    found: dict[str, Callable[[Case], Case]] = {}
    layers = case.model.layers
    units = [layer.units for layer in layers if isinstance(layer, LSTM | Dense)]
    if case.timesteps == 1:
        found["T = 1: no recurrence"] = with_steps
    elif case.timesteps < 4:
        found[f"T = {case.timesteps}: too few steps to tell the last, the next and the first apart"] = (
            with_steps
        )
    if case.batch == 1:
        found["B = 1: a sum over the batch is its mean"] = partial(replace, batch=3)
    elif case.batch == 2:
        found["B = 2: a factor of B is taken for 2"] = partial(replace, batch=3)
    if case.initial_state == "zeros" and any(isinstance(layer, LSTM) for layer in layers):
        found["zero initial state: what is multiplied by it vanishes"] = partial(
            replace, initial_state="random"
        )
    if isinstance(layers[-1], Dense) and layers[-1].units <= 2:
        found[f"K = {layers[-1].units}: a factor of K is 1, or is taken for 2"] = with_head
    if len({*units, case.features}) <= len(units):
        found["equal sizes: a transpose has the right shape"] = with_features
    if len({case.batch, case.timesteps, units[-1]}) < 3:
        found["B, T and K not all different: their factors are the same"] = partial(replace, batch=11)
    return found


def with_steps(case: Case) -> Case:
    """With five time steps."""
    return replace(case, timesteps=5)


def with_head(case: Case) -> Case:
    """With a head of five units."""
    *below, head = case.model.layers
    assert isinstance(head, Dense)
    return replace(case, model=Sequential([*below, replace(head, units=5)]))


def with_features(case: Case) -> Case:
    """With a number of features that no layer has for units."""
    return replace(case, features=None)


def smallest_cover(seen: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """A small set of cases that sees as much as all: always the next one that adds most."""
    left = set().union(*seen.values())
    chosen = []
    while left:
        best = max(seen, key=lambda name: len(seen[name] & left))
        chosen.append(best)
        left -= seen[best]
    return tuple(chosen)
