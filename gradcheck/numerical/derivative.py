"""A directional derivative with an error bar, from as few evaluations as the case allows.

Four evaluations settle the ordinary case: central quotients at h and h/2 and their extrapolation. The
step h balances the h^4 that remains of the truncation error against epsilon/h, so it is about epsilon^(1/5).
A fifth evaluation, at a much smaller step, asks for a second opinion. Where these do not agree with each
other or with the claimed value, or cannot be bounded well, the ladder is climbed down from 2 h: more rungs,
measured noise, kinks, and one-sided quotients where the domain ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcheck.numerical import kinks, roundoff
from gradcheck.numerical.estimate import Estimate, unresolved
from gradcheck.numerical.extrapolation import Table
from gradcheck.numerical.line import Array, Line, Vector, flatten, total

DOUBLE = 2.220446049250313e-16
# Rungs below the first: by halves while extrapolation pays, then by eighths to get below nearby kinks.
_HALVES = 5
_EIGHTHS = 6
# A ladder of fewer rungs than this tells too little of its own error.
_FEWEST = 5
# The quick estimate is kept where its bound is at most this share of the outputs' summed change.
QUICK = 1e-9
# A claimed value this many bars away from a well bounded estimate is not put right by more rungs.
FAR = 1e3
# Above this power of epsilon, as a share (4e-11 in float64), a third rung is worth its two evaluations.
REFINE = 2 / 3
# What rounding leaves of the bound of three rungs, in units of noise over the first step.
_ROUNDED = 8
# Without a claimed value, a bound larger than this share of the estimate asks whether there is a kink.
_POOR = 1e-4
# Rungs below this power of epsilon (4e-10 in float64), down to the second (3e-13), are mostly rounding; they
# are tried where the domain ends so near that there are hardly any others.
_LOWEST, _DESPERATE = 0.6, 0.8
# The ladder ends where the bound is this power of epsilon (6e-7 in float64) and the claimed value agrees.
_GOOD = 0.4
# Constant outputs this near (in first steps: 3e-7 in float64) are steps, not rounding to single precision.
_STAIR = 2.0**-13
# Steps this small beside the outputs are rounding to single precision, of large numbers or twice, after all.
_COARSE = 2.0**-20
# The second opinion: a one-sided slope at this power of epsilon (1e-6 in float64), corrected by the curvature
# seen at the second rung, which leaves 1e-12 of truncation and 1e-9 of rounding. On the ladder it agrees
# where it differs from the estimate by no more than this power of epsilon (9e-8), as a share.
NEARBY, _AGREES = 0.385, 0.45


def derivative(
    outputs_at: Callable[[float], Sequence[Array]],
    cotangents: Sequence[Array | None],
    *,
    claimed: float | None = None,
    epsilon: float = DOUBLE,
    base: Vector | None = None,
    second_opinion: bool = True,
) -> Estimate:
    """Estimate d/dt <u, y(t)> at t = 0, where ``outputs_at(t)`` returns the list of outputs y(t).

    Args:
        outputs_at: may raise, or return non-finite values, away from 0: that only loses the point.
        cotangents: u, one array per output with the output's shape; None counts as zeros. For complex
            outputs the inner product is Re sum conj(u) y.
        claimed: the value under test; where the quick estimate agrees with it, nothing more is done.
        epsilon: the spacing of the numbers that the forward pass computes in, relative to 1.
        base: the flattened outputs at 0 where they are known, which saves an evaluation.
        second_opinion: whether a step of 1e-8 is asked too; a step function can look smooth from afar.
    """
    if base is None:
        base = flatten(outputs_at(0.0))
    cotangent = (
        flatten_cotangents(cotangents, outputs_at) if _has_none(cotangents) else flatten(_list(cotangents))
    )
    line = Line(outputs_at, cotangent, base)
    return along(line, claimed=claimed, epsilon=epsilon, second_opinion=second_opinion)


def along(
    line: Line,
    *,
    claimed: float | None = None,
    epsilon: float = DOUBLE,
    second_opinion: bool = True,
    climb: bool = True,
    input_noise: float = 0.0,
    wanted: float = float("inf"),
    coarse: bool = False,
) -> Estimate:
    """Estimate the derivative along a line whose cotangent is already flat. See ``derivative``.

    ``input_noise`` is the rounding error of <u, y> that comes from rounding theta + t v. A quick estimate
    with a bound beyond ``wanted``, or that no claimed value confirms, is refined, for two more evaluations;
    not where it may be ``coarse``. Without ``climb`` the quick estimate is returned even where it disagrees
    with the claimed value.
    """
    base = line(0.0)
    if base is None:
        return unresolved("the forward pass is not finite at the given point", line.evaluations)
    noise = roundoff.floor(base, line.cotangent, epsilon) + input_noise
    step = line_step(epsilon)
    quick = _quick(line, step, noise)
    if quick is not None and not coarse:
        alone = claimed is None or not abs(claimed - quick.value) <= quick.bound
        enough = max(min(epsilon**REFINE * quick.scale, wanted), _ROUNDED * noise / step)
        if alone or quick.bound > enough:
            quick = _refined(line, step, noise, quick, alone)
    settled = None if quick is None else _settled(quick, line, claimed, epsilon, noise, second_opinion)
    if settled is not None:
        return settled
    if quick is not None and not climb:
        return _smooth(quick.value, quick.bound, line, quick.table)
    return _long_way(line, 2 * step, noise, epsilon, claimed)


class _Quick(NamedTuple):
    """An estimate from few rungs; ``scale`` is the outputs' summed change, ``rho`` its relative curvature."""

    value: float
    bound: float
    scale: float
    table: Table
    rho: float


