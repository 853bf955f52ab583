"""Whether a gradient is about right at another point than the one it was verified at.

What makes a gradient right at one point may do so by chance: at zeros, or where two lengths are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

# How far away the other point is, in units of a leaf's largest entry; the step of quotients there, and what
# they may be off by.
AWAY, _STEP, _ABOUT = 0.05, 1e-6, 1e-3


def about_right(terms: Sequence[NDArray[np.floating]], at: Callable[[float], float]) -> bool:
    """Whether terms of a claimed derivative add up to about that of ``at`` at 0, or lie between its sides."""
    middle = at(0.0)
    claimed, size = sum(float(np.sum(t)) for t in terms), sum(float(np.sum(np.abs(t))) for t in terms)
    sides = (at(_STEP) - middle) / _STEP, (middle - at(-_STEP)) / _STEP
    slack = _ABOUT * max(size, abs(sides[0])) + 1e-15 * abs(middle) / _STEP
    return min(sides) - slack <= claimed <= max(sides) + slack
