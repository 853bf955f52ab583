"""Whether right choices at several kinks explain what no one-sided derivative does.

Where convex and concave kinks meet, what right choices at each make together may lie outside the one-sided
derivatives along a direction. A single operation can be heard in PyTorch; in a loss in NumPy it cannot. There
a discrepancy along a direction stands only if the kinks, crossed one after the other beside the point, leave
no room for it. Where they are too many to be told apart, nobody is accused.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gradcheck import ties
from gradcheck.examination import Examination
from gradcheck.numerical import directions
from gradcheck.numerical.crossings import Crossed, cross
from gradcheck.probes import Probe
from gradcheck.subjects.base import Array

if TYPE_CHECKING:
    from gradcheck.pipeline import Outcome

# How far beside the point lines pass: this power of epsilon (1e-6 in float64), in units of each leaf's size.
_BESIDE = 0.385
# Stretches of a line, lines of each, and seconds for all; half the lines are shifted in moved leaves alone.
_STRETCHES, _LINES, _SECONDS = (16, 64, 256, 1024), 4, 5.0
# All there is to see is little beside what is to be explained; or half of at least so many points see nearly
# as much.
_LITTLE, _SETTLED, _ENOUGH = 1 / 32, 0.05, 64
# Kinks beyond the ends of a line are one in ``count``, and each is felt that much less along it.
_BEYOND = 4.0
# What is left unexplained counts where it is so many times what half the points missed, and such a share of
# what is seen.
_TIMES_MISSED, _SHARE = 4.0, 0.1
EXPLAINED = "at kinks: right choices at each of them make the claimed gradient together"
OPEN = "at kinks too many to tell whether the choices at them fit together: each entry alone is right"


def standing(outcome: Outcome) -> list[str]:
    """Return the tied parameters that no choices at the kinks explain; the others are told so in a note.

    For subjects whose single operations cannot be heard.
    """
    apart = ties.look_at_groups(outcome) if outcome.at_kinks else frozenset()
    deadline = time.perf_counter() + _SECONDS
    notes: dict[int, str] = {}  # a probe of several leaves is looked at once

    def note(probe: Probe) -> str:
        if apart.issuperset(probe.parts):
            return EXPLAINED  # kinks in an entry each: what is right of each entry is right of all
        if id(probe) not in notes:
            notes[id(probe)] = _explanation(outcome.exam, probe, deadline)
        return notes[id(probe)]

    stands = []
    for name in outcome.tied:
        finding = outcome.findings[name]
        left = next((probe for probe in finding.ties if not note(probe)), None)
        if left is not None:
            stands.append(name)
        else:
            finding.notes.append(max((note(probe) for probe in finding.ties), key=OPEN.__eq__))
        finding.ties = [left] if left is not None else []
    return stands


def _explanation(exam: Examination, probe: Probe, deadline: float) -> str:
    """Return a note where choices at the kinks explain a probe or may do so, "" where they do not."""
    if probe.direction is None:
        return OPEN
    direction = probe.direction()
    for count in _STRETCHES:
        seen: Crossed | None = None
        for number in range(_LINES):
            crossed = _cross(exam, probe, direction, count, number)
            if crossed is None or time.perf_counter() > deadline:
                return OPEN
            seen = crossed if seen is None else seen.joined(crossed)
            if seen.distance(probe.claimed) <= probe.uncertainty + _BEYOND * seen.variation / count**2:
                return EXPLAINED
        if seen is not None and _leaves_no_room(seen, probe.claimed):
            return ""
    return OPEN


def _cross(
    exam: Examination, probe: Probe, direction: Mapping[str, Array], count: int, number: int
) -> Crossed | None:
    """Follow a direction beside the point: beside it in the leaves that are moved, or in all.

    The first two lines pass where entries grow, and fall, with their index: there lies what a stable order
    makes of ties.
    """
    names = list(direction) if number % 2 else list(exam.values)
    scales = {n: _rms(direction[n]) if n in direction else exam.scales[n] for n in names}
    random = number >= 2
    offset = (
        directions.direction(exam.variables, names, exam.generator, scales) if random else exam.ramp(scales)
    )
    distance = float(exam.subject.epsilon**_BESIDE)
    shift = -distance if number == 1 else distance
    return cross(
        exam.beside(probe.pulled, direction, {name: shift * v for name, v in offset.items()}), distance, count
    )


def _rms(v: Array) -> float:
    return float(np.sqrt(np.mean(np.abs(directions.to_numpy(v)) ** 2)))


def _leaves_no_room(seen: Crossed, claimed: float) -> bool:
    apart = seen.distance(claimed)
    settled = seen.count >= _ENOUGH and seen.missed <= _SETTLED * seen.variation
    settled = settled or seen.variation <= _LITTLE * apart
    return settled and apart > _TIMES_MISSED * seen.missed + _SHARE * seen.variation