def _quick(line: Line, step: float, noise: float) -> _Quick | None:
    """Return the estimate from two rungs, None where a point has no value.

    With relative curvature rho = |d_h - d_h/2| / |d|, the terms of the Taylor series fall like rho, rho^2,
    ...: extrapolation removes the first, and a few times the second is the bound.
    """
    table = Table(2, noise)
    quotients = []
    for h in (step, step / 2):
        right, left = line(h), line(-h)
        if right is None or left is None:
            return None
        quotients.append(line.weighted(right - left) / (2 * h))
        table.add(h, total(quotients[-1]))
    scale = total(abs(quotients[1]))
    curvature = total(abs(quotients[0] - quotients[1]))
    rho = curvature / scale if scale > 0 else 1.0
    bound = curvature * max(4 * rho, 1e-5) + 3 * noise / step
    return _Quick(table.rows[1][1], bound, scale, table, rho)


def _refined(line: Line, step: float, noise: float, quick: _Quick, alone: bool) -> _Quick:
    """Add the rung h/4: two more evaluations for two more orders.

    Where h^2 terms cancel by chance, the bound of two rungs is too small. It is kept where the claimed value
    lies within it, not where the estimate stands ``alone``.
    """
    right, left = line(step / 4), line(-step / 4)
    if right is None or left is None:
        return quick
    _, bound, scale, table, rho = quick
    table.add(step / 4, total(line.weighted(right - left)) / (step / 2))
    row = table.rows[2]
    # the first two are small by chance where the h^4 terms cancel; the last is the size of an h^6 term
    sharper = abs(row[2] - row[1]) + abs(row[1] - table.rows[1][1]) / 4 + _ROUNDED * noise / step
    sharper += rho**3 * scale
    return _Quick(row[2], sharper, scale, table, rho) if alone or sharper < bound else quick


def _settled(
    quick: _Quick, line: Line, claimed: float | None, epsilon: float, noise: float, second_opinion: bool
) -> Estimate | None:
    """Return the quick estimate where it is good enough and a much smaller step agrees, else None."""
    value, bound, scale, table, _ = quick
    if second_opinion:
        # beyond rounding: a kink between the steps, or noise that the floor does not know
        bound += 2 * max(_apart_nearby(line, value, epsilon) - 2 * noise / epsilon**NEARBY, 0.0)
    if not bound <= QUICK * scale + 9 * noise / line_step(epsilon):
        return None
    if claimed is not None and bound < abs(claimed - value) < FAR * bound:
        return None  # a little beyond the bar: look at the bar again
    return _smooth(value, bound, line, table)


