"""Whether a claimed gradient at a kink lies among the gradients of the points around it.

The median of tied entries is neither convex nor concave: along a line its one-sided derivatives enclose few
of its generalised gradients (Clarke 1975), which are the limits of gradients nearby and all between them. So
the derivative is taken at random points nearby, where it is an ordinary one; along several directions, since
a wrong value may fall between by chance along one.
"""

from __future__ import annotations

import torch

from gradcheck.blame.arrangement import moved
from gradcheck.blame.bench import Bench, Directions, Pulled
from gradcheck.numerical.line import flatten, total

_DIRECTIONS = 8
_POINTS = 24
# The shift to a point nearby, and the step of the central difference there, in units of the direction.
_SHIFT, _STEP = 1e-4, 1e-7
# Derivatives of a smooth function change by about the shift; at a kink they differ by more than this share.
_JUMP = 0.02


def enclose(bench: Bench, pulled: Pulled) -> bool:
    """Whether the claimed gradient lies among those nearby, which differ; double precision only."""
    if bench.epsilon(pulled) > 1e-15 or not pulled.all_finite:
        return False
    return all(_along(bench, pulled, bench.directions()) for _ in range(_DIRECTIONS))


def enclose_along(bench: Bench, pulled: Pulled, directions: Directions) -> bool:
    """Whether it does so along given directions (None: the argument stays)."""
    if bench.epsilon(pulled) > 1e-15 or not pulled.all_finite:
        return False
    points = bench.problem.points
    still = [torch.zeros_like(p) if v is None else v for p, v in zip(points, directions, strict=True)]
    return _along(bench, pulled, still)


def _along(bench: Bench, pulled: Pulled, directions: list[torch.Tensor]) -> bool:
    claimed = sum(
        float((g.conj() * v).real.sum() if g.is_complex() else (g * v).sum())
        for g, v in zip(pulled.gradients, directions, strict=True)
        if g is not None
    )
    found = [_nearby(bench, pulled, directions) for _ in range(_POINTS)]
    low, high = min(found), max(found)
    slack = 0.05 * (high - low)
    jumps = high - low > _JUMP * max(abs(low), abs(high))
    return jumps and low - slack <= claimed <= high + slack


def _nearby(bench: Bench, pulled: Pulled, directions: list[torch.Tensor]) -> float:
    shifts = [bench.chance.direction(point) for point in bench.problem.points]
    centre = [moved(p, s, _SHIFT) for p, s in zip(bench.problem.points, shifts, strict=True)]
    values = []
    for sign in (1.0, -1.0):
        points = [moved(p, v, sign * _STEP) for p, v in zip(centre, directions, strict=True)]
        with torch.no_grad():
            results = bench.problem.function(points)
        values.append(flatten([results[i] for i in pulled.chosen]))
        bench.evaluations += 1
    cotangent = flatten([u for u in pulled.cotangents if u is not None])
    return float(total(cotangent * (values[0] - values[1]))) / (2 * _STEP)
