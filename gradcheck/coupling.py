"""Which entries share a kink.

Of kinks that each lie in an entry of its own, the one-sided derivative along any direction is the sum of the
entries', and whatever lies between each entry's two slopes is right. Only entries that share a kink, as two
that tie for a maximum, can be right each alone and wrong together: along (1, 1) the derivative is not the sum
of those along (1, 0) and (0, 1). The signs with which it is not are also those along which the shared kink
is not felt: the ones that tell most. So kinks of convex and of concave entries are told apart, one group from
the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gradcheck.examination import Examination
from gradcheck.numerical import directions, roundoff
from gradcheck.numerical.line import total
from gradcheck.probes import Pulled
from gradcheck.subjects.base import Array

# The step of one-sided quotients: this power of epsilon (1e-6 in float64), in units of each leaf's size.
_STEP = 0.385
# Quotients that differ by this share, and by so many times their rounding, differ.
_DIFFERS, _ROUNDINGS = 1e-2, 1e2
# Up to so many entries at kinks, each pair is asked; of more, each against the rest along so many patterns.
_FEW, _PATTERNS = 12, 4
# Of entries that share a kink with others, the first so many are told apart by pairs.
_MOST = 64


@dataclass(frozen=True)
class Place:
    """One entry of one leaf, and how far it is moved."""

    name: str
    flat: int
    scale: float


Group = list[tuple[Place, float]]


class Coupling:
    """One-sided derivatives of a subject along a few entries at once, remembered; over after ``seconds``."""

    def __init__(self, exam: Examination, pulled: Pulled, seconds: float) -> None:
        self.exam, self.pulled = exam, pulled
        self.step = float(exam.subject.epsilon**_STEP)
        floor = roundoff.floor(exam.base, pulled.flat, exam.subject.epsilon)
        self.noise = _ROUNDINGS * floor / self.step
        self._deadline = time.perf_counter() + seconds
        self._single: dict[tuple[Place, float], float] = {}

    @property
    def is_over(self) -> bool:
        """Whether the time is spent."""
        return time.perf_counter() > self._deadline

    def direction(self, moved: Group) -> dict[str, Array]:
        """Return the direction that moves each place by its number, in units of its scale."""
        dense = {place.name: np.zeros(self.exam.values[place.name].size) for place, _ in moved}
        for place, amount in moved:
            dense[place.name][place.flat] = amount * place.scale
        return {
            name: directions.like(self.exam.variables[name], v.reshape(self.exam.values[name].shape))
            for name, v in dense.items()
        }

    def slope(self, moved: Group) -> float:
        """Return the one-sided derivative along a direction, NaN where there is none."""
        line = self.exam.line(self.direction(moved), self.pulled)
        there = line(self.step)
        return float("nan") if there is None else total(line.weighted(there - self.exam.base)) / self.step

    def single(self, place: Place, amount: float) -> float:
        """Return the same for one place: along amounts of one sign it is proportional to them."""
        key = place, float(np.sign(amount))
        if key not in self._single:
            self._single[key] = self.slope([key])
        return self._single[key] * abs(amount)

    def differ(self, one: float, *parts: float) -> bool:
        """Whether a slope is not the sum of its parts."""
        size = max(abs(one), *(abs(part) for part in parts))
        return abs(one - sum(parts)) > _DIFFERS * size + self.noise


def groups(coupling: Coupling, places: Sequence[Place]) -> list[Group]:
    """Return the groups of places that share kinks, each place with the sign by which it is to be moved.

    What was found when the time was over may be parts of groups, which are as good to be looked at.
    """
    kinked = []
    for place in places:
        if coupling.is_over:
            break
        if coupling.differ(-coupling.single(place, -1.0), coupling.single(place, 1.0)):
            kinked.append(place)
    shared = kinked if len(kinked) <= _FEW else _not_alone(coupling, kinked)
    return list(_joined(_pairs(coupling, shared[:_MOST])))


def _not_alone(coupling: Coupling, places: list[Place]) -> list[Place]:
    """Return the places without which the rest's slope changes by another amount than their own."""
    generator, found = coupling.exam.generator, set[Place]()
    for pattern in range(_PATTERNS):
        drawn = generator.uniform(0.5, 1.5, len(places))
        signs = generator.choice([-1.0, 1.0], len(places)) if pattern else 1.0
        for side in (1.0, -1.0):
            whole = list(zip(places, side * signs * drawn, strict=True))
            slope = coupling.slope(whole)
            for k, (place, amount) in enumerate(whole):
                if coupling.is_over:
                    break
                rest = whole[:k] + whole[k + 1 :]
                if place not in found and coupling.differ(
                    slope, coupling.slope(rest), coupling.single(place, amount)
                ):
                    found.add(place)
    return [place for place in places if place in found]


def _pairs(coupling: Coupling, places: Sequence[Place]) -> dict[tuple[Place, Place], float]:
    """Return the pairs that share a kink, with the sign of the one beside the other along which it shows."""
    found: dict[tuple[Place, Place], float] = {}
    for one, other in combinations(places, 2):
        for sign in (1.0, -1.0):
            if coupling.is_over:
                return found
            together = coupling.slope([(one, 1.0), (other, sign)])
            if coupling.differ(together, coupling.single(one, 1.0), coupling.single(other, sign)):
                found[one, other] = sign
                break
    return found


def _joined(pairs: dict[tuple[Place, Place], float]) -> Iterator[Group]:
    """Yield what the pairs connect."""
    left = dict.fromkeys(place for pair in pairs for place in pair)
    while left:
        first = next(iter(left))
        del left[first]
        group: Group = [(first, 1.0)]
        for place, sign in group:  # it grows while it is walked
            for (one, other), beside in pairs.items():
                for here, there in ((one, other), (other, one)):
                    if here == place and there in left:
                        del left[there]
                        group.append((there, sign * beside))
        yield group