def _agree(apart: float, scale: float, epsilon: float, noise: float) -> bool:
    return bool(apart <= epsilon**_AGREES * scale + 4 * noise / epsilon**NEARBY)


def line_step(epsilon: float) -> float:
    """Return the first of the quick steps, in units of the direction: half of the ladder's first."""
    return float(epsilon ** (1 / 6) / 2)


def _apart_nearby(line: Line, value: float, epsilon: float) -> float:
    """Return by how much the slope over a much smaller step differs from the estimate."""
    tiny, rung = float(epsilon**NEARBY), line_step(epsilon) / 2
    right, base, far, near = line(tiny), line(0.0), line(rung), line(-rung)
    if right is None or base is None:
        return math.inf
    slope = total(line.weighted(right - base)) / tiny
    if far is not None and near is not None:
        slope -= total(line.weighted((far - base) + (near - base))) / rung**2 * tiny / 2
    return abs(slope - value)


def _smooth(value: float, bound: float, line: Line, table: Table | None, message: str = "") -> Estimate:
    steps = table.curve(table.best()[2]) if table is not None else ()
    return Estimate(value, bound, value, value, evaluations=line.evaluations, steps=steps, message=message)


def _long_way(line: Line, step: float, noise: float, epsilon: float, claimed: float | None) -> Estimate:
    """Climb down the ladder until the estimate is good and agrees; else find out what is in the way."""
    table, good = _ladder(line, step, noise, epsilon, claimed)
    if good:
        value, bound, _ = table.best()
        return _smooth(value, bound, line, table)
    stair = _step_function(line, epsilon, noise)
    if stair is not None:
        return stair
    if len(table.rows) < 2:
        return _at_the_end_of_the_domain(line, step, noise)
    if _jumps(line, step, noise):
        return unresolved("the forward pass jumps at this point", line.evaluations)
    table.noise = noise = max(noise, 2 * roundoff.measured(line, epsilon))
    value, bound, at = table.best(consistent=True)
    if _unsettled(line, claimed, value, bound, epsilon, noise):
        kink = _kink(line, (min(at, step / 4), epsilon**0.375, epsilon**0.5), noise)
        if kink is not None:
            return _at_a_kink(kink, line, table, at)
    return _smooth(value, bound, line, table)


def _kink(line: Line, steps: Sequence[float], noise: float) -> kinks.Interval | None:
    """Return the sharpest interval found: a kink beside this one looks like part of it from afar."""
    best: kinks.Interval | None = None
    for step in steps:
        found = kinks.find(line, step, noise)
        if found is not None and (best is None or found.uncertainty < best.uncertainty):
            best = found
        if best is not None and best.uncertainty <= _POOR * max(abs(best.lower), abs(best.upper)):
            break
    return best


def _unsettled(
    line: Line, claimed: float | None, value: float, bound: float, epsilon: float, noise: float
) -> bool:
    """Whether there may be a kink: what is claimed is not confirmed, or one side tells another slope."""
    if claimed is not None:
        return not abs(claimed - value) <= bound
    if bound > _POOR * abs(value):
        return True
    return not _agree(_apart_nearby(line, value, epsilon), abs(value), epsilon, noise)


def _jumps(line: Line, step: float, noise: float) -> bool:
    """Whether the outputs change by as much over a tiny step as over one a thousand times larger."""
    base = line(0.0)
    changes = []
    for h in (step / 2**12, step / 2**22):
        sides = [line(h), line(-h)]
        if base is None or any(side is None for side in sides):
            return False
        changes.append(max(total(abs(line.weighted(side - base))) for side in sides))
    return changes[1] > 0.3 * changes[0] and changes[1] > 1e3 * noise


def _at_a_kink(kink: kinks.Interval, line: Line, table: Table, at: float) -> Estimate:
    return Estimate(
        (kink.lower + kink.upper) / 2,
        kink.uncertainty,
        kink.lower,
        kink.upper,
        kink=True,
        evaluations=line.evaluations,
        steps=table.curve(at),
        message="kink: one-sided derivatives differ",
    )


