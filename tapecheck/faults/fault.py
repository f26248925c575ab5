"""What a fault is: one mistake, with its equation, its place, why it is wrong, and the code that makes it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reference_impl.spec import Arrays
from reference_impl.textbook import Pass
from tapecheck.faults import program
from tapecheck.faults.program import Code, Kept
from tapecheck.problem import Problem, Result

# What a wrong equation may raise when it runs: nobody can have that fault in a program that answers.
BROKEN = (ArithmeticError, AttributeError, IndexError, KeyError, NameError, TypeError, ValueError)

# Why each kind of mistake is one, for the person who made it. Among faults with the same effect the kind
# that stands first here is named: the mistakes that people really make, then the others.
WHY = {
    "recurrence not carried": "h also feeds the next step: without dh_next nothing flows back through it",
    "cell carry missing": "c also feeds the next step's c, so dc_next = dc * f comes back from there",
    "recurrent kernel not transposed": "z = h_prev @ W_h goes back as dz @ W_h.T; no shape tells a square "
    "block from its transpose",
    "last-step loss at every step": "with return_sequences=False the loss sees the last step's h alone",
    "overwrite instead of accumulate": "every step uses the same weights: their gradient is a sum over steps",
    "x of the last step for all steps": "each step's kernel gradient needs that step's own input",
    "stale cache": "a step's gradient needs what that step's forward pass left, not what another's did",
    "derivative of an activated value": "the derivative is written in the activated value, which was "
    "activated a second time here",
    "gate derivative left out": "the gradient must also pass the activation: multiply by its derivative",
    "off by one in the state": "the forward equation reads one time step's state, the gradient another's",
    "copy and paste between gates": "one gate's value, gradient or weights stand where another's belong",
    "mask ignored": "a masked step leaves the states alone, so nothing of it is in the gradients",
    "normalisation": "a factor such as 1 / B belongs to the mean that the loss takes, and is taken once",
    "another loss": "the gradient is that of the loss which is minimized",
    "weights left out": "each sample's value is multiplied by its weight, and so is its gradient",
    "mask left out": "what is masked has no part in the loss, and so no gradient and no share in its mean",
    "sign": "the sign is turned",
    "layout": "the numbers are right, their order is not",
    "clipping inside backward": "a clipped gradient is no gradient of the loss; clip after the backward pass",
    "truncation": "the gradient is cut off after some steps, as in truncated backpropagation",
    "steps left out": "every step has its share in the gradients, the first and the last too",
    "steps in the wrong order": "the last step goes first: each needs what the one after it hands back",
    "initial state's gradient": "the initial state is read by step 0, which hands its gradient back",
    "initial state ignored": "step 0 starts from the initial state, which is not always zero",
    "summed over units": "each unit has its own bias: its gradient is a sum over samples and steps alone",
    "wrong initial value": "sums start at zero, and nothing comes from beyond the last step",
    "term dropped": "one of the paths on which this value reaches the loss is left out",
    "factor dropped": "the chain rule multiplies by every factor on the path, and one is missing",
    "not transposed": "x @ W goes back as d @ W.T, and a reshape is not a transpose",
    "wrong activation derivative": "the derivative of the activation is another function than this",
    "updated too early": "the gradient is that of the weights of the forward pass: update them afterwards",
    "wrong factor": "the factor on this path is another one",
    "term added": "something is added that lies on no path from this value to the loss",
    "quantity swapped": "another quantity of the same shape stands where this one belongs",
    "path counted twice": "each path on which this value reaches the loss counts once",
    "factor counted twice": "each factor on a path counts once",
    "samples left out": "the gradient of the weights is the sum over all samples and all steps",
    "zeroed": "the gradient is cut off here",
    "float32 buffers": "the values went through float32 on their way",
    "a different forward": "this is another model than Keras's: its gradients are those of another function",
}
RANK = {kind: rank for rank, kind in enumerate(WHY)}
# Of these two the shorter equation is named: df = dc * g before dz_f = di * f * (1 - f).
RANK["quantity swapped"] = RANK["copy and paste between gates"]


@dataclass(frozen=True, eq=False)
class Fault:
    """One mistake. `quantity` is the left-hand side that is wrong, `kind` the class of the mistake,
    `right` and `wrong` the equation, `location` its line in the textbook ("" for a convention).

    `phase` is "forward", "backward" or "convention". `code` exchanges lines of the textbook; `before`
    changes the problem that is run, `after` the gradients that come out.
    """

    quantity: str
    kind: str
    right: str
    wrong: str
    location: str = ""
    phase: str = "backward"
    note: str = ""
    code: Code = field(default_factory=dict, repr=False)
    before: Callable[[Problem], Problem] | None = None
    after: Callable[[Problem, Arrays], Arrays] | None = None
    undo: Callable[[Problem, Arrays], Arrays] | None = None  # what takes `after` back, where that can be
    # backward lines that are right after this wrong forward pass
    own: Code = field(default_factory=dict, repr=False)

    @property
    def why(self) -> str:
        """Why it is wrong, in a sentence for a learner."""
        return f"{WHY[self.kind]} ({self.note})" if self.note else WHY[self.kind]

    @property
    def rank(self) -> tuple[int, int]:
        """Order among faults with the same effect: forward first, then the commonest, then the shortest."""
        kind = 0 if self.phase == "forward" else 1 + RANK[self.kind]
        return kind, 0 if self.quantity == "sign" else len(self.wrong)

    def __str__(self) -> str:
        return f"{self.quantity}: {self.kind}: {self.wrong} (right is {self.right})"

    def __call__(self, problem: Problem) -> Result:
        """The answer of an implementation with this mistake, to be checked as anyone's."""
        found = self.run(problem)
        return Result(found.gradients, found.output, float(found.loss))

    def run(self, problem: Problem, kept: Kept | None = None, truth: Pass | None = None) -> Pass:
        """The textbook's pass with this mistake in it; `kept` is a right forward pass to start from, and
        `truth` the right answer, where they are known already.

        After a wrong forward pass come the textbook's backward equations on its values; the gradient
        that belongs to the wrong forward pass itself is another one (see `slope`).
        """
        given = problem if self.before is None else self.before(problem)
        if self.code or self.before or truth is None:
            found = program.backpropagate(given, self.code, kept if self.starts_right else None)
        else:
            found = truth
        return found if self.after is None else found._replace(gradients=self.after(problem, found.gradients))

    @property
    def starts_right(self) -> bool:
        """Whether the forward pass is the right one."""
        return self.before is None and self.phase != "forward"

    def in_layer(self, name: str) -> "Fault":
        """The same mistake in one layer alone."""
        return replace(self, wrong=f"{self.wrong} in {name}", code=program.of_layer(self.code, name))

    def __add__(self, other: "Fault") -> "Fault":
        """Both mistakes at once; what is said is said of this one."""
        return replace(
            self,
            code={**other.code, **self.code},
            before=chain(self.before, other.before),
            after=chain_after(self.after, other.after),
            undo=None,
            phase="forward" if "forward" in (self.phase, other.phase) else self.phase,
        )


def chain(first: Any, then: Any) -> Any:
    """One after the other of two functions that may be None."""
    return (lambda value: then(first(value))) if first and then else first or then


def chain_after(first: Any, then: Any) -> Any:
    """As `chain`, for functions that are also given the problem."""
    return (lambda problem, value: then(problem, first(problem, value))) if first and then else first or then


def slope(fault: Fault, problem: Problem, direction: Arrays) -> float:
    """The derivative of the faulty forward pass's loss along `direction`, by the complex step: what the
    gradient of that forward pass must give, whatever its backward equations are.
    """
    step = 1e-100
    problem = problem.settled
    moved = {name: array + 1j * step * direction.get(name, 0) for name, array in problem.tensors.items()}
    complex_problem = problem.map(lambda array: array.astype(complex)).with_tensors(moved)
    _, loss, _ = program.forward(complex_problem, fault.code)
    return float(np.imag(loss) / step)
