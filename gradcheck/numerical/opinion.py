"""A second opinion about a derivative: the slope over a much smaller step, corrected by what is known.

It tells what no larger step does: a kink between the point and the nearest rung, a step function that looks
smooth from afar, noise that the number format does not explain.
"""

from __future__ import annotations

import math

from gradcheck.numerical.line import Line, line_step, total

# A one-sided slope at this power of epsilon (1e-6 in float64), corrected by the curvature seen at the second
# rung, leaves 1e-12 of truncation and 1e-9 of rounding. On the ladder it agrees where it differs from the
# estimate by no more than the second power of epsilon (9e-8), as a share.
NEARBY, _AGREES = 0.385, 0.45
# What it may leave in doubt of an estimate that ends the ladder (2e-8), in units of that.
_DOUBTED = 0.25


def doubt(line: Line, value: float, epsilon: float, noise: float, rung: float | None = None) -> float:
    """Return twice what the second opinion differs by beyond its own rounding."""
    return 2 * max(apart(line, value, epsilon, rung) - 2 * noise / float(epsilon**NEARBY), 0.0)


def ends(doubt: float, scale: float, epsilon: float) -> bool:
    """Whether so much doubt of an estimate of this size is little enough to end the ladder."""
    return bool(doubt <= _DOUBTED * epsilon**_AGREES * scale)


def agrees(line: Line, value: float, epsilon: float, noise: float) -> bool:
    """Whether the second opinion is no other than the estimate, as far as it can tell."""
    allowed = epsilon**_AGREES * abs(value) + 4 * noise / epsilon**NEARBY
    return bool(apart(line, value, epsilon) <= allowed)


def apart(line: Line, value: float, epsilon: float, rung: float | None = None) -> float:
    """Return by how much the slope over a much smaller step differs from the estimate.

    The curvature and its change are seen at ``rung``, by default the second. The nearer, the less of what no
    cubic has; no smaller than that step, its rounding does not matter beside that of the slope.
    """
    tiny, rung = float(epsilon**NEARBY), line_step(epsilon) / 2 if rung is None else rung
    right, base, far, near = line(tiny), line(0.0), line(rung), line(-rung)
    if right is None or base is None:
        return math.inf
    slope = total(line.weighted(right - base)) / tiny
    if far is not None and near is not None:
        slope -= total(line.weighted((far - base) + (near - base))) / rung**2 * tiny / 2
        slope -= (total(line.weighted(far - near)) / (2 * rung) - value) * (tiny / rung) ** 2
    return abs(slope - value)


def rests(line: Line, epsilon: float) -> bool:
    """Whether the outputs do not change at all over the step of the second opinion."""
    base, near = line(0.0), line(float(epsilon**NEARBY))
    return base is not None and near is not None and bool((near == base).all())
