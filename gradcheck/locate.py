"""Which entries of a gradient are wrong.

The error e = claimed - true is a vector that can be multiplied with any v at the cost of one directional
derivative. Finding its few nonzero entries is group testing: ranges of entries are halved, each half seen
through random numbers, so that k wrong entries of n cost about 2 k log2 n probes. Where most entries are
wrong a sample tells as much as the whole.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.examination import Examination
from gradcheck.numerical import directions
from gradcheck.probes import Probe, Pulled
from gradcheck.subjects.base import Array

# Above this many suspect ranges at once the errors are dense: sample instead of searching on.
_DENSE = 12
# At most this many ranges are probed in a search, and entries examined in a sample.
_SEARCH = 160
_SAMPLE = 96
# Up to this size all entries are examined at once; above it a search may be cheaper.
_SMALL = 128
# So often the rest is searched again.
_ROUNDS = 3
# Fewer entries than the first number are examined beyond the time for it, fewer than the second however long
# that takes: where a function is rough, an entry may take a hundred times as many evaluations as elsewhere.
_LEAST, _FEWEST = 16, 4
# So many entries are looked at along each axis through a wrong one.
_BESIDE = 12
# A probe of one entry takes about this many evaluations.
_PER_ENTRY = 5


@dataclass
class Entries:
    """Entries examined each on its own. ``flat`` holds their positions in C order; the rest is parallel.

    ``exact`` says that every entry not listed is known to be right (or that none is unlisted). ``probes`` are
    those made for one entry alone; ``pulled`` is what the entries were compared with. ``sought`` are those
    that were not drawn at random: ends, and what a search came upon.
    """

    flat: np.ndarray
    claimed: np.ndarray
    expected: np.ndarray
    uncertainty: np.ndarray
    kink: np.ndarray
    exact: bool
    probes: list[Probe] = field(default_factory=list)
    pulled: Pulled | None = None
    sought: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    @property
    def drawn(self) -> np.ndarray:
        """Which of the entries were drawn at random, as a mask."""
        return ~np.isin(self.flat, self.sought)

    @property
    def discrepancy(self) -> np.ndarray:
        """The absolute difference, entry by entry."""
        result: np.ndarray = np.abs(self.claimed - self.expected)
        return result


def examine(
    exam: Examination, pulled: Pulled, name: str, flat: np.ndarray, exact: bool, seconds: float = math.inf
) -> Entries:
    """Estimate the listed entries of one leaf's gradient, each on its own.

    Where that takes longer than ``seconds``, the rest of the list is left out.
    """
    start = time.perf_counter()
    value = exam.values[name]
    is_complex = value.dtype.kind == "c"
    scales = np.broadcast_to(exam.scales[name], value.shape).reshape(-1)
    rows: list[tuple[complex, complex, float, bool]] = []
    probes: list[Probe] = []
    for i in flat:
        if len(rows) >= _FEWEST and _is_over(start, seconds, len(rows)):
            flat, exact = flat[: len(rows)], False
            break
        units: tuple[complex, ...] = (1.0, 1.0j) if is_complex else (1.0,)
        expected, uncertainty, kink = 0.0 + 0.0j, 0.0, False
        claimed = pulled.gradients[name].reshape(-1)[i]
        for unit in units:
            probe = entry_probe(exam, pulled, name, int(i), float(scales[i]), unit)
            probes.append(probe)
            nearest = min(max(probe.claimed, probe.estimate.lower), probe.estimate.upper)
            part = (nearest if probe.estimate.kink else probe.estimate.value) / float(scales[i])
            expected += part * unit
            uncertainty += probe.uncertainty / float(scales[i])
            kink = kink or probe.estimate.kink
        rows.append((claimed, expected if is_complex else expected.real, uncertainty, kink))
    columns = [np.asarray(column) for column in zip(*rows, strict=True)] if rows else [np.zeros(0)] * 4
    return Entries(
        np.asarray(flat), columns[0], columns[1], columns[2], columns[3].astype(bool), exact, probes, pulled
    )


def _is_over(start: float, seconds: float, examined: int) -> bool:
    spent = time.perf_counter() - start
    return spent > seconds and (examined >= _LEAST or spent > 2 * seconds)


def entry_probe(
    exam: Examination,
    pulled: Pulled,
    name: str,
    i: int,
    scale: float,
    unit: complex = 1.0,
    blind: bool = False,
) -> Probe:
    """Probe one entry: the direction moves nothing else. ``blind``: see ``Examination.along``."""
    return exam.along(pulled, entry_direction(exam, name, i, scale, unit), blind=blind)


def entry_direction(
    exam: Examination, name: str, i: int, scale: float, unit: complex = 1.0
) -> dict[str, Array]:
    """Return the direction that moves one entry of a leaf, by ``scale`` times ``unit``."""
    value = exam.values[name]
    one = np.zeros(value.size, dtype=value.dtype)
    one[i] = scale * (unit if value.dtype.kind == "c" else unit.real)
    return {name: directions.like(exam.variables[name], one.reshape(value.shape))}


def locate(
    exam: Examination, pulled: Pulled, name: str, affordable: int, seconds: float = math.inf
) -> Entries:
    """Find and examine the wrong entries of a leaf whose probe was suspect.

    ``affordable`` is the number of entries that may be examined one by one, within ``seconds``: what an
    evaluation takes was measured on a few, and may turn out to be more.
    """
    size = exam.values[name].size
    keep = pulled.finite.get(name)
    known = np.arange(size) if keep is None else np.flatnonzero(keep)
    if known.size <= min(affordable, _SMALL):
        return examine(exam, pulled, name, known, exact=True, seconds=seconds)
    found, complete = _search(exam, pulled, name)
    if complete:
        return examine(exam, pulled, name, found, exact=True)
    if known.size <= affordable:
        ends, listed = known[:0], known
    else:
        ends = np.concatenate([known[:4], known[-8:]])
        count = int(min(max(affordable, _FEWEST), _SAMPLE * 4))
        listed = _spread(known, ends, count, exam.generator)
        if not found.size and affordable >= _LEAST:
            found = np.intersect1d(_around(_one(exam, pulled, name), exam.values[name].shape), known)
    ordered = np.concatenate([found, exam.generator.permutation(np.setdiff1d(listed, found))])
    exact = ordered.size == known.size
    examined = _sorted(examine(exam, pulled, name, ordered, exact, seconds))
    return replace(examined, sought=np.union1d(ends, found))


def _sorted(entries: Entries) -> Entries:
    order = np.argsort(entries.flat)
    columns = ("flat", "claimed", "expected", "uncertainty", "kink")
    return replace(entries, **{column: getattr(entries, column)[order] for column in columns})


def _one(exam: Examination, pulled: Pulled, name: str) -> int | None:
    """Return one wrong entry, wherever the others are: of each two halves the one that is off by more.

    None where rounding hides what the last halves are off by.
    """
    weights = _weights(exam, pulled, name)
    start, stop = 0, weights.size
    whole, noise = _residual(exam, pulled, name, weights, start, stop)
    while stop - start > 1 and abs(whole) > 4 * noise:
        middle = (start + stop) // 2
        left, noise = _residual(exam, pulled, name, weights, start, middle)
        right, noise = _residual(exam, pulled, name, weights, middle, stop)
        start, stop, whole = (start, middle, left) if abs(left) >= abs(right) else (middle, stop, right)
    return start if stop - start == 1 and abs(whole) > 4 * noise else None


def _around(one: int | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return an entry and some of those beside it along each axis: wrong ones often make rows or columns."""
    if one is None:
        return np.zeros(0, dtype=int)
    place = np.unravel_index(one, shape)
    found = [one]
    for axis, length in enumerate(shape):
        along = [*place]
        for k in np.unique(np.linspace(0, length - 1, min(length, _BESIDE)).astype(int)):
            along[axis] = k
            found.append(int(np.ravel_multi_index(tuple(along), shape)))
    return np.unique(found)


