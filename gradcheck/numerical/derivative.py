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
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gradcheck.numerical import jumps, kinks, roundoff, stairs
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
# Where halving the step changes the quotients by so large a share (kinks, steps), another tells nothing.
_BENT = 0.3
# Without a claimed value, a bound larger than this share of the estimate asks whether there is a kink.
_POOR = 1e-4
# Rungs below this power of epsilon (4e-10 in float64), down to the second (3e-13), are mostly rounding; they
# are tried where the domain ends so near that there are hardly any others.
_LOWEST, _DESPERATE = 0.6, 0.8
# Noise in the even part, combined from three rungs, in units of noise in the change of the extrapolations.
_EVEN = 29.0
# The ladder ends where the bound is this power of epsilon (6e-7 in float64) and the claimed value agrees.
_GOOD = 0.4
# Jumps up to this power of epsilon (6e-6 in float64), as a share of outputs or inputs, are rounding.
_FINE = 1 / 3
# Jumps of so many sizes are looked for, ever larger ones further away.
_KINDS = 4
# The second opinion: a one-sided slope at this power of epsilon (1e-6 in float64), corrected by the curvature
# seen at the second rung, which leaves 1e-12 of truncation and 1e-9 of rounding. On the ladder it agrees
# where it differs from the estimate by no more than this power of epsilon (9e-8), as a share.
NEARBY, _AGREES = 0.385, 0.45
# An error bar this many times as large as wanted takes another direction, which costs more than two rungs do.
_SHORT = 10.0
# A rung that has made the bound this much smaller is worth another.
_PAYS = 0.1
# Half a step changes outputs that have a slope by half as much; at the end of a domain by up to this share.
_NO_SLOPE = 0.8
_JUMPS = "the forward pass jumps at this point"
# What it may leave in doubt of an estimate that ends the ladder (2e-8), in units of that.
_DOUBTED = 0.25


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
    not where it may be ``coarse``, nor where rounding would leave more than half of the bound. Without
    ``climb`` the quick estimate is returned even where it disagrees with the claimed value.
    """
    base = line(0.0)
    if base is None:
        return unresolved("the forward pass is not finite at the given point", line.evaluations)
    noise = roundoff.floor(base, line.cotangent, epsilon) + input_noise
    step = line_step(epsilon)
    quick = _quick(line, step, noise, epsilon)
    bent = quick is not None and quick.rho > _BENT
    if quick is not None and not coarse and not (bent and climb):
        alone = claimed is None or not abs(claimed - quick.value) <= quick.bound
        enough = max(min(epsilon**REFINE * quick.scale, wanted), 2 * _ROUNDED * noise / step)
        if alone or quick.bound > enough:
            quick = _refined(line, step, noise, quick, alone)
            if climb and quick.bound > _SHORT * wanted and noise / (step / 8) < _PAYS * quick.bound:
                return _long_way(line, 2 * step, noise, epsilon, claimed, wanted, bent)
    settled = None if quick is None else _settled(quick, line, claimed, epsilon, noise, second_opinion)
    if settled is not None:
        return settled
    if quick is not None and not climb:
        return _smooth(quick.value, quick.bound, line, quick.table)
    return _long_way(line, 2 * step, noise, epsilon, claimed, wanted, bent)


class _Quick(NamedTuple):
    """An estimate from few rungs; ``scale`` is the outputs' summed change, ``rho`` its relative curvature."""

    value: float
    bound: float
    scale: float
    table: Table
    rho: float


def _quick(line: Line, step: float, noise: float, epsilon: float) -> _Quick | None:
    """Return the estimate from two rungs, None where a point has no value.

    With relative curvature rho = |d_h - d_h/2| / |d|, the terms of the Taylor series fall like rho, rho^2,
    ...: extrapolation removes the first, and a few times the second is the bound.
    """
    table = Table(2, noise, epsilon)
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
    bound = curvature * max(4 * rho, 1e-5) + 3 * noise / step + 4 * epsilon * scale
    return _Quick(table.rows[1][1], bound, scale, table, rho)


