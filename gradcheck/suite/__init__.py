"""An engine on many cases: the worked examples and generated ones, over several processes."""

from gradcheck.suite.records import Failure, FamilyRow, OperationRow, Problem, SuiteResult
from gradcheck.suite.run import run_suite

__all__ = ["Failure", "FamilyRow", "OperationRow", "Problem", "SuiteResult", "run_suite"]
