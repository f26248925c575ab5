"""tapecheck: is a handwritten LSTM → Dense backpropagation right, and if not, which equation is wrong?"""

from reference_impl import BadInput
from tapecheck.case import Case
from tapecheck.catalogue import CATALOGUE, cases
from tapecheck.check import check
from tapecheck.problem import Problem, Result
from tapecheck.report import GradientMismatch, Report
from tapecheck.training import TrainingMismatch, TrainingReport, check_training

__all__ = [
    "CATALOGUE",
    "BadInput",
    "Case",
    "GradientMismatch",
    "Problem",
    "Report",
    "Result",
    "TrainingMismatch",
    "TrainingReport",
    "cases",
    "check",
    "check_training",
]
