"""Training runs: the weights after every step of an optimizer, in NumPy, in Keras, and exactly."""

from tapecheck.training.check import check_training
from tapecheck.training.report import TrainingMismatch, TrainingReport
from tapecheck.training.runs import Training, shipped

__all__ = ["Training", "TrainingMismatch", "TrainingReport", "check_training", "shipped"]