def _ladder(
    line: Line, step: float, noise: float, epsilon: float, claimed: float | None
) -> tuple[Table, bool]:
    """Add rungs until the claimed value is confirmed with a good bound; tell whether it was."""
    table = Table(2, noise)
    sizes = [step / 2**k for k in range(_HALVES)]
    sizes += [sizes[-1] / 8**k for k in range(1, 2 * _EIGHTHS) if sizes[-1] / 8**k > epsilon**_DESPERATE]
    while sizes:
        h = sizes.pop(0)
        if h <= epsilon**_LOWEST and len(table.rows) >= _FEWEST:
            break
        right, left = line(h), line(-h)
        if right is None or left is None:
            continue
        difference = line.weighted(right - left)
        table.add(h, total(difference) / (2 * h))
        if claimed is not None and len(table.rows) >= 3:
            value, bound, _ = table.best()
            scale = total(abs(difference)) / (2 * h)
            halving = table.converges() and bool(sizes) and sizes[0] > step / 2**_HALVES
            wanted = epsilon ** (REFINE if halving else _GOOD) * scale
            confirmed = abs(claimed - value) <= bound <= wanted
            if confirmed and _agree(_apart_nearby(line, value, epsilon), scale, epsilon, noise):
                return table, True
            if not halving:
                sizes = [size for size in sizes if size < step / 2**_HALVES]
    return table, False


def _step_function(line: Line, epsilon: float, noise: float) -> Estimate | None:
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
    if _first_change(line, base, step, epsilon) <= _COARSE:
        return None
    message = "the outputs are constant near this point: a step function, whose derivative is zero"
    return Estimate(0.0, noise / step, 0.0, 0.0, evaluations=line.evaluations, message=message)


def _first_change(line: Line, base: Vector, step: float, epsilon: float) -> float:
    """Return the smallest change of an output met when going to 0, as a share of the largest output.

    Changes of a few last digits of outputs or inputs, as adding t to a large number and taking it away again
    leaves, are none; 0 where there are no others.
    """
    smallest, largest = math.inf, max(float(abs(base).max()), 1e-300)
    digits = 2**8 * epsilon * max(largest, line.inputs)
    for k in range(1, -int(math.log2(_STAIR))):
        for sign in (1, -1):
            value = line(sign * step / 2**k)
            if value is not None:
                changed = abs(value - base)
                changed = changed[changed > digits]
                smallest = min(smallest, float(changed.min()) if changed.shape[0] else math.inf)
    return smallest / largest if smallest < math.inf else 0.0


def _at_the_end_of_the_domain(line: Line, step: float, noise: float) -> Estimate:
    """Use one-sided quotients where one side has no values."""
    best: Estimate | None = None
    for sign in (1.0, -1.0):
        table = Table(1, 2 * noise)
        for k in range(3, 14):
            h, base, value = step / 2**k, line(0.0), line(sign * step / 2**k)
            if value is not None and base is not None:
                table.add(h, sign * total(line.weighted(value - base)) / h)
        if len(table.rows) >= 4 and not table.diverges():
            value_, bound, _ = table.best()
            candidate = _smooth(value_, bound, line, table, "one-sided: the domain ends here")
            best = candidate if best is None or candidate.uncertainty < best.uncertainty else best
    if best is None:
        reason = f" ({type(line.error).__name__}: {line.error})" if line.error else ""
        return unresolved(f"the forward pass has no values near this point{reason}", line.evaluations)
    return best


def _has_none(cotangents: Sequence[Any]) -> bool:
    return any(cotangent is None for cotangent in cotangents)


def _list(cotangents: Sequence[Array | None]) -> list[Array]:
    return [cotangent for cotangent in cotangents if cotangent is not None]


def flatten_cotangents(
    cotangents: Sequence[Array | None], outputs_at: Callable[[float], Sequence[Array]]
) -> Vector:
    """Return the cotangents as one vector, with zeros for None."""
    outputs = outputs_at(0.0)
    return (
        flatten([output * 0 if u is None else u for u, output in zip(cotangents, outputs, strict=True)])
        if len(outputs)
        else np.zeros(0)
    )
