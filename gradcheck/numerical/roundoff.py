"""The rounding errors of the outputs: a floor from the format, a measurement from the function."""

from __future__ import annotations

import math

import numpy as np

from gradcheck.numerical.line import Line, Vector, root_of_squares, total

# Random cotangents make the outputs' errors add like a random walk; six standard deviations.
_SIGMAS = 6.0
# Formats coarser than this round once, at the end.
_HALF = 1e-4
# Noise is measured among points this near, in units of the direction, for float64: near enough that nothing
# but rounding lies between them and a parabola, far enough to meet more than one rounding of an intermediate
# result. Where a forward pass rounds to a narrower format on its way, close points give one value: look
# further apart.
_WINDOWS = (2.0**-30.5, 2.0**-24.5, 2.0**-17, 2.0**-9.5)
# Where in the window the points lie. Evenly spaced ones may all be rounded alike (moved by nearly whole
# numbers of roundings each), and multiples of one irrational number too (Fibonacci numbers times the golden
# ratio are nearly whole); roots of primes have no multiple in common that is.
_PLACES = tuple(2 * (math.sqrt(p) % 1) - 1 for p in (2, 3, 5, 7, 13, 17, 23, 37, 47, 53))
# Of so many different values at least a noise level can be read.
_DISTINCT = 7
# Points between which single precision is told, steps about one rounding of it, and the least and the most
# second differences, as a share, that it leaves.
_POINTS, _STEPS, _SINGLE, _MOST = 7, (2.0**-24, 2.0**-22), 2.0**-27, 2.0**-8
# The standard deviation of rounding to a grid, in units of the grid.
_GRID = 12**-0.5


def floor(base: Vector, cotangent: Vector, epsilon: float) -> float:
    """Return a bound on the rounding error of <u, y> from one rounding of each output.

    An output next to larger ones has passed through sums of their size: a third of the largest is added
    to each (without it, a dozen of 1,900 operator samples gave error bars near 1e-9 that were too small).
    """
    magnitude = abs(base)
    if magnitude.shape[0] == 0:
        return 0.0
    if epsilon > _HALF:
        return _half_precision_floor(base, cotangent, epsilon)
    return 2 * epsilon * of_random_signs(abs(cotangent) * (magnitude + float(magnitude.max()) / 3))


def of_random_signs(magnitudes: Vector) -> float:
    """Return a bound on the sum of terms whose signs are those of a random cotangent."""
    bound = total(magnitudes)
    if magnitudes.shape[0] <= _SIGMAS**2 or not bound > 0:
        return bound
    return min(bound, _SIGMAS * root_of_squares(magnitudes))


def _half_precision_floor(base: Vector, cotangent: Vector, epsilon: float) -> float:
    """Return three standard deviations of one final rounding: half-precision outputs are computed wider."""
    weighted = abs(cotangent * base)
    return epsilon * root_of_squares(weighted)


def measured(line: Line, epsilon: float, near: float = math.inf) -> float:
    """Return the standard deviation of <u, y> under tiny changes of t: what a smooth curve leaves of it.

    The idea is that of ECNoise (Moré and Wild, Estimating computational noise, 2011), but with points at
    uneven distances, those among them at which the line has been evaluated already, and a least squares fit
    in place of difference tables. A kink at 0 is part of the curve; what lies further away than ``near`` is
    left outside.
    Costs ten evaluations in the ordinary case; 0 where the function has no values there.
    """
    coarse = False
    for window in _WINDOWS:
        width = min(window * (epsilon / 2.2e-16) ** 0.5, near)
        near = math.inf
        if _constant(line, width):
            coarse = True
            continue
        sample = _sample(line, width)
        if sample is None:
            return 0.0
        distinct = np.unique(sample[1])
        if len(distinct) >= _DISTINCT:
            level = _scatter(*sample)
            # where closer points gave equal values these lie on a grid, no coarser than they do here
            return max(level, _GRID * float(np.diff(distinct).min())) if coarse else level
        coarse = True
    return 0.0


def is_single(line: Line) -> bool:
    """Whether the outputs are noisy as numbers are that were rounded to single precision on their way.

    Second differences over steps of about one such rounding tell: of smooth outputs they are smaller by eight
    orders, and fall with the square of the step; at a kink they are as large, but not all of them; beside a
    pole or the end of a domain they are large, but of one sign, and of outputs that oscillate within such
    steps they are as large as these.
    """
    near, far = (_second_differences(line, step) for step in _STEPS)
    return near is not None and far is not None and _MOST > near > max(_SINGLE, far / 4)


def _second_differences(line: Line, step: float) -> float | None:
    """Return the median share, over the outputs, of second differences of either sign."""
    values = [line(k * step) for k in range(_POINTS)]
    base = values[0]
    if base is None or any(value is None for value in values):
        return None
    rows = np.diff(np.asarray([np.asarray(value) for value in values]), 2, axis=0)
    rows = np.where((rows.min(0) < 0) & (rows.max(0) > 0), np.abs(rows), 0)
    sizes = np.abs(np.asarray(base))
    counted = sizes > 0
    return float(np.median(rows[:, counted] / sizes[counted])) if counted.any() else None


def _constant(line: Line, width: float) -> bool:
    """Whether the outputs are known at about this distance on both sides of 0, and are those at 0."""
    base: Vector = line(0.0)
    near = [t for t in line.known(4 * width) if abs(t) > width / 4]
    around = min(near, default=0) < 0 < max(near, default=0)
    return around and all(bool((line(t) == base).all()) for t in near)


def _sample(line: Line, width: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return places within ``width`` of 0, in units of it, and how <u, y> differs there from that at 0."""
    base = line(0.0)
    places = sorted({*(width * place for place in _PLACES), *line.known(width)})
    values = [line(t) for t in places]
    if base is None or any(value is None for value in values):
        return None
    changes = [total(line.weighted(value - base)) for value in values]
    return np.asarray(places) / width, np.asarray(changes)


def _scatter(places: np.ndarray, values: np.ndarray) -> float:
    """Return the standard deviation about the best parabola with a kink at 0."""
    largest = float(np.abs(values).max())
    if largest == 0:
        return 0.0
    curve = np.stack([places**0, places, places**2, np.abs(places)], axis=1)
    scaled = values / largest  # so that squares neither overflow nor vanish
    left = scaled - curve @ np.linalg.lstsq(curve, scaled, rcond=None)[0]
    return largest * math.sqrt(float(left @ left) / (len(places) - curve.shape[1]))
