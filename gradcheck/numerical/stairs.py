"""Outputs that move in steps, and outputs that jump at the point itself: no quotient tells what these are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck.numerical.estimate import Estimate, unresolved
from gradcheck.numerical.line import Line, Vector, total

# Constant outputs this near (in first steps: 3e-7 in float64) are steps, not rounding to single precision.
_STAIR = 2.0**-13
# Steps this small beside the outputs are rounding to single precision, of large numbers or twice, after all.
_COARSE = 2.0**-20
# So many steps within a first step of the ladder are a slope, from afar; so near to whole numbers of the
# smallest change, or its half, are the others where there are steps.
_SLOPE, _WHOLE = 64, 0.02
# Steps between which a change that has a slope would shrink, and the share of outputs that is no rounding.
_WITHIN, _FAR = (2.0**-22, 2.0**-32), 1e-3


def step_function(line: Line, epsilon: float, noise: float) -> Estimate | None:
    """Return derivative zero where the outputs do not change at all near 0 although they do further away."""
    base, step = line(0.0), float(epsilon ** (1 / 6))
    if step * _STAIR < 16 * epsilon:  # the number format itself is that coarse
        return None
    near = [line(sign * step * _STAIR) for sign in (1, -1)]
    far = [line(sign * step) for sign in (1, -1)]
    if base is None or any(value is None for value in near):
        return None
    if any(bool((value != base).any()) for value in near):
        return None
    if not any(value is not None and bool((value != base).any()) for value in far):
        return None
    changes = _changes(line, base, step)
    digits = _digits(line, base, epsilon)
    if _first_change(changes, base, digits) <= _COARSE:
        return None
    if _slope_of_steps(changes, digits):
        return unresolved("the outputs move in steps so fine that they may be rounding", line.evaluations)
    message = "the outputs are constant near this point: a step function, whose derivative is zero"
    return Estimate(0.0, noise / step, 0.0, 0.0, evaluations=line.evaluations, message=message)


def _changes(line: Line, base: Vector, step: float) -> list[Vector]:
    """Return how far outputs move over ever smaller steps, until two in a row leave them where they are."""
    found: list[Vector] = []
    still = 0
    for k in range(-int(math.log2(_STAIR))):
        values = [value for sign in (1, -1) if (value := line(sign * step / 2**k)) is not None]
        changes = [abs(value - base) for value in values]
        still = 0 if any(bool(change.any()) for change in changes) else still + 1
        found += changes
        if still == 2:
            break
    return found


def _slope_of_steps(changes: list[Vector], digits: float) -> bool:
    """Whether an output moves in whole steps, and so many of them that from afar they make a slope."""
    where = int(max(changes, key=total).argmax())
    of_it = sorted(float(change[where]) for change in changes if float(change[where]) > digits)
    halves = [2 * change / of_it[0] for change in of_it]
    return (
        bool(halves) and halves[-1] > 2 * _SLOPE and all(abs(half - round(half)) < _WHOLE for half in halves)
    )


def _first_change(changes: list[Vector], base: Vector, digits: float) -> float:
    """Return the smallest change of an output met when going to 0, as a share of the largest output.

    Changes of a few last digits of outputs or inputs, as adding t to a large number and taking it away again
    leaves, are none; 0 where there are no others.
    """
    counted = [change[change > digits] for change in changes]
    smallest = min((float(change.min()) for change in counted if change.shape[0]), default=math.inf)
    return smallest / max(float(abs(base).max()), 1e-300) if smallest < math.inf else 0.0


def _digits(line: Line, base: Vector, epsilon: float) -> float:
    """Return a change of a few last digits of outputs or inputs."""
    return 2**8 * epsilon * max(float(abs(base).max()), line.inputs, 1e-300)


def jumps_at_once(line: Line, step: float, noise: float, sides: Sequence[int] = (1, -1)) -> bool:
    """Whether the outputs change by as much over a tiny step as over one a thousand times larger."""
    base = line(0.0)
    changes = []
    for h in (step / 2**12, step / 2**22):
        values = [line(side * h) for side in sides]
        if base is None or any(value is None for value in values):
            return False
        changes.append(max(total(abs(line.weighted(value - base))) for value in values))
    return changes[1] > 0.3 * changes[0] and changes[1] > 1e3 * noise


def moves_as_far_within(line: Line) -> bool:
    """Whether outputs move as far, and far, within a step of 2e-10 as within one of 2e-7: no slope shows."""
    base = line(0.0)
    groups = [[line(sign * factor * h) for sign in (1, -1) for factor in (1.0, 1.7)] for h in _WITHIN]
    if base is None or any(point is None for group in groups for point in group):
        return False
    far, near = ([total(abs(line.weighted(point - base))) for point in group] for group in groups)
    return max(near) > max(0.3 * min(far), _FAR * total(abs(line.weighted(base))))
