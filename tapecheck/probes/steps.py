"""Is it one step, or the recurrence? The last resort reads dz off the gradients, step by step."""

from collections.abc import Callable, Mapping
from functools import wraps

from reference_impl.spec import Array
from tapecheck.localize import localize, lstm_names
from tapecheck.probes import derived
from tapecheck.probes.subject import (
    RIGHT,
    RULED_OUT,
    SUSPECT,
    Finding,
    Judged,
    NotApplicable,
    Subject,
    contrast,
    same,
)
from tapecheck.text import listed
from tapecheck.transparent import agrees, gatewise, read, transparent
from tapecheck.upper import window

Experiment = Callable[[Subject], tuple[str, str]]


def from_zero_states(experiment: Experiment) -> Experiment:
    """The experiment, which starts from initial states of zero, with that said where the problem does not."""

    @wraps(experiment)
    def told(subject: Subject) -> tuple[str, str]:
        outcome, says = experiment(subject)
        given = any(state.any() for state in subject.problem.initial_state.values())
        return outcome, f"{says} (from zero states)" if given and "of zero" not in says else says

    return told


@from_zero_states
def one_step(subject: Subject) -> tuple[str, str]:
    """Is it right where there is no recurrence?"""
    answer = subject.ask(derived.cut(derived.at_rest(subject.problem), timesteps=1))
    wrong = [row.name for row in answer.wrong]
    gates = answer.wrong_gates("kernel")
    if not wrong:
        return RIGHT, "exact at T = 1: the loss, the head and all of a step that needs no c_prev are right"
    if head := outside_lstm(answer):
        return SUSPECT, f"wrong at T = 1, and {head} already: neither the LSTM alone nor the recurrence"
    if alone := one_tensor(answer):
        return SUSPECT, f"wrong at T = 1 in {alone} alone: how it is made from dz, not dz itself"
    if not gates or {"i", "g", "o"} <= set(gates):  # dz_f is zero for want of a c_prev
        return SUSPECT, f"wrong at T = 1 in {listed(wrong)}: what all gates share, or their order"
    return SUSPECT, f"wrong at T = 1 in gate {' '.join(gates)}: the step itself, not the recurrence"


@from_zero_states
def two_steps(subject: Subject) -> tuple[str, str]:
    """Is it right for the shortest recurrence, and if not, is its last step?"""
    T = subject.problem.x.shape[1]
    if T == 1:
        raise NotApplicable("the problem has one time step")
    two = derived.cut(derived.at_rest(subject.problem), timesteps=2)
    if subject.ask(derived.cut(two, timesteps=1)).wrong:
        raise NotApplicable("wrong at T = 1 already")
    answer = subject.ask(two)
    if not answer.wrong and not subject.base.wrong:
        return RIGHT, "exact at T = 2: the recurrence is right"
    if not answer.wrong and not subject.ask(derived.at_rest(subject.problem)).wrong:
        return SUSPECT, "exact from initial states of zero: the step that starts from others is wrong"
    if (
        not answer.wrong
        and T > 3
        and not subject.ask(derived.cut(derived.at_rest(subject.problem), timesteps=3)).wrong
    ):
        return SUSPECT, (
            f"exact at T = 2 and 3, wrong at T = {T}: what comes from further back (a cut of the "
            "recurrence), or grows on its way (a limit)"
        )
    if not answer.wrong:
        return SUSPECT, "exact at T = 2 and wrong at T = 3: what passes through a middle step is wrong"
    if alone := one_tensor(answer):
        return (
            SUSPECT,
            f"exact at T = 1, wrong at T = 2 in {alone} alone: how dz is added up, not the recurrence",
        )
    if head := outside_lstm(answer):
        return SUSPECT, f"exact at T = 1, wrong at T = 2, and {head} already: not the recurrence alone"
    # From rest dW_h = h_0.T @ dz_1: the last step alone, now with a c_prev, and no recurrence in it.
    gates = answer.wrong_gates("recurrent_kernel")
    if gates == ["f"]:
        return SUSPECT, "exact at T = 1, wrong at T = 2 in gate f of the last step: dz_f, not the recurrence"
    if gates:
        return SUSPECT, (
            f"exact at T = 1, wrong at T = 2 in the last step's share of dW_h (gate {' '.join(gates)}): "
            "the steps are not kept apart, or not added up"
        )
    return SUSPECT, (
        "exact at T = 1, wrong at T = 2 before the last step: the recurrence (dh_next, dc_next), "
        "or what an earlier step is given (dh_above, x_t, its gates)"
    )


