"""Is the code itself sound: usable arrays, no memory, the right forward pass, all digits?"""

from collections.abc import Sequence

import numpy as np

from tapecheck.answer import ask
from tapecheck.compare import FACTOR, FAILED, FLOOR, MEANINGLESS, compare, errors
from tapecheck.probes import derived
from tapecheck.probes.subject import RIGHT, RULED_OUT, SUSPECT, Finding, NotApplicable, Subject, same
from tapecheck.text import listed

# An error so many times smaller than the eps of float32 has not come through float32.
FAR_BELOW = 1e-3


def arrays(subject: Subject) -> Finding:
    """Are the gradients arrays of the right shape and dtype, and finite?"""
    unusable = [f"{row.name} {row.note}" for row in subject.base.wrong if row.note]
    if unusable:
        return SUSPECT, listed(unusable)
    return RIGHT, "every gradient is a finite array of the right shape and dtype"


def repeat(subject: Subject) -> Finding:
    """Is the answer the same the second time, with another problem in between?"""
    before = subject.base.arrays
    subject.ask(subject.problem.case.draw(np.random.default_rng(0)))
    again = subject.ask(subject.problem).arrays
    changed = [name for name in before if not same(before[name], again.get(name), subject.problem.dtype)]
    if changed:
        return SUSPECT, kept_between_calls(changed)
    return RIGHT, "asked twice, it answers the same"


def kept_between_calls(changed: Sequence[str]) -> str:
    """That a second answer to the same problem is another one, and why."""
    return f"the second answer differs in {listed(changed)}: something is kept between calls"


def buffers(subject: Subject) -> Finding:
    """Does an answer stay as it is when another problem is asked about?"""
    returned = ask(subject.implementation, subject.problem).result.gradients
    before = {name: returned[name].copy() for name in subject.base.arrays}
    subject.ask(subject.problem.case.draw(np.random.default_rng(0)))
    changed = [name for name in before if not same(before[name], returned[name], subject.problem.dtype)]
    if changed:
        return SUSPECT, f"the next call overwrites {listed(changed)}: its buffers are returned, not copies"
    return RIGHT, "an answer stays as it is"


def inputs(subject: Subject) -> Finding:
    """Are the inputs left as they are?"""
    if changed := subject.base.changed:
        return SUSPECT, f"the call writes into {listed(changed)}: an in-place operator, or a training step"
    return RIGHT, "the call leaves its inputs as they are"


def forward(subject: Subject) -> Finding:
    """Is the output right?"""
    problem, output = subject.problem, subject.base.result.output
    if output is None:
        raise NotApplicable("the output is not returned")
    mine, true = np.asarray(problem.reference.output), subject.base.true.tensors["output"]
    if compare("output", output, mine, mine, true, problem.dtype).verdict == FAILED:
        return SUSPECT, "the output is wrong already: compare the forward passes before any gradient"
    return RIGHT, "the output is exact: what is wrong, if anything, is the loss or the backward pass"


def precision(subject: Subject) -> Finding:
    """Is it wrong by no more than the right equations are in float32?"""
    if subject.problem.dtype == np.float32:
        raise NotApplicable("the problem is float32 itself")
    if not subject.base.wrong:
        return RIGHT, "no digits are lost"
    if loses_digits(subject):
        worst = max(row.error for row in subject.base.wrong) * np.finfo(np.float64).eps
        if worst < FAR_BELOW * np.finfo(np.float32).eps:
            return SUSPECT, (
                "wrong by more than float64 rounds and by far less than float32: digits have cancelled, as "
                "in an update with a small learning rate (take 2.0**20); no equation is wrong"
            )
        return SUSPECT, "wrong by no more than float32 rounds: a float32 buffer or cast, no wrong equation"
    return RULED_OUT, "wrong by far more than float32 rounds: an equation, not a lack of digits"


def loses_digits(subject: Subject) -> bool:
    """Whether the float64 answer is wrong, but as right as the shipped implementation in float32.

    Raises NotApplicable where that would be so wrong that it could pass for a wrong equation.
    """
    problem, wrong, true = subject.problem, subject.base.wrong, subject.base.true.tensors
    if problem.dtype == np.float32 or not wrong:
        return False
    narrow = derived.in_float32(problem).reference.gradients
    eps, eps32 = np.finfo(problem.dtype).eps, np.finfo(np.float32).eps
    noise = {}
    for name in problem.weights:
        error = float(errors(name, narrow[name], true[name], problem.dtype).max())
        noise[name] = FACTOR * max(error, FLOOR * eps32 / eps)
    if max(noise.values()) * eps > MEANINGLESS:
        raise NotApplicable("float32 loses so many digits here that it could pass for a wrong equation")
    return all(row.error <= noise[row.name] for row in wrong)
