"""Where one-sided derivatives differ.

On smooth ground the gap D+ - D- of the one-sided quotients shrinks like h; noise makes it grow like 1/h; at
a kink it stays. Quotients are compared output by output: an output that is convex (or concave) along the
line, as each output of relu, abs, max or a norm is, admits every slope between D- and D+, so the products
of v with valid subgradients fill the sum of these intervals, weighted by the cotangent.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.numerical.line import Line, Vector, total

_RATIO = 8.0
_STAYS = (1 / 2.5, 2.5)


@dataclass(frozen=True)
class Interval:
    """Admissible directional derivatives at a kink, and the error of the interval's ends."""

    lower: float
    upper: float
    uncertainty: float


def find(line: Line, step: float, noise: float) -> Interval | None:
    """Return the interval of admissible derivatives where there is a kink at t = 0, else None.

    Looks at three steps, the largest ``step``, each an eighth of the one before: six evaluations.
    """
    base = line(0.0)
    sides = [_one_sided(line, base, step / _RATIO**k) for k in range(3)]
    if base is None or any(side is None for side in sides):
        return None
    gaps = [total(abs(line.weighted(right - left))) for right, left in sides]  # type: ignore[misc]  # None is excluded above
    last = step / _RATIO**2
    if gaps[2] <= 4 * noise / last:
        return None
    if not all(gaps[k + 1] > 0 and _STAYS[0] <= gaps[k] / gaps[k + 1] <= _STAYS[1] for k in range(2)):
        return None
    ends = [_interval(line, *side) for side in sides]  # type: ignore[misc]  # None is excluded above
    (low, high), (previous_low, previous_high) = ends[2], ends[1]
    change = abs(low - previous_low) + abs(high - previous_high)
    return Interval(low, high, change + 2 * noise / last)


def _one_sided(line: Line, base: Vector | None, step: float) -> tuple[Vector, Vector] | None:
    right, left = line(step), line(-step)
    if base is None or right is None or left is None:
        return None
    return (right - base) / step, (base - left) / step


def _interval(line: Line, right: Vector, left: Vector) -> tuple[float, float]:
    a, b = line.weighted(right), line.weighted(left)
    middle, half = (a + b) / 2, abs(a - b) / 2
    return total(middle - half), total(middle + half)
