"""Whether a fault does what an implementation did: NaN fits nothing."""

from reference_impl import LSTM, Dense, Named, Sequential
from tapecheck import Case, Result, check
from tapecheck.faults import faults
from tapecheck.fit import NO_FIT, Seen, fit

FOCAL = Named("categorical_focal_crossentropy", alpha=(0.1, 0.2, 0.7))
CASE = Case("fit-focal", Sequential([LSTM(4), Dense(3, activation="softmax")]), loss=FOCAL)


def with_half_a_bias(problem):
    """Gradients with a wrong bias, and no output."""
    gradients = dict(problem.reference.gradients)
    return gradients | {"lstm/bias": gradients["lstm/bias"] / 2}


def test_a_forward_pass_without_a_slope_fits_nothing():
    """With y = 0 the loss takes a logarithm of 0, and its slope is NaN: not the gradients that were given."""
    problem = CASE.problem()
    seen = Seen(problem, Result(with_half_a_bias(problem)))
    zeros = [fault for fault in faults(problem) if (fault.quantity, fault.wrong) == ("y", "y = 0")]
    assert zeros
    assert {fit(fault, seen) for fault in zeros} == {NO_FIT}


def test_it_is_not_called_another_forward_pass():
    """The report blames no forward equation for a wrong bias."""
    report = check("focal-weighed-float32", implementation=with_half_a_bias)
    assert report.headline.startswith("gradient mismatch: ")
    assert not report.investigation.is_forward