def _refined(line: Line, step: float, noise: float, quick: _Quick, alone: bool) -> _Quick:
    """Add the rung h/4: two more evaluations for two more orders.

    Where h^2 terms cancel by chance, the bound of two rungs is too small. It is kept where the claimed value
    lies within it, not where the estimate stands ``alone``.

    The third rung also shows what no Taylor series explains: noise beyond the floor, a slight kink. A series
    whose first term is the change of the quotients changes the extrapolations by about rho times as much.
    """
    right, left = line(step / 4), line(-step / 4)
    if right is None or left is None:
        return quick
    _, bound, scale, table, rho = quick
    table.add(step / 4, total(line.weighted(right - left)) / (step / 2))
    row = table.rows[2]
    # the first two are small by chance where the h^4 terms cancel; the last is the size of an h^6 term
    change = abs(row[1] - table.rows[1][1])
    strange = max(change - 4 * rho**2 * scale, _uneven(line, step) - 4 * rho**2 * scale, 0.0)
    sharper = abs(row[2] - row[1]) + change / 4 + max(_ROUNDED * noise / step, 2 * strange)
    sharper += rho**3 * scale + 4 * table.epsilon * scale
    return _Quick(row[2], sharper, scale, table, rho) if alone or sharper < bound else quick


def _uneven(line: Line, step: float) -> float:
    """Return what the even part of the outputs, at the three rungs, holds beyond h^2 and h^4, over the step.

    The even part does not enter the quotients: it is a witness of its own to noise and kinks.
    """
    base: Vector = line(0.0)
    rungs: list[tuple[Vector, Vector]] = [(line(h), line(-h)) for h in (step, step / 2, step / 4)]
    even = [total(line.weighted((right - base) + (left - base))) for right, left in rungs]
    second, fourth = even[0] - 4 * even[1], even[1] - 4 * even[2]
    return abs(second - 16 * fourth) / (_EVEN * step)


def _settled(
    quick: _Quick, line: Line, claimed: float | None, epsilon: float, noise: float, second_opinion: bool
) -> Estimate | None:
    """Return the quick estimate where it is good enough and a much smaller step agrees, else None."""
    value, bound, scale, table, _ = quick
    if second_opinion:
        # beyond rounding: a kink between the steps, or noise that the floor does not know
        bound += _doubt(line, value, epsilon, noise)
    if not bound <= QUICK * scale + 9 * noise / line_step(epsilon):
        return None
    if claimed is not None and bound < abs(claimed - value) < FAR * bound:
        return None  # a little beyond the bar: look at the bar again
    return _smooth(value, bound, line, table)


def _doubt(line: Line, value: float, epsilon: float, noise: float, rung: float | None = None) -> float:
    """Return twice what the second opinion differs by beyond its own rounding."""
    return 2 * max(_apart_nearby(line, value, epsilon, rung) - 2 * noise / float(epsilon**NEARBY), 0.0)


def _agree(apart: float, scale: float, epsilon: float, noise: float) -> bool:
    return bool(apart <= epsilon**_AGREES * scale + 4 * noise / epsilon**NEARBY)


def line_step(epsilon: float) -> float:
    """Return the first of the quick steps, in units of the direction: half of the ladder's first."""
    return float(epsilon ** (1 / 6) / 2)


def _apart_nearby(line: Line, value: float, epsilon: float, rung: float | None = None) -> float:
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


def _smooth(value: float, bound: float, line: Line, table: Table | None, message: str = "") -> Estimate:
    return Estimate(value, bound, value, value, evaluations=line.evaluations, message=message, table=table)


def _long_way(
    line: Line,
    step: float,
    noise: float,
    epsilon: float,
    claimed: float | None,
    wanted: float,
    bent: bool,
) -> Estimate:
    """Climb down the ladder until the estimate is good and agrees; else find out what is in the way."""
    still = _rests(line, epsilon)
    stair = stairs.step_function(line, epsilon, noise) if still else None
    if stair is not None:
        return stair
    if not still and _seems_to_jump(line, epsilon) and stairs.jumps_at_once(line, step, noise):
        return unresolved(_JUMPS, line.evaluations)
    table, doubt = _ladder(line, step, noise, epsilon, claimed, wanted, bent)
    if doubt is not None:
        value, bound, _ = table.best()
        return _smooth(value, bound + doubt, line, table)
    stair = None if still else stairs.step_function(line, epsilon, noise)
    if stair is not None:
        return stair
    if len(table.rows) < 2:
        return _at_the_end_of_the_domain(line, step, noise)
    if stairs.jumps_at_once(line, step, noise):
        return unresolved(_JUMPS, line.evaluations)
    base: Vector = line(0.0)
    # where the last quotients agree no kink lies within their steps; where they never do, that is noise
    near = math.inf if table.moving(_POOR) else table.steps[-1]
    table.scatter = roundoff.measured(line, epsilon, near)
    table.noise = noise = max(noise, 3 * table.scatter)
    value, bound, at = table.best(consistent=True)
    for _ in range(_KINDS):  # each output may have jumps of a size of its own
        jump = jumps.nearest(line, table, value, at)
        if not noise < jump <= epsilon**_FINE * max(float(abs(base).max()), line.inputs):
            break
        table.scatter, table.noise, noise = jump, jump, jump
        value, bound, at = table.best(consistent=True)
    if _unsettled(line, claimed, value, bound, epsilon, noise) and _bends(line, table.steps, noise):
        kink = _kink(line, (min(at, step / 4), epsilon**0.375, epsilon**0.5), noise)
        if kink is not None:
            return replace(_at_a_kink(kink, line, table, at), noise=noise)
    return replace(_smooth(value, bound, line, table), noise=noise)


