"""A first look at a derivative that is claimed: where the claim is right, two to four evaluations tell.

Values at -s, 0, s and 2 s determine a cubic, whose slope at 0 is that of a smooth function up to rounding and
to what the Taylor series goes on with; with -2 s the next term goes too. A claim within that bar was not made
from these values. What could mislead them (a kink nearby, a step function that looks smooth from afar, noise
beyond that of the number format) moves them away from it, so that an agreement needs no second opinion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from gradcheck.numerical import roundoff
from gradcheck.numerical.estimate import Estimate, smooth
from gradcheck.numerical.line import Line, Vector, line_step, total

# The distance s, in units of the first step of the usual ladder, whose third and second rungs s and 2 s are.
# Nearer, rounding is the larger; further away, what is left of the series, which grows like s^3 or s^4.
_NEAR = 1 / 4
# Where s is too far, shares of it that may do; the bar of a look from there may be so many times as wide as
# wanted: that of the ladder's rungs is no narrower.
_NEARER, _WIDER = (1 / 2, 1 / 4, 1 / 16, 1 / 64, 1 / 256), 6.0
# How much further away it may be than where the fifth term is rounding, and how many such shares are tried.
_LITTLE, _TRIED = 1.5, 2
# The error of the slope in units of noise / s: f(-s)/3 + f(0)/2 - f(s) + f(2 s)/6, over s.
_ROUNDED = 1.5
# Formats coarser than this have few digits.
_FINE = 1e-9
# Outputs of which the even part is so small a share of the odd one are straight.
_STRAIGHT = 1e-11
# The first term that is left, in units of what the terms before it let expect.
_UNEXPECTED = 4.0
# The third term in units of the square of the second: by more, it is a kink or a wrong claim that is off.
_ODD = 10.0
# An error bar up to this power of epsilon (4e-11 in float64) is narrow, as a share of the outputs' change.
_SHARE = 2 / 3
# Half the difference between the slopes to both sides, as a share of their mean.
_BENT, _TORN = 0.15, 0.9


class Glance(NamedTuple):
    """What a first look shows: an estimate with a narrow error bar, or why there is none.

    Outputs are ``bent`` where their slope changes much within s already (poles nearby, many kinks): larger
    steps will not do. They are ``torn`` where it changes altogether, as at a kink or a jump.
    """

    estimate: Estimate | None = None
    bent: bool = False
    torn: bool = False


def at(line: Line, claimed: float, noise: float, epsilon: float, wanted: float) -> Glance:
    """Look at a line near 0; an estimate is given where its bar is narrow, and little more than ``wanted``.

    ``noise`` bounds the rounding error of <u, y>. Terms of the Taylor series are taken to fall like those of
    a geometric one: a fourth like the third times the largest factor between those before it. No evaluation
    is made where it is known that it will not do: rounding alone may leave more than is wanted, so near to 0,
    and what it leaves in formats of few digits is so much that wrong claims would lie within it by chance.
    """
    s = _NEAR * line_step(epsilon)
    if epsilon > _FINE or _ROUNDED * noise / s > wanted:
        return Glance()
    look = _look(line, s, noise, epsilon)
    if look is None:
        return Glance()
    estimate = look.estimate(claimed, wanted)
    if estimate is not None:
        return Glance(estimate)
    shares = [share for share in _NEARER if _ROUNDED * noise / (share * s) <= _WIDER * wanted]
    for share in look.choose(shares, claimed):
        nearer = _look(line, share * s, noise, epsilon)
        estimate = None if nearer is None else nearer.estimate(claimed, _WIDER * wanted)
        if estimate is not None:
            return Glance(estimate)
    return Glance(None, look.bent, look.torn)


def _look(line: Line, s: float, noise: float, epsilon: float) -> _Look | None:
    base, right, left = line(0.0), line(s), line(-s)
    if base is None or right is None or left is None:
        return None
    return _Look(line, s, noise, epsilon, right - left, (right - base) + (left - base))


class _Look:
    """Values at multiples of a distance s; ``scale`` and ``even`` are the sizes of the first two terms."""

    def __init__(
        self, line: Line, s: float, noise: float, epsilon: float, first: Vector, second: Vector
    ) -> None:
        self._line, self._s, self._epsilon = line, s, epsilon
        self._first, self._second = first, second
        self.slope, self.scale = line.inner(first) / (2 * s), line.size(first) / (2 * s)
        self.even = line.size(second) / (2 * s)
        self._rounding = _ROUNDED * noise / s + 4 * epsilon * self.scale

    def estimate(self, claimed: float, wanted: float) -> Estimate | None:
        """Return an estimate with a narrow bar of at most ``wanted``, None where there is none."""
        off, rounding = abs(self.slope - claimed), self._rounding
        if off <= rounding <= wanted and self.even <= _STRAIGHT * self.scale:
            return self._smooth(self.slope, rounding)
        enough = min(max(self._epsilon**_SHARE * self.scale, 2 * rounding), wanted)
        return self._with_more_points(enough) if self._fifth(off) + rounding <= enough else None

    def _with_more_points(self, enough: float) -> Estimate | None:
        line, s, rounding = self._line, self._s, self._rounding
        base, far = line(0.0), line(2 * s)
        if far is None:
            return None
        third = (far - base) - self._first - 2 * self._second
        odd, signs = line.size(third) / (6 * s), _signs(line, third)
        bound = signs * self._fourth(odd) + rounding
        if bound <= enough:
            return self._smooth(self.slope - line.inner(third) / (6 * s), bound)
        behind = line(-2 * s) if signs * self._fifth(odd) + rounding <= enough else None
        if behind is None:
            return None
        change = self._first - (far - behind) / 2
        odd = line.size(change) / (6 * s)
        fourth = line.size(third + change) / (12 * s)
        # even terms are not in the slope; they tell of a kink or a jump at the point itself
        if not 2 * fourth <= self._fourth(odd) + rounding:
            return None
        # one output of many may have a series that falls more slowly: that shows in its last terms
        slowly = 4 * _UNEXPECTED * fourth * (fourth / odd) if odd > 0 else 0.0
        bound = signs * max(self._fifth(odd), slowly) + rounding
        return self._smooth(self.slope + line.inner(change) / (6 * s), bound) if bound <= enough else None

    def _smooth(self, value: float, bound: float) -> Estimate:
        return smooth(value, bound, self._line.evaluations)

    def _fourth(self, odd: float) -> float:
        """Return a bound on what the fourth term of the series does to the slope of a cubic.

        ``odd`` is the size of the third term.
        """
        even, scale = self.even, self.scale
        if odd == 0.0:
            return 0.0
        if not scale > 0:
            return math.inf
        factor = max(odd / even if even > odd else 1.0, even / scale, math.sqrt(odd / scale))
        return 2 * _UNEXPECTED * odd * factor

    def _fifth(self, odd: float) -> float:
        """Return a bound on what the fifth term of the series does to the slope of a quartic."""
        if odd == 0.0:
            return 0.0
        return _UNEXPECTED * 9 * odd * (odd / self.scale) if self.scale > 0 else math.inf

    @property
    def bent(self) -> bool:
        """Whether the slopes to both sides differ much."""
        return self.even > _BENT * self.scale

    @property
    def torn(self) -> bool:
        """Whether they have little in common."""
        return self.even > _TORN * self.scale

    def choose(self, shares: Sequence[float], claimed: float) -> Sequence[float]:
        """Return the shares of s to try: the largest where the fifth term would be little, of kinks the last.

        None where this is no question of the distance: the third term goes with the square of the second, and
        what is off by much more is a kink here or a wrong claim.
        """
        off, scale, even = abs(self.slope - claimed), self.scale, self.even
        square = even * (even / scale) if scale > 0 else 0.0
        if not 0 < off <= _ODD * square or self.torn:
            return ()
        if self.bent:
            return shares[-1:]
        most = _LITTLE * (self._rounding / self._fifth(max(off, square))) ** (1 / 5)
        return [share for share in shares if share <= most][:_TRIED]


def _signs(line: Line, difference: Vector) -> float:
    """Return what is left, at most, of a sum of magnitudes where signs are those of a random cotangent."""
    terms = abs(line.weighted(difference))
    magnitudes = total(terms)
    return roundoff.of_random_signs(terms) / magnitudes if magnitudes > 0 else 1.0
