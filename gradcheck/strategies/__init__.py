"""Hypothesis strategies for inputs of an operator: the shapes, values and layouts on which gradients fail.

A backward pass that is right on a contiguous block of Gaussian numbers is often wrong at a zero, at a tie,
on an empty axis, or on a transposed view. These strategies draw all of them, and shrink to a small,
contiguous, ordinary input where the failure allows it.
"""

from __future__ import annotations

from gradcheck.strategies.inputs import arrays, tensors
from gradcheck.strategies.shapes import shapes

__all__ = ["arrays", "shapes", "tensors"]
