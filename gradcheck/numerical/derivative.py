"""A directional derivative with an error bar, from as few evaluations as the case allows.

Where a value is claimed and right, a first look settles most cases (``glance``). Four evaluations settle the
others that are ordinary: central quotients at h and h/2 and their extrapolation. The step h balances the h^4
that remains of the truncation error against epsilon/h, so it is about epsilon^(1/5). A fifth evaluation, at a
much smaller step, asks for a second opinion. Where these do not agree with each other or with the claimed
value, or cannot be bounded well, the ladder is climbed down from 2 h: more rungs, measured noise, kinks, and
one-sided quotients where the domain ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcheck.numerical import glance, roundoff
from gradcheck.numerical.estimate import Estimate, smooth, unresolved
from gradcheck.numerical.extrapolation import Table
from gradcheck.numerical.ladder import PAYS, REFINE, Sought, descend, torn
from gradcheck.numerical.line import Array, Line, Vector, flatten, line_step, total

DOUBLE = 2.220446049250313e-16
# The quick estimate is kept where its bound is at most this share of the outputs' summed change.
_QUICK = 1e-9
# A claimed value this many bars away from a well bounded estimate is not put right by more rungs.
_FAR = 1e3
# Nor is one so many bars away, where three rungs and a much smaller step show rounding alone.
_PLAIN = 30.0
# What rounding leaves of the bound of three rungs, in units of noise over the first step.
_ROUNDED = 8
# Where halving the step changes the quotients by so large a share (kinks, steps), another tells nothing.
_BENT = 0.3
# So large a one is still larger at twice the step: of the large steps those that are known suffice.
_CURVED = 0.001
# Noise in the even part, combined from three rungs, in units of noise in the change of the extrapolations.
_EVEN = 29.0
# An error bar this many times as large as wanted takes another direction, which costs more than two rungs do.
_SHORT = 10.0


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

    ``input_noise`` is the rounding error of <u, y> that comes from rounding theta + t v. Where a first look
    does not confirm the claimed value, two rungs follow; a bound beyond ``wanted``, or that no claimed value
    confirms, is refined, for two more evaluations; not where it may be ``coarse``, nor where rounding would
    leave more than half of the bound. Without ``climb`` what few rungs give is returned though the claimed
    value disagrees.
    """
    base = line(0.0)
    if base is None:
        return unresolved("the forward pass is not finite at the given point", line.evaluations)
    noise = roundoff.floor(base, line.cotangent, epsilon) + input_noise
    seen = glance.Glance() if claimed is None else glance.at(line, claimed, noise, epsilon, wanted)
    found = seen.estimate
    if claimed is not None and found is not None and abs(claimed - found.value) <= found.uncertainty:
        return found
    sought = Sought(line, noise, epsilon, claimed, wanted, denied=found is not None, bent=seen.bent)
    if climb and not coarse:
        settled = torn(sought) if seen.torn else descend(sought, known_only=True) if seen.bent else None
        if settled is not None:
            return settled
    return _by_rungs(sought, second_opinion, climb, coarse)


def _by_rungs(sought: Sought, second_opinion: bool, climb: bool, coarse: bool) -> Estimate:
    """Estimate from the first rungs of the ladder; where they do not settle it, from all. See ``along``."""
    line, noise, epsilon, claimed = sought.line, sought.noise, sought.epsilon, sought.claimed
    step = line_step(epsilon)
    quick = _quick(line, step, noise, epsilon)
    if quick is None:
        return descend(sought, known_only=False)
    bent = quick.rho > _BENT
    curved = bent or (quick.rho > _CURVED and quick.rho * quick.scale > _ROUNDED * noise / step)
    if not coarse and not (bent and climb):
        alone = claimed is None or not abs(claimed - quick.value) <= quick.bound
        enough = max(min(epsilon**REFINE * quick.scale, sought.wanted), 2 * _ROUNDED * noise / step)
        if alone or quick.bound > enough:
            quick = _refined(line, step, noise, quick, alone)
            if climb and quick.bound > _SHORT * sought.wanted and noise / (step / 8) < PAYS * quick.bound:
                return descend(sought, known_only=curved)
    settled = _settled(quick, sought, second_opinion)
    if settled is None and not climb:
        return smooth(quick.value, quick.bound, line.evaluations, quick.table)
    return settled or descend(sought, known_only=curved)


class _Quick(NamedTuple):
    """An estimate from few rungs; ``scale`` is the outputs' summed change, ``rho`` its relative curvature.

    ``strange`` is what three rungs hold that neither a Taylor series nor rounding explains, infinite of two.
    """

    value: float
    bound: float
    scale: float
    table: Table
    rho: float
    strange: float = math.inf


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
    _, bound, scale, table, rho, _ = quick
    table.add(step / 4, total(line.weighted(right - left)) / (step / 2))
    row = table.rows[2]
    # the first two are small by chance where the h^4 terms cancel; the last is the size of an h^6 term
    change = abs(row[1] - table.rows[1][1])
    strange = max(change - 4 * rho**2 * scale, _uneven(line, step) - 4 * rho**2 * scale, 0.0)
    sharper = abs(row[2] - row[1]) + change / 4 + max(_ROUNDED * noise / step, 2 * strange)
    sharper += rho**3 * scale + 4 * table.epsilon * scale
    beyond = max(2 * strange - _ROUNDED * noise / step, 0.0)
    return _Quick(row[2], sharper, scale, table, rho, beyond) if alone or sharper < bound else quick


def _uneven(line: Line, step: float) -> float:
    """Return what the even part of the outputs, at the three rungs, holds beyond h^2 and h^4, over the step.

    The even part does not enter the quotients: it is a witness of its own to noise and kinks.
    """
    base: Vector = line(0.0)
    rungs: list[tuple[Vector, Vector]] = [(line(h), line(-h)) for h in (step, step / 2, step / 4)]
    even = [total(line.weighted((right - base) + (left - base))) for right, left in rungs]
    second, fourth = even[0] - 4 * even[1], even[1] - 4 * even[2]
    return abs(second - 16 * fourth) / (_EVEN * step)


def _settled(quick: _Quick, sought: Sought, second_opinion: bool) -> Estimate | None:
    """Return the quick estimate where it is good enough and a much smaller step agrees, else None."""
    value, bound, scale, table, _, strange = quick
    doubt = sought.doubt(value) if second_opinion else 0.0
    # beyond rounding: a kink between the steps, or noise that the floor does not know
    bound += doubt
    if not bound <= _QUICK * scale + 9 * sought.noise / line_step(sought.epsilon):
        return None
    if sought.claimed is not None:
        off = abs(sought.claimed - value)
        plain = _PLAIN if second_opinion and doubt == 0.0 == strange else _FAR
        if bound * (not sought.denied) < off < plain * bound:
            return None  # a little beyond the bar, or that of the first look: look at the bar again
    return smooth(value, bound, sought.line.evaluations, table)


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