def _spread(known: np.ndarray, ends: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return a sample with the ends of the tensor in it: tails are where kernels go wrong."""
    chosen = generator.choice(known, size=max(count - ends.size, 1), replace=False)
    return np.unique(np.concatenate([ends, chosen]))


def _search(exam: Examination, pulled: Pulled, name: str) -> tuple[np.ndarray, bool]:
    """Find wrong entries, and say whether that is all of them; where the errors are dense it is not.

    Halving follows the largest errors, and may lose small ones beside them. So what was found is taken out,
    and the rest is probed: while it is off, it is searched in its turn.
    """
    found = np.zeros(0, dtype=int)
    for _ in range(_ROUNDS):
        weights = _weights(exam, pulled, name)
        weights[found] = 0
        more = _halve(exam, pulled, name, weights)
        if more is None or not more.size:
            return found, False
        found = np.union1d(found, more)
        if _rest_is_right(exam, pulled, name, found):
            return found, True
    return found, False


def _rest_is_right(exam: Examination, pulled: Pulled, name: str, found: np.ndarray) -> bool:
    weights = _weights(exam, pulled, name)
    weights[found] = 0
    direction = {name: directions.like(exam.variables[name], weights.reshape(exam.values[name].shape))}
    return not exam.along(pulled, direction).suspect


def _halve(exam: Examination, pulled: Pulled, name: str, weights: np.ndarray) -> np.ndarray | None:
    """Halve ranges until single entries remain; None where the errors are dense.

    A range's residual <claimed - true, v> costs two evaluations; that of the other half is the difference
    to their parent's. A half is followed where its residual is not small beside its parent's.
    """
    whole, noise = _residual(exam, pulled, name, weights, 0, weights.size)
    ranges, found, probes = [(0, weights.size, whole)], [], 1
    while ranges:
        if len(ranges) > _DENSE or probes > _SEARCH:
            return None
        halves = []
        for start, stop, residual in ranges:
            middle = (start + stop) // 2
            left, noise = _residual(exam, pulled, name, weights, start, middle)
            probes += 1
            threshold = max(0.02 * abs(residual), 4 * noise)
            for low, high, part in ((start, middle, left), (middle, stop, residual - left)):
                if abs(part) > threshold:
                    halves.append((low, high, part))
        found += [start for start, stop, _ in halves if stop - start == 1]
        ranges = [half for half in halves if half[1] - half[0] > 1]
    return np.asarray(sorted(found), dtype=int)


def _weights(exam: Examination, pulled: Pulled, name: str) -> np.ndarray:
    value = exam.values[name]
    weights = directions.gaussian(value.shape, value.dtype.kind == "c", exam.generator) * exam.scales[name]
    if name in pulled.finite:
        weights = weights * pulled.finite[name]
    return weights.reshape(-1)


def _residual(
    exam: Examination, pulled: Pulled, name: str, weights: np.ndarray, start: int, stop: int
) -> tuple[float, float]:
    part = np.zeros_like(weights)
    part[start:stop] = weights[start:stop]
    direction = {name: directions.like(exam.variables[name], part.reshape(exam.values[name].shape))}
    return exam.residual(pulled, direction)


def affordable_entries(seconds_per_evaluation: float, budget: float) -> int:
    """Return how many entries can be examined within a budget in seconds, at least 8."""
    return max(_LEAST, int(budget / (_PER_ENTRY * max(seconds_per_evaluation, 1e-7))))
