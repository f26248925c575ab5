"""The problems that an implementation is asked about, besides the one that was checked."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace

import numpy as np

from reference_impl import LSTM, Dense, Sequential
from reference_impl.losses import LOSSES
from reference_impl.spec import BadInput, look_up
from tapecheck.answer import ask
from tapecheck.case import Case
from tapecheck.fit import Seen
from tapecheck.problem import Implementation, Problem, Result

# What makes another problem of a case's.
Change = Callable[[Problem], Problem]
# Sizes of these problems: small, distinct, two of each kind.
BATCH_AND_STEPS = ((3, 5), (2, 4), (5, 3))
LARGEST = 7  # sizes above this are made smaller where the implementation allows


def smaller(sizes: Iterable[int]) -> dict[int, int]:
    """A small size for each: those up to LARGEST stay, equal ones stay equal, and others differ."""
    sizes, small = sorted({*sizes}), dict[int, int]()
    for size in sizes:
        taken = {*small.values(), *(other for other in sizes if other <= LARGEST)}
        small[size] = size if size <= LARGEST else next(n for n in range(4, 99) if n not in taken)
    return small


def sizes_of(case: Case) -> list[int]:
    """Every layer's units, and the features."""
    assert case.features is not None
    return [layer.units for layer in case.model.layers if isinstance(layer, LSTM | Dense)] + [case.features]


def batch_of(case: Case, batch: int) -> int:
    """The batch, and 1 where the case's is: its code may take one sequence and no batch."""
    return batch if case.batch > 1 else 1


def with_sizes(case: Case, batch: int, timesteps: int, small: Mapping[int, int]) -> Case:
    """The case with other B and T, and its units and features exchanged as `small` says; in float64, unless
    its loss is known in float32 alone.
    """
    assert case.features is not None
    layers = [
        replace(layer, units=small[layer.units]) if isinstance(layer, LSTM | Dense) else layer
        for layer in case.model.layers
    ]
    return replace(
        case,
        model=Sequential(layers),
        batch=batch_of(case, batch),
        timesteps=timesteps,
        features=small[case.features],
        dtype="float32" if look_up(LOSSES, case.loss).single else "float64",
        seed=case.seed + 1,  # never the problem that was checked, which would be counted twice
    )


def resized(case: Case, batch: int, timesteps: int, more: int) -> Case:
    """The case with B and T as given, and small units and features, `more` added to each. Sizes that were
    equal stay equal, and others differ. All stay where the loss is made for so many classes.
    """
    small = smaller(sizes_of(case))
    try:
        return with_sizes(case, batch, timesteps, {size: less + more for size, less in small.items()})
    except BadInput:
        return with_sizes(case, batch, timesteps, {size: size for size in small})


def questions(case: Case) -> Iterator[list[Case]]:
    """Sets of cases to ask about, the most telling first: an implementation may refuse some sizes."""
    sets: list[Callable[[], list[Case]]] = [
        lambda: [resized(case, B, T, more) for more, (B, T) in enumerate(BATCH_AND_STEPS)],
        lambda: [resized(case, B, T, 0) for B, T in BATCH_AND_STEPS],
        lambda: [
            replace(case, batch=batch_of(case, B), timesteps=T, seed=case.seed + 1)
            for B, T in BATCH_AND_STEPS
        ],
        lambda: [replace(case, seed=case.seed + 1 + n) for n in range(2)],
    ]
    for make in sets:
        try:
            cases = make()
        except BadInput:  # the loss is for other sizes, or another dtype
            continue
        yield cases


def elsewhere(case: Case) -> Problem:
    """A problem of other sizes, on which mistakes that came to the same can still differ."""
    return resized(case, 4, 6, 2).problem()


def observe(implementation: Implementation, checked: Seen, change: Change | None = None) -> list[Seen]:
    """The implementation's answers: on small problems where it takes them, each changed by `change`, then the
    one `checked`.
    """
    expected = checked.gradients.keys()
    for cases in questions(checked.problem.case):
        answers = [(each, ask(implementation, each)) for each in (asked(case, change) for case in cases)]
        found = [
            Seen(each, answer.result)
            for each, answer in answers
            if not answer.failure and usable(each, answer.result, expected)
        ]
        if found:
            return [*found, checked]
    return [checked]


def asked(case: Case, change: Change | None) -> Problem:
    """A case's problem, changed."""
    problem = case.problem()
    return problem if change is None else change(problem)


def usable(problem: Problem, result: Result, expected: Set[str]) -> bool:
    """Whether the answer holds the tensors that it held for the problem that was checked."""
    return all(np.shape(result.gradients.get(name, 0)) == problem.tensors[name].shape for name in expected)
