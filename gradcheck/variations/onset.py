"""Whether a discrepancy far from the given point came at once on the way there, or little by little.

A backward pass that is wrong beyond some threshold is wrong at once: a branch that it forgets, an exponential
that overflows. What rounding takes of a forward pass (log(1 - p) as p nears 1), what a series or a quadrature
leaves out, and an iteration that settles ever more slowly, and then no longer does, grow from nothing: by
1e-12 of the gradient where it was verified, by all of it far away, by everything in between on the way. Then
the point lies outside what the code is for, and nothing at the point itself says so: its outputs are finite,
smooth and wrong, or right and rough. A mistake that grows so slowly would show at the given point, or at none
that anybody meets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np

from gradcheck.examination import Examination
from gradcheck.findings import Finding
from gradcheck.locate import entry_probe
from gradcheck.probes import Pulled
from gradcheck.subjects.base import Subject

# Three levels of doubt divide its growth on the way, or the first nine powers of ten of that, into four.
_GROWTH, _LEVELS = math.log(1e9), (0.25, 0.5, 0.75)
# From the first to the second it is at least so far, as a share of that from the second to the third, where
# the doubt grows along the way: as a power or an exponential does, or one whose exponent has an end. Where it
# starts at a threshold and grows with the distance from that (a kink that is not heeded), it is 1/180, with
# its square (a step in a second derivative) 1/13. At a jump nothing lies between.
_SHARE = 0.2
# The least distance: a factor of 1000 leaves 4e-4, an iteration that grows so fast has ten thousand steps.
_LEAST = 2.0**-14
# So many points on the way are looked at: a jump takes fourteen, a kink a few more.
_MOST = 40
# So many of the wrong entries are asked, the worst first.
_ASKED = 2


def is_gradual(way: Callable[[float], Subject | None], finding: Finding, pulled: Pulled, seed: int) -> bool:
    """Whether the discrepancy of a leaf found wrong at the end of a way grew from nothing all along it.

    ``way`` returns the subject at a share of the way, from 0, where the gradient is right, to 1; ``pulled``
    has the cotangents at its end.
    """

    def doubt(entry: int | None, share: float) -> float:
        return _doubt(way(share), finding.name, entry, pulled, seed)

    return all(_grows(partial(doubt, entry)) for entry in _asked(finding))


def _asked(finding: Finding) -> Sequence[int | None]:
    """Return the entries to look at, None for a direction that moves all of them."""
    entries = finding.entries
    if entries is None or not finding.wrong.size:
        return [None]
    worst = finding.wrong[np.argsort(-entries.discrepancy[finding.wrong])]
    return [int(i) for i in entries.flat[worst[:_ASKED]]]


def _grows(doubt: Callable[[float], float]) -> bool:
    """Find where the doubt first passes each level, as closely as it takes to tell."""
    known = {share: doubt(share) for share in (0.0, 1.0)}
    if not 0 < known[0.0] < known[1.0] < math.inf:
        return False
    growth = min(math.log(known[1.0] / known[0.0]), _GROWTH)
    levels = [known[0.0] * math.exp(share * growth) for share in _LEVELS]
    for _ in range(_MOST):
        one, two, three = places = [_first(known, level) for level in levels]
        if two[0] - one[1] >= _SHARE * (three[1] - two[0]):
            return True
        if two[1] - one[0] < max(_SHARE * (three[0] - two[1]), _LEAST):
            return False
        low, high = max(places, key=lambda place: place[1] - place[0])
        known[(low + high) / 2] = doubt((low + high) / 2)
    return False


def _first(known: dict[float, float], level: float) -> tuple[float, float]:
    """Return the neighbouring shares of the way between which the doubt first passes a level."""
    shares = sorted(known)
    end = next(i for i, share in enumerate(shares) if known[share] >= level)
    return shares[end - 1], shares[end]


def _doubt(subject: Subject | None, name: str, entry: int | None, pulled: Pulled, seed: int) -> float:
    """Return how far the claimed derivative, for a relative change, is from being confirmed.

    In units of it or of the outputs, whichever are larger: rounding grows with these.
    """
    if subject is None:
        return math.inf
    with subject if isinstance(subject, AbstractContextManager) else nullcontext():
        try:
            getattr(subject, "start", lambda: None)()  # JAX's have nothing to start
            exam = Examination(subject, seed)
            here = exam.pull(pulled.cotangents)
        except Exception:  # outside its domain a forward pass raises what it likes
            return math.inf
        if entry is None:
            probe = exam.probe(here, [name])
        else:
            scale = float(np.broadcast_to(exam.scales[name], exam.values[name].shape).reshape(-1)[entry])
            probe = entry_probe(exam, here, name, entry, scale)
        found = probe.discrepancy + probe.uncertainty
        doubt = found if probe.estimate.resolved else abs(probe.claimed)
        return doubt / max(exam.magnitude, abs(probe.claimed), 1e-300)
