"""A claimed value outside the one-sided derivatives of the whole may still be one subgradient per entry.

An operation that sums several kinks, relu(x) - relu(y) with zeros in both, has one-sided derivatives that
enclose none of its valid gradients. So the entries that sit on a kink are looked at one by one, where each
has an interval of its own, and everything else must be right without them.
"""

from __future__ import annotations

import torch

from gradcheck.blame import neighbours
from gradcheck.blame.bench import Bench, Pulled
from gradcheck.blame.probe import Probe, probe, rounding

# Entries looked at singly; operations with more of them on a kink at once are not excused.
_MOST = 64


def excuse(bench: Bench, pulled: Pulled) -> bool:
    """Whether every entry on a kink has an admissible gradient, and the others are right."""
    entries = _special_entries(bench.problem.points)
    if not entries or len(entries) > _MOST:
        return False
    directions = bench.directions()
    on_a_kink = False
    for argument, index in entries:
        found = probe(bench, pulled, _alone(bench.problem.points, argument, index))
        on_a_kink |= found.kink
        if found.beyond:
            return False
        directions[argument] = directions[argument].clone(memory_format=torch.contiguous_format)
        directions[argument].view(-1)[index] = 0.0
    if not on_a_kink:
        return False
    return not probe(bench, pulled, directions, noise=rounding(bench, pulled, directions)).beyond


def together(bench: Bench) -> Probe | None:
    """Return the probe along which all entries move by the same amount, where the gradient is off there.

    A maximum of tied entries is smooth along that direction; a gradient given to each of them in full is too
    large there, though each entry alone admits it.
    """
    points = bench.problem.points
    if any(point.is_complex() or not bool(torch.isfinite(point).all()) for point in points):
        return None
    amount = max((float(point.abs().mean()) for point in points if point.numel()), default=0.0) or 1.0
    directions = [torch.full_like(point, amount) for point in points]
    pulled = bench.pull()
    found = probe(bench, pulled, directions, noise=rounding(bench, pulled, directions))
    return found if found.beyond and found.estimate.resolved and not found.kink else None


def singly(bench: Bench) -> Probe | None:
    """Return the probe of an entry whose gradient is none that its kink admits, each entry on its own.

    Along a random direction through many kinks the admissible interval is wide enough to hide it.
    """
    points = bench.problem.points
    if not all(bool(torch.isfinite(point).all()) for point in points):
        return None
    entries = [(i, k) for i, point in enumerate(points) for k in range(point.numel())]
    entries = _special_entries(points) if len(entries) > _MOST else entries
    if len(entries) > _MOST:
        return None
    pulled = bench.pull()
    for argument, index in entries:
        alone = _alone(points, argument, index)
        found = probe(bench, pulled, alone)
        if found.beyond and found.estimate.resolved:
            found = probe(bench, pulled, alone, noise=rounding(bench, pulled, alone))
            if found.beyond and not neighbours.enclose_along(bench, pulled, alone):
                return found
    return None


def _alone(points: tuple[torch.Tensor, ...], argument: int, index: int) -> list[torch.Tensor | None]:
    """Return the direction that moves one entry of one argument."""
    alone: list[torch.Tensor | None] = [None] * len(points)
    one = torch.zeros_like(points[argument]).contiguous()
    one.view(-1)[index] = 1.0
    alone[argument] = one
    return alone


def _special_entries(points: tuple[torch.Tensor, ...]) -> list[tuple[int, int]]:
    """Return (argument, flat index) of the entries that are zero or equal to another of the same argument."""
    found = []
    for argument, point in enumerate(points):
        flat = point.reshape(-1)
        _, inverse, counts = torch.unique(flat, return_inverse=True, return_counts=True)
        special = (flat == 0) | (counts[inverse] > 1)
        found += [(argument, int(index)) for index in special.nonzero().reshape(-1)[: _MOST + 1]]
    return found