def _rests(line: Line, epsilon: float) -> bool:
    """Whether the outputs do not change at all over the step of the second opinion."""
    base, near = line(0.0), line(float(epsilon**NEARBY))
    return base is not None and near is not None and bool((near == base).all())


def _seems_to_jump(line: Line, epsilon: float) -> bool:
    """Whether, on some side, the outputs change over half the first step nearly as far as over all of it."""
    base, step = line(0.0), line_step(epsilon)
    for h in (step, -step):
        far, near = line(h), line(h / 2)
        if base is None or far is None or near is None:
            return False
        if total(abs(line.weighted(near - base))) > _NO_SLOPE * total(abs(line.weighted(far - base))):
            return True
    return False


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


def _bends(line: Line, steps: Sequence[float], noise: float) -> bool:
    """Whether one-sided slopes differ by more than noise at some rung, as at a kink, and on a curve."""
    base: Vector = line(0.0)
    sides: list[tuple[Vector, Vector]] = [(line(h), line(-h)) for h in steps]
    return any(total(abs(line.weighted((right - base) + (left - base)))) > 4 * noise for right, left in sides)


def _at_a_kink(kink: kinks.Interval, line: Line, table: Table, at: float) -> Estimate:
    return Estimate(
        (kink.lower + kink.upper) / 2,
        kink.uncertainty + 4 * table.epsilon * max(abs(kink.lower), abs(kink.upper)),
        kink.lower,
        kink.upper,
        kink=True,
        evaluations=line.evaluations,
        table=table,
        chosen=at,
        message="kink: one-sided derivatives differ",
    )


def _ladder(
    line: Line,
    step: float,
    noise: float,
    epsilon: float,
    claimed: float | None,
    wanted: float,
    bent: bool,
) -> tuple[Table, float | None]:
    """Add rungs until the claimed value is confirmed with a good bound, and a much smaller step agrees.

    As long as the bound is beyond ``wanted``, rungs are added that make it much smaller. ``bent``: of the
    large steps only those of the quick estimate are taken, as halving does not help. Returns what the much
    smaller step leaves in doubt too; None where there was no such end.
    """
    table, rung, bound = Table(2, noise, epsilon), math.inf, math.inf
    sizes = [step / 2**k for k in range(_HALVES)]
    small = [sizes[-1] / 8**k for k in range(1, 2 * _EIGHTHS) if sizes[-1] / 8**k > epsilon**_DESPERATE]
    sizes = [*(sizes[1:3] if bent else sizes), *small]
    while sizes:
        h = sizes.pop(0)
        if h <= epsilon**_LOWEST and len(table.rows) >= _FEWEST and not table.moving(_POOR):
            break
        right, left = line(h), line(-h)
        if right is None or left is None:
            continue
        rung = h if h >= epsilon**NEARBY else rung
        difference = line.weighted(right - left)
        table.add(h, total(difference) / (2 * h))
        if claimed is not None and len(table.rows) >= 3:
            before, (value, bound, _) = bound, table.best()
            scale = total(abs(difference)) / (2 * h)
            halving = table.converges() and bool(sizes) and sizes[0] > step / 2**_HALVES
            good = epsilon ** (REFINE if halving else _GOOD) * scale
            pays = bool(sizes) and bound > wanted and noise / sizes[0] < _PAYS * bound < _PAYS**2 * before
            if abs(claimed - value) <= bound <= good and not pays:
                doubt = _doubt(line, value, epsilon, noise, rung)
                if doubt <= _DOUBTED * epsilon**_AGREES * scale:
                    return table, doubt
            if not halving:
                sizes = [size for size in sizes if size < step / 2**_HALVES]
    return table, None


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
            # two powers that are no whole ones may stand still against each other on the way to 0
            value_, bound, _ = table.best(consistent=True)
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
