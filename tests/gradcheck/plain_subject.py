"""A subject in NumPy whose errors are known exactly: one output per leaf, or what a test makes of it."""

from __future__ import annotations

import numpy as np

from gradcheck.examination import Examination
from gradcheck.judge import tolerance

TOLERANCE = tolerance("float64")


class Plain:
    """``forward(**leaves)`` gives a list of arrays, ``backward(cotangents, **leaves)`` claims gradients."""

    name = "plain"
    epsilon = precision = float(np.finfo(np.float64).eps)

    def __init__(self, leaves, forward, backward, fixed_cotangent=False):
        self.variables = leaves
        self.forward, self.backward = forward, backward
        self.fixed_cotangent, self.is_linear = fixed_cotangent, False
        self.evaluations = 0

    def evaluate(self, values):
        self.evaluations += 1
        return self.forward(**{**self.variables, **values})

    def pull_back(self, cotangents):
        return self.backward(cotangents, **self.variables)


def squares(leaves, off=None):
    """Return x^2 of every leaf; the gradient of those in ``off`` is wrong by that times the cotangent."""
    off = off or {}

    def forward(**given):
        return [value**2 for value in given.values()]

    def backward(cotangents, **given):
        return {
            name: (2 * value + off.get(name, 0.0)) * u
            for (name, value), u in zip(given.items(), cotangents, strict=True)
        }

    return Plain(leaves, forward, backward)


def examined(subject, seed=0):
    """Return the examination of a subject, and gradients pulled back in it."""
    exam = Examination(subject, seed)
    pulled = exam.pull()
    exam.rounding.check_linearity(pulled)
    return exam, pulled
