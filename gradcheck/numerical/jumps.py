"""Whether what parts the quotients of small steps from those of larger ones is a kink or a rounding error.

An intermediate result far larger than the outputs (the cosine in 1 - cos x) is rounded alike at all points
that lie close enough together. Between two roundings the outputs are smooth, with a slope that is not that
of the function, and small steps agree on it. From larger steps this looks like the kinks of a ReLU network.
But at a kink the outputs are continuous, and where the rounding changes they jump.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.numerical.extrapolation import Table
from gradcheck.numerical.line import Line, total

# Quotients that part from the estimate at one rung, and from there to the next by no more than this share of
# what they would if they followed the square of the step, are not those of a smooth function.
_FLAT = 0.5
# Halvings of the interval in which the outputs leave the tangent: after so few, a continuous function changes
# by less than this share of the distance that it goes; after so many it also does where a kink lies at the
# interval's far end. Eight jumps may share the distance.
_FEW, _MANY, _SHARE = 6, 13, 1 / 16
# The share of that distance at which it is looked for: between equal jumps outputs rest at simple fractions.
_CROSSING = 0.382
# Changes are told from noise where they are this many times its bound.
_CLEAR = 4.0


def nearest(line: Line, table: Table, value: float, at: float) -> float:
    """Return the size of the jump of <u, y> nearest to 0 among larger steps than ``at``, 0 if there is none.

    ``value`` is the slope that the steps up to ``at`` agree on. Costs no evaluation on smooth ground, about
    thirteen at a jump, about six for each kink.
    """
    found = (between(line, value, low, high) for low, high in _partings(table, value, at))
    return next((jump for jump in found if jump), 0.0)


def between(line: Line, value: float, low: float, high: float) -> float:
    """Return the size of the jump with which <u, y> leaves the tangent between two steps, 0 for a kink."""
    sign = max((1, -1), key=lambda side: abs(_off(line, value, side * high) or 0.0))
    near, far = _off(line, value, sign * low), _off(line, value, sign * high)
    if near is None or far is None:
        return 0.0
    distance = abs(far)
    for count in range(1, _MANY + 1):
        middle = (low + high) / 2
        off = _off(line, value, sign * middle)
        if off is None:
            return 0.0
        if abs(off) > _CROSSING * distance:
            high, far = middle, off
        else:
            low, near = middle, off
        if count >= _FEW and abs(far - near) < _SHARE * distance:
            return 0.0
    return abs(far - near)


def _partings(table: Table, value: float, at: float) -> Iterator[tuple[float, float]]:
    """Yield the neighbouring steps between which quotients suddenly begin to differ from the value.

    What differs a little from there on may be smaller jumps, of another output; those are known already.
    """
    for k in range(len(table.steps) - 2, 0, -1):
        step = table.steps[k]
        apart = abs(table.rows[k][0] - value)
        further = abs(table.rows[k - 1][0] - table.rows[k][0])
        smooth = (table.steps[k - 1] / step) ** 2 - 1
        if step > at and apart * step > _CLEAR * table.noise and further <= _FLAT * smooth * apart:
            yield table.steps[k + 1], step


def _off(line: Line, slope: float, t: float) -> float | None:
    """Return how far <u, y> lies from the tangent with this slope."""
    base, there = line(0.0), line(t)
    if base is None or there is None:
        return None
    return total(line.weighted(there - base)) - t * slope
