"""The rounding errors of the outputs: a floor from the format, a measurement from the function."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from gradcheck.numerical.line import Line, Vector, total

# Random cotangents make the outputs' errors add like a random walk; six standard deviations.
_SIGMAS = 6.0
# Formats coarser than this round once, at the end.
_HALF = 1e-4
# Spacings of the points between which noise is measured, in units of the direction, for float64. Where a
# forward pass rounds to a narrower format on its way, close points give one value: look further apart.
_SPACINGS = (2.0**-32, 2.0**-25, 2.0**-18, 2.0**-11)
_POINTS = 7
# The ratio of two spacings that no grid fits both of.
_GOLDEN = 1.618
# The standard deviation of rounding to a grid, in units of the grid.
_GRID = 12**-0.5


def floor(base: Vector, cotangent: Vector, epsilon: float) -> float:
    """Return a bound on the rounding error of <u, y> from one rounding of each output.

    An output next to larger ones has passed through sums of their size: a third of the largest is added
    to each (without it, a dozen of 1,900 operator samples gave error bars near 1e-9 that were too small).
    """
    magnitude = abs(base)
    size = magnitude.shape[0]
    if size == 0:
        return 0.0
    if epsilon > _HALF:
        return _half_precision_floor(base, cotangent, epsilon)
    weighted = abs(cotangent) * (magnitude + float(magnitude.max()) / 3)
    bound = total(weighted)
    if size > _SIGMAS**2:
        largest = float(weighted.max())
        if largest > 0:  # scaled, so that squares neither overflow nor vanish
            bound = min(bound, _SIGMAS * largest * math.sqrt(total((weighted / largest) ** 2)))
    return 2 * epsilon * bound


def _half_precision_floor(base: Vector, cotangent: Vector, epsilon: float) -> float:
    """Return three standard deviations of one final rounding: half-precision outputs are computed wider."""
    weighted = abs(cotangent * base)
    largest = float(weighted.max())
    if largest == 0:
        return 0.0
    return epsilon * largest * math.sqrt(total((weighted / largest) ** 2))


def measured(line: Line, epsilon: float) -> float:
    """Return the standard deviation of <u, y> under tiny changes of t, by difference tables.

    ECNoise of Moré and Wild (Estimating computational noise, 2011): on a smooth function the k-th
    differences of equally spaced values are noise alone once the spacing is small; sigma_k^2 is the mean
    of their squares times (k!)^2 / (2k)!. The level is the first where two neighbours agree.
    Measured at two spacings, as points that happen to lie a whole number of roundings apart show none; near
    each other, as those of the second must not reach a kink that the first do not.
    Costs twelve evaluations in the ordinary case; 0 where the function has no values there.
    """
    coarse = False
    for spacing in _SPACINGS:
        narrow = spacing * (epsilon / 2.2e-16) ** 0.5
        values = _values(line, narrow)
        if values is None:
            return 0.0
        distinct = np.unique(values)
        if len(distinct) > _POINTS // 2:
            again = _values(line, _GOLDEN * narrow)
            level = max(_noise_level(v) for v in (values, again) if v is not None)
            # where closer points gave equal values these lie on a grid, no coarser than they do here
            return max(level, _GRID * float(np.diff(distinct).min())) if coarse else level
        coarse = True
    return 0.0


def _values(line: Line, spacing: float) -> np.ndarray | None:
    base = line(0.0)
    values = [line(k * spacing) for k in range(-(_POINTS // 2), _POINTS // 2 + 1)]
    if base is None or any(value is None for value in values):
        return None
    return np.asarray([total(line.weighted(value - base)) for value in values])


def _noise_level(values: np.ndarray) -> float:
    largest = float(np.abs(values).max())
    if largest == 0:
        return 0.0
    levels = []
    differences = values / largest  # so that squares neither overflow nor vanish
    for k in range(1, len(values)):
        differences = np.diff(differences)
        scale = math.factorial(k) ** 2 / math.factorial(2 * k)
        levels.append(math.sqrt(scale * float(np.mean(differences**2))))
    candidates = levels[1:]  # first differences still hold the slope
    for low, high in pairwise(candidates):
        if high > 0 and 0.25 <= low / high <= 4:
            return max(low, high) * largest
    return candidates[-1] * largest
