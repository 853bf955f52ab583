"""Which derivatives along a line right choices at several kinks can make together.

At a point where many kinks meet, each operation chooses a slope between its own two, whatever the others do.
The sum of right choices need not lie between the one-sided derivatives of the whole: relu(a) - relu(b) has
the slope 1 along (1, -1) on both sides of 0, and with relu'(0) = 0 it claims 0. On a line that passes beside
the point the same kinks are crossed one after the other, and show as jumps of the slope. From the first
slope on, the falls together and the rises together are the least and the most that choices can make of it.
Of a maximum of tied entries that are moved alike there is no jump, and no choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradcheck.numerical.line import Line, total


@dataclass(frozen=True)
class Crossed:
    """The least and the most slope found possible on ``count`` stretches.

    Half as many ``missed`` some of it.
    """

    lower: float
    upper: float
    missed: float
    count: int

    @property
    def variation(self) -> float:
        """How much the slope rises and falls along the line."""
        return self.upper - self.lower

    def joined(self, other: Crossed) -> Crossed:
        """Return what two lines found together: each sees a part of what is possible."""
        lower, upper = min(self.lower, other.lower), max(self.upper, other.upper)
        return Crossed(lower, upper, max(self.missed, other.missed), min(self.count, other.count))

    def distance(self, claimed: float) -> float:
        """Return how far a claimed slope lies outside."""
        return max(self.lower - claimed, claimed - self.upper, 0.0)


def cross(line: Line, distance: float, count: int) -> Crossed | None:
    """Look at ``count`` stretches, an even number, of a line beside the point; None if one is undefined.

    The line passes at a ``distance``. A hyperplane n through the point is crossed at -distance <n, s> /
    <n, v>, where s is the way from the point to the line: for random s and v the ratio of two normal
    variables. So the points are spaced like the quantiles of Cauchy's distribution, and each stretch is as
    likely to hold a crossing. Two of opposite sign in one stretch hide each other: what is seen never exceeds
    what there is.
    """
    angles = (np.arange(count + 1) + 0.5) / (count + 1) * math.pi - math.pi / 2
    points = distance * np.tan(angles)
    rises = np.empty(count)
    last = line(points[0])
    for k in range(count):
        here = line(points[k + 1])
        if last is None or here is None:
            return None
        rises[k] = total(line.weighted(here - last))
        line.forget(points[k])
        last = here
    widths = np.diff(points)
    lower, upper = _range(rises / widths)
    coarse_lower, coarse_upper = _range(_in_pairs(rises) / _in_pairs(widths))
    return Crossed(lower, upper, max((upper - lower) - (coarse_upper - coarse_lower), 0.0), count)


def _in_pairs(values: np.ndarray) -> np.ndarray:
    pairs: np.ndarray = values[::2] + values[1::2]
    return pairs


def _range(slopes: np.ndarray) -> tuple[float, float]:
    jumps = np.diff(slopes)
    first = float(slopes[0])
    return first + float(jumps[jumps < 0].sum()), first + float(jumps[jumps > 0].sum())
