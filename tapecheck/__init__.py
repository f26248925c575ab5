"""tapecheck: is a handwritten LSTM → Dense backpropagation right, and if not, which equation is wrong?"""

from reference_impl import BadInput
from tapecheck.case import Case, Problem, Result
from tapecheck.check import check
from tapecheck.report import Report

__all__ = ["BadInput", "Case", "Problem", "Report", "Result", "check"]
