"""Code that is unsound: unusable arrays, a memory, another forward pass, too few digits."""

from dataclasses import replace

import numpy as np

from tapecheck import Case
from tapecheck.probes import NOT_APPLICABLE, RIGHT, SUSPECT


def test_unusable_arrays_come_first(changed, suspicions):
    """NaN and a wrong shape are said, and nothing else is."""
    found = suspicions(changed(lambda p, g: g | {"lstm/bias": g["lstm/bias"][None]}))
    assert found == {"arrays": "lstm/bias has shape (1, 16), but should be (16,)"}
    found = suspicions(changed(lambda p, g: g | {"lstm/bias": g["lstm/bias"] * np.nan}))
    assert found == {"arrays": "lstm/bias holds nan, first at [0]"}


def test_buffers_not_cleared(changed, probed):
    """A bias gradient that is added to that of the last call; nothing is concluded from what comes after."""
    kept = {}

    def accumulate(problem, gradients):
        key = problem.x.shape
        kept[key] = gradients["lstm/bias"] + kept.get(key, 0)
        return gradients | {"lstm/bias": kept[key]}

    found = list(probed(changed(accumulate)).values())
    assert [str(p) for p in found if p.outcome == SUSPECT] == [
        "repeat: suspect: the second answer differs in lstm/bias: something is kept between calls"
    ]
    assert [p.says for p in found[2:]] == ["nothing follows from it before 'repeat' is right"] * len(
        found[2:]
    )


def test_buffers_returned(changed, outcomes):
    """Gradients that the next call overwrites are said to be, and do not disturb the other probes."""
    kept = {}

    def reuse(problem, gradients):
        for name, g in gradients.items():
            kept.setdefault((name, g.shape), g)[...] = g
        return {name: kept[name, g.shape] for name, g in gradients.items()}

    found = outcomes(changed(reuse))
    assert [name for name, outcome in found.items() if outcome != RIGHT] == ["buffers", "forward"]
    assert (found["buffers"], found["forward"]) == (SUSPECT, NOT_APPLICABLE)


def test_inputs_written_into(changed, suspicions):
    """A training step inside the call changes the weights, and only they are named."""

    def train(problem, gradients):
        for name, weight in problem.weights.items():
            weight -= 0.1 * gradients[name]
        return gradients

    assert suspicions(changed(train)) == {
        "inputs": "the call writes into lstm/kernel, lstm/recurrent_kernel, lstm/bias, dense/kernel and "
        "dense/bias: an in-place operator, or a training step"
    }


def test_another_forward_pass(edited, suspicions):
    """No tanh on the cell: the output says so, and where it is not returned the zero upstream gradient."""
    no_tanh = edited("phi_c = phi(c)", "phi_c = c")

    def without_output(problem):
        return no_tanh(problem).gradients

    found = suspicions(no_tanh)
    assert found["forward"].startswith("the output is wrong already: compare the forward passes")
    assert "forward" not in suspicions(without_output)
    assert "the forward pass is another one" in suspicions(without_output)["zero upstream"]


def test_float32_is_not_blamed_on_a_chaotic_problem(every_step, edited, probed):
    """Where float32 keeps no digits, a wrong equation would look like it: said, and not concluded."""
    problem = Case("probes-chaos", every_step.model, 2, 60, 3).problem()
    tenfold = {name: 10 * weight for name, weight in problem.weights.items() if "lstm" in name}
    wild = replace(problem, weights=problem.weights | tenfold)
    found = probed(edited("df = dc * c_prev", "df = dc * c"), wild)
    assert found["precision"].outcome == NOT_APPLICABLE
    assert "could pass for a wrong equation" in found["precision"].says
