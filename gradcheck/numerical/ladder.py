"""The long way to a derivative, where four evaluations do not settle it.

Rungs are added downwards from twice the first step until the estimate is good and agrees with the claimed
value. Where that never happens, it is found out what is in the way: steps, jumps, noise that the number
format does not explain, kinks, the end of the domain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gradcheck.numerical import jumps, kinks, opinion, roundoff, stairs
from gradcheck.numerical.estimate import Estimate, smooth, unresolved
from gradcheck.numerical.extrapolation import Table
from gradcheck.numerical.line import Line, Vector, line_step, total

# Rungs below the first: by halves while extrapolation pays, then by eighths to get below nearby kinks.
_HALVES = 5
_EIGHTHS = 6
# A ladder of fewer rungs than this tells too little of its own error.
_FEWEST = 5
# Above this power of epsilon, as a share (4e-11 in float64), a third rung is worth its two evaluations.
REFINE = 2 / 3
# A rung that has made the bound this much smaller is worth another.
PAYS = 0.1
# Without a claimed value, a bound larger than this share of the estimate asks whether there is a kink.
_POOR = 1e-4
# Rungs below this power of epsilon (4e-10 in float64), down to the second (3e-13), are mostly rounding; they
# are tried where the domain ends so near that there are hardly any others.
_LOWEST, _DESPERATE = 0.6, 0.8
# The ladder ends where the bound is this power of epsilon (6e-7 in float64) and the claimed value agrees.
_GOOD = 0.4
# Jumps up to this power of epsilon (6e-6 in float64), as a share of outputs or inputs, are rounding.
_FINE = 1 / 3
# Jumps of so many sizes are looked for, ever larger ones further away.
_KINDS = 4
# Half a step changes outputs that have a slope by half as much; at the end of a domain by up to this share.
_NO_SLOPE = 0.8
# A 64th of a step changes outputs that have a slope by a 64th, at a kink by up to a few times that.
_KINKED = 0.1
_JUMPS = "the forward pass jumps at this point"


@dataclass(slots=True)
class Sought:
    """A derivative that is to be estimated.

    ``noise`` bounds the error of <u, y>; ``claimed`` is the value under test, if there is one, and ``wanted``
    the error bar that makes another direction unnecessary. ``denied``: the claim lies beyond a narrow error
    bar already, and no wider one shall confirm it before all rungs have been looked at. ``bent``: slopes to
    both sides differ much on a small step already, so that larger ones agree on nothing but what lies there.
    """

    line: Line
    noise: float
    epsilon: float
    claimed: float | None = None
    wanted: float = math.inf
    denied: bool = False
    bent: bool = False

    @property
    def top(self) -> float:
        """The step of the ladder's first rung."""
        return 2 * line_step(self.epsilon)

    def doubt(self, value: float, rung: float | None = None) -> float:
        """Return what the second opinion leaves in doubt of an estimate."""
        return opinion.doubt(self.line, value, self.epsilon, self.noise, rung)


def torn(sought: Sought) -> Estimate | None:
    """Return what settles an estimate where slopes to both sides have little in common; None if nothing does.

    That is a sharp kink that admits the claimed value, or, where outputs go as far on a small step or do not
    move on it, a jump or steps.
    """
    line, step = sought.line, sought.top / 8
    far = {side: _change(line, side * step) for side in (1, -1)}
    side = max(far, key=lambda side: far[side])
    near = _change(line, side * step / 64)
    if near == 0:
        still = opinion.rests(line, sought.epsilon)
        return stairs.step_function(line, sought.epsilon, sought.noise) if still else None
    if near >= _KINKED * far[side]:
        jumps = stairs.jumps_at_once(line, sought.top, sought.noise, (side,))
        return unresolved(_JUMPS, line.evaluations) if jumps else None
    kink = kinks.find(line, step, sought.noise)
    if kink is None or kink.uncertainty > _POOR * max(abs(kink.lower), abs(kink.upper)):
        return None
    table = Table(2, sought.noise, sought.epsilon)
    for h in (step, step / 8, step / 64):
        right, left = line(h), line(-h)
        if right is not None and left is not None:
            table.add(h, total(line.weighted(right - left)) / (2 * h))
    estimate = _at_a_kink(kink, line, table, step / 64)
    claimed = sought.claimed
    return estimate if claimed is None or estimate.distance(claimed) <= estimate.uncertainty else None


def _change(line: Line, t: float) -> float:
    """Return by how much the outputs differ at t, 0 where they have no values."""
    base, there = line(0.0), line(t)
    return 0.0 if base is None or there is None else total(abs(line.weighted(there - base)))


def descend(sought: Sought, known_only: bool) -> Estimate:
    """Go down the rungs until the estimate is good and agrees; else find out what is in the way.

    ``known_only``: of the large steps those alone that are known are taken, as halving does not help.
    """
    line, epsilon, noise = sought.line, sought.epsilon, sought.noise
    still = opinion.rests(line, epsilon)
    stair = stairs.step_function(line, epsilon, noise) if still else None
    if stair is not None:
        return stair
    if not still and _seems_to_jump(line, epsilon) and stairs.jumps_at_once(line, sought.top, noise):
        return unresolved(_JUMPS, line.evaluations)
    table, doubt = _rungs(sought, known_only)
    if doubt is not None:
        value, bound, _ = table.best()
        return smooth(value, bound + doubt, line.evaluations, table)
    stair = None if still else stairs.step_function(line, epsilon, noise)
    if stair is not None:
        return stair
    if len(table.rows) < 2:
        return _at_the_end_of_the_domain(sought)
    if stairs.jumps_at_once(line, sought.top, noise):
        return unresolved(_JUMPS, line.evaluations)
    return _through_noise(sought, table)


