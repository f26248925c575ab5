"""Experiments on an implementation without a trace: what it gets right, and where that stops.

Each probe asks the implementation about a derived problem: shorter, with the recurrence cut, with
another upstream gradient. Where the answer is exact on one problem and wrong on the other, the
difference between the two names the equations that are left. TensorFlow is never called.
"""

from tapecheck.probes.run import EXPERIMENTS, Probe, probe
from tapecheck.probes.subject import NOT_APPLICABLE, RIGHT, RULED_OUT, SUSPECT
from tapecheck.transparent import recover_dz

__all__ = [
    "EXPERIMENTS",
    "NOT_APPLICABLE",
    "RIGHT",
    "RULED_OUT",
    "SUSPECT",
    "Probe",
    "probe",
    "recover_dz",
]