def outside_lstm(answer: Judged) -> str:
    """The wrong weights that are no LSTM's, in words; "" where there is none."""
    return listed([row.name for row in answer.wrong if not row.name.startswith("lstm")])


def one_tensor(answer: Judged) -> str | None:
    """The only wrong weight, where it is an LSTM's that has a bias: a wrong dz would show in both."""
    wrong = [row.name for row in answer.wrong]
    layer = wrong[0].partition("/")[0]
    known = layer.startswith("lstm") and f"{layer}/bias" in answer.gradients
    return wrong[0] if len(wrong) == 1 and known else None


def without_dh_next(subject: Subject) -> Finding:
    """Is it right where dh_next is zero?"""
    return contrast(
        subject,
        derived.without_dh_next(subject.problem),
        "with W_h = 0",
        if_exact="the mistake shows only where W_h hands something on, as in dh_next = dz @ W_h.T",
        if_wrong="dh_next is not the only fault",
    )


def without_dc_next(subject: Subject) -> Finding:
    """Is it right where dc_next is zero?"""
    return contrast(
        subject,
        derived.without_dc_next(subject.problem),
        "with the forget gate closed",
        if_exact="the mistake shows only where gate f is open, as in dc_next = dc * f and dz_f",
        if_wrong="dc_next and dz_f are not the only fault",
    )


def steps_apart(subject: Subject) -> Finding:
    """Is it right where no gradient goes from one step to another?"""
    closed = derived.without_dc_next(subject.problem)
    return contrast(
        subject,
        closed and derived.without_dh_next(closed),
        "with W_h = 0 and the forget gate closed",
        if_exact="the mistake shows only where a later step hands something back, or gate f is open",
        if_wrong="a step by itself, or what it is given, is wrong, and not the recurrence alone",
    )


def symmetric_kernel(subject: Subject) -> Finding:
    """Is it right where a transpose of W_h changes nothing?"""
    return contrast(
        subject,
        derived.with_symmetric_kernel(subject.problem),
        "with a symmetric W_h",
        if_exact="the mistake shows only where W_h is not its own transpose, as in dh_next = dz @ W_h.T",
        if_wrong="a missing transpose of W_h is not the only fault",
    )


def handed_on(subject: Subject) -> Finding:
    """Where every weight is right: are the gradients of the inputs, too?"""
    answer = subject.base
    if answer.wrong:
        raise NotApplicable("weights are wrong already")
    inputs = [name for name in ("x", *subject.problem.initial_state) if name in answer.arrays]
    if not inputs:
        raise NotApplicable("no gradient of an input is returned")
    said = [f"{name}, {HANDED_ON[name.rpartition('/')[2]]}," for name in inputs if answer.is_wrong(name)]
    if said:
        return SUSPECT, f"every weight is right, but {listed(said)} is not: what a step hands on, not its dz"
    return RIGHT, "every weight is right, and so is what is handed on to the inputs"


# What the gradients of the inputs are, beside the weights'.
HANDED_ON = {
    "x": "dx_t = dz @ W_x.T",
    "initial_h": "dh_next = dz @ W_h.T of the first step",
    "initial_c": "dc_next = dc * f of the first step",
}


# ---- is each step's dz right, and what is made of it?


def dz_of_all(subject: Subject) -> Finding:
    """Is dz of every LSTM right, the one nearest the loss first? What is wrong there is handed down."""
    read: list[str] = []
    reasons: dict[str, str] = {}
    names = lstm_names(subject.problem)
    for name in reversed(names):
        try:
            finding = dz_of(subject, name)
        except NotApplicable as reason:
            reasons[name] = str(reason)
            continue
        if finding[0] == SUSPECT:
            return SUSPECT, finding[1] + left_out("unread above it", reasons), *finding[2:]
        read.append(name)
    if not read:
        raise NotApplicable(listed([*dict.fromkeys(reasons.values())]) if names else "the model has no LSTM")
    right, rest = f"dz of {listed(read)} is right at every step and gate", left_out("unread", reasons)
    if subject.base.wrong:
        return RULED_OUT, f"{right}: look outside of it{rest}"
    return RIGHT, right + rest


def left_out(title: str, reasons: Mapping[str, str]) -> str:
    """Which LSTMs were not read, and why, to be put behind a sentence."""
    said = [f"{name} ({reason})" for name, reason in reasons.items()]
    return f"; {title}: {listed(said)}" if said else ""