def _rungs(sought: Sought, known_only: bool) -> tuple[Table, float | None]:
    """Add rungs until the claimed value is confirmed with a good bound, and a much smaller step agrees.

    As long as the bound is beyond what is wanted, rungs are added that make it much smaller. Returns what the
    much smaller step leaves in doubt too; None where there was no such end.
    """
    line, epsilon, noise, claimed = sought.line, sought.epsilon, sought.noise, sought.claimed
    table, rung, bound = Table(2, noise, epsilon), math.inf, math.inf
    last_half = sought.top / 2 ** (_HALVES - 1)
    sizes = _sizes(sought, known_only)
    while sizes:
        h = sizes.pop(0)
        if h <= epsilon**_LOWEST and len(table.rows) >= _FEWEST and not table.moving(_POOR):
            break
        right, left = line(h), line(-h)
        if right is None or left is None:
            continue
        rung = h if h >= epsilon**opinion.NEARBY else rung
        difference = line.weighted(right - left)
        table.add(h, total(difference) / (2 * h))
        if claimed is not None and len(table.rows) >= 3:
            before, (value, bound, _) = bound, table.best()
            scale = total(abs(difference)) / (2 * h)
            halving = table.converges() and bool(sizes) and sizes[0] >= last_half
            good = epsilon ** (REFINE if halving else _GOOD) * scale
            pays = (
                bool(sizes) and bound > sought.wanted and noise / sizes[0] < PAYS * bound < PAYS**2 * before
            )
            if abs(claimed - value) <= bound <= good and not pays and not sought.denied:
                doubt = sought.doubt(value, rung)
                if opinion.ends(doubt, scale, epsilon):
                    return table, doubt
            if not halving:
                sizes = [size for size in sizes if size < last_half]
    return table, None


def _sizes(sought: Sought, known_only: bool) -> list[float]:
    """Return the steps of all rungs, the largest first."""
    halves = [sought.top / 2**k for k in range(_HALVES)]
    eighths = [sought.top / 2 ** (_HALVES - 1) / 8**k for k in range(1, 2 * _EIGHTHS)]
    least = sought.epsilon**_DESPERATE
    if known_only:
        known = set(sought.line.known(sought.top))
        halves = [h for h in halves if h in known and -h in known][-1 if sought.bent else 0 :]
    return [*halves, *(size for size in eighths if size > least)]


def _through_noise(sought: Sought, table: Table) -> Estimate:
    """Return what the rungs tell once noise, jumps of rounding and kinks are known."""
    line, epsilon, noise = sought.line, sought.epsilon, sought.noise
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
    if _unsettled(sought, value, bound, noise) and _bends(line, table.steps, noise):
        kink = _kink(line, (min(at, sought.top / 4), epsilon**0.375, epsilon**0.5), noise)
        if kink is not None:
            return replace(_at_a_kink(kink, line, table, at), noise=noise)
    return replace(smooth(value, bound, line.evaluations, table), noise=noise)


def _unsettled(sought: Sought, value: float, bound: float, noise: float) -> bool:
    """Whether there may be a kink: what is claimed is not confirmed, or one side tells another slope."""
    if sought.claimed is not None:
        return not abs(sought.claimed - value) <= bound
    if bound > _POOR * abs(value):
        return True
    return not opinion.agrees(sought.line, value, sought.epsilon, noise)


def _bends(line: Line, steps: Sequence[float], noise: float) -> bool:
    """Whether one-sided slopes differ by more than noise at some rung, as at a kink, and on a curve."""
    base: Vector = line(0.0)
    sides: list[tuple[Vector, Vector]] = [(line(h), line(-h)) for h in steps]
    return any(total(abs(line.weighted((right - base) + (left - base)))) > 4 * noise for right, left in sides)


def _seems_to_jump(line: Line, epsilon: float) -> bool:
    """Whether, on some side, the outputs change over half the first step nearly as far as over all of it."""
    base, step = line(0.0), line_step(epsilon)
    known = line.known(step)
    for h in (step, -step):
        if base is None or h not in known or h / 2 not in known:
            return False
        far, near = line(h), line(h / 2)
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


def _at_the_end_of_the_domain(sought: Sought) -> Estimate:
    """Use one-sided quotients where one side has no values."""
    line, step, noise = sought.line, sought.top, sought.noise
    best: Estimate | None = None
    for sign in (1.0, -1.0):
        table = Table(1, 2 * noise)
        for k in range(3, 14):
            h, base, value = step / 2**k, line(0.0), line(sign * step / 2**k)
            if value is not None and base is not None:
                table.add(h, sign * total(line.weighted(value - base)) / h)
        if len(table.rows) >= 4 and not table.diverges():
            # two powers that are no whole ones may stand still against each other on the way to 0
            value, bound, _ = table.best(consistent=True)
            candidate = smooth(value, bound, line.evaluations, table, "one-sided: the domain ends here")
            best = candidate if best is None or candidate.uncertainty < best.uncertainty else best
    if best is None:
        reason = f" ({type(line.error).__name__}: {line.error})" if line.error else ""
        return unresolved(f"the forward pass has no values near this point{reason}", line.evaluations)
    return best
