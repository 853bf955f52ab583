"""Derivatives of a forward pass by finite differences, each with an error bar."""

from gradcheck.numerical.derivative import derivative
from gradcheck.numerical.estimate import Estimate
from gradcheck.numerical.line import Line

__all__ = ["Estimate", "Line", "derivative"]
