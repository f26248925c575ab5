"""Whether a fault does what an implementation did: NaN fits nothing."""

import numpy as np

from reference_impl import LSTM, Dense, Named, Sequential
from tapecheck import Case, Result, check
from tapecheck.faults import faults
from tapecheck.fit import NO_FIT, Seen, fit

FOCAL = Named("categorical_focal_crossentropy", alpha=(0.1, 0.2, 0.7))
CASE = Case("fit-focal", Sequential([LSTM(4), Dense(3, activation="softmax")]), loss=FOCAL)


def with_larger_entries(problem):
    """Gradients with three wrong entries of a bias, and no output."""
    gradients = dict(problem.reference.gradients)
    gradients["lstm/bias"] = gradients["lstm/bias"] * np.repeat(
        [1.5, 1], [3, gradients["lstm/bias"].size - 3]
    )
    return gradients


def test_a_forward_pass_without_a_slope_fits_nothing():
    """With y = 0 the loss takes a logarithm of 0, and its slope is NaN: not the gradients that were given."""
    problem = CASE.problem()
    seen = Seen(problem, Result(with_larger_entries(problem)))
    zeros = [fault for fault in faults(problem) if (fault.quantity, fault.wrong) == ("y", "y = 0")]
    assert zeros
    assert {fit(fault, seen) for fault in zeros} == {NO_FIT}


def test_it_is_not_called_another_forward_pass():
    """The report blames no forward equation for a wrong bias."""
    report = check("focal-weighed-float32", implementation=with_larger_entries)
    assert report.headline.startswith("gradient mismatch: ")
    assert not report.investigation.is_forward