def dz_of(subject: Subject, name: str) -> Finding:
    """Is dz of one LSTM right, step by step and gate by gate, as its gradients show it?"""
    is_first = name == subject.problem.model.named_layers()[0][0]
    opened = None if is_first else window(subject.problem, name)
    if not is_first and opened is None:
        raise NotApplicable("the layers below it do not let single steps through")
    answer = subject.ask(opened.problem if opened else transparent(subject.problem))
    clear, gradients = answer.problem, answer.arrays
    by_kernel, by_x = (opened.read(gradients, answer.traced), None) if opened else read(clear, gradients)
    if by_kernel is None:
        raise NotApplicable(f"there is no gradient of {name}/kernel to read dz off")
    located = localize(clear, gatewise(by_kernel, name), answer.traced)
    first, last = located.first_divergence, clear.x.shape[1] - 1
    wrong = {row.name for row in answer.wrong}
    x_is_right = by_x is None or agrees(clear, by_x, answer.traced)
    if first and by_x is not None and x_is_right:
        return SUSPECT, f"dz of {name}, read off dx, is right at every step, but dW_x {shares(by_kernel)}"
    if first and opened and sums_are_right(answer, name):
        return SUSPECT, f"dz of {name} is right, as its sums show, but dW_x {shares(by_kernel)}"
    if first and first.step == last and not by_kernel.any(axis=(0, 2)).all():
        # dz of the last step comes before all recurrence: it, and not the sum, would be whole
        return SUSPECT, f"dW_x of {name} {shares(by_kernel)}"
    if first and by_x is None and is_not_the_dz_of_db(answer, name, by_kernel):
        also = " and dW_h is wrong too" if f"{name}/recurrent_kernel" in wrong else ""
        return SUSPECT, f"dz of {name} is right, as its sum db shows, but dW_x {shares(by_kernel)}{also}"
    if first:
        together = [place.quantity for place in located.sources if place[:3] == first[:3]]
        where = f"at step {first.step}, in {equation(together, last=first.step == last)}"
        return SUSPECT, f"dz of {name} first goes wrong {where}", located

    left = [
        *(["dW_h = sum of h_prev.T @ dz"] if f"{name}/recurrent_kernel" in wrong else []),
        *(["db = sum of dz"] if f"{name}/bias" in wrong else []),
        *([] if x_is_right else ["dx_t = dz @ W_x.T"]),
    ]
    if left:
        return SUSPECT, f"dz of {name} is right at every step and gate, but {listed(left)} is not"
    return RIGHT, f"dz of {name} is right at every step and gate"


def sums_are_right(answer: Judged, name: str) -> bool:
    """Whether every other sum over dz that is returned is right: a wrong dz would show in them."""
    sums = {f"{name}/bias", f"{name}/recurrent_kernel"} & answer.arrays.keys()
    return bool(sums) and not sums & {row.name for row in answer.wrong}


def is_not_the_dz_of_db(answer: Judged, name: str, by_kernel: Array) -> bool:
    """Whether db is returned and right, and is not the sum of the dz that dW_x tells of."""
    db = answer.arrays.get(f"{name}/bias")
    if db is None or answer.is_wrong(f"{name}/bias"):
        return False
    return not same(by_kernel.sum(axis=(0, 1)), db, answer.problem.dtype)


def shares(by_kernel: Array) -> str:
    """Which steps have a share in dW_x, in words."""
    steps = [str(t) for t in range(by_kernel.shape[1]) if by_kernel[:, t].any()]
    if not steps:
        return "is zero"
    if len(steps) == by_kernel.shape[1]:
        return "is not the sum of x_t.T @ dz"
    if len(steps) > 1:
        return f"holds x_t of the steps {', '.join(steps)} only"
    return f"holds x_t of step {steps[0]} only: overwritten, or one x read for all steps"


def equation(wrong: list[str], last: bool) -> str:
    """The equation of the quantities that go wrong together; at the last step nothing comes from a next."""
    if wrong == ["dh"]:
        return "dh = dh_above (the loss, a layer above), or all of dz" if last else "dh = dh_above + dh_next"
    if wrong == ["dc"]:
        return "dc = dh * o * (1 - tanh(c)**2)" + ("" if last else " + dc_next")
    if len(wrong) > 1:
        return f"{listed(wrong)}: the derivative of their activation"
    gate = wrong[0][-1]
    upstream = {"i": "dc * g", "f": "dc * c_prev", "g": "dc * i", "o": "dh * tanh(c)"}[gate]
    return f"{wrong[0]}: {upstream}, times the derivative of gate {gate}"
