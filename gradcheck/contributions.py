"""From which part of an output a wrong gradient gets something wrong: one part's cotangent at a time.

Backward is linear in its cotangent, so a gradient is the sum of what it gets from each row, column or slice
of each output. Along one direction the true sum's parts cost no more than the derivative of the outputs; the
claimed ones cost a backward pass each. A block that is not added, a sample that is left out, an output that
is ignored shows at once in them, where the sum itself looks like nothing known.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.diagnose import Contributions
from gradcheck.examination import Examination
from gradcheck.numerical import directions
from gradcheck.probes import Pulled
from gradcheck.standins import Cotangents, stand_ins
from gradcheck.subjects.base import Array

# So many backward passes at most, and seconds.
_PASSES, _SECONDS = 64, 0.5
# Axes longer than this are not taken apart, nor more outputs.
_LONGEST, _OUTPUTS = 24, 6
# With more entries of the outputs no other cotangents are tried.
_LARGEST = 20_000
# The step of the difference quotients, relative to the size of a leaf.
_STEP, _DIRECTIONS = 1e-3, 2


@dataclass(frozen=True)
class Slopes:
    """The derivatives of all output entries along directions of one leaf, and bounds on their errors."""

    along: tuple[np.ndarray, ...]
    values: tuple[list[np.ndarray], ...]
    bounds: tuple[list[np.ndarray], ...]


def slopes(exam: Examination, pulled: Pulled, names: Sequence[str]) -> dict[str, Slopes]:
    """Return the slopes of the outputs for each leaf that was given a gradient, where they can be had."""
    if exam.defined is not None or exam.subject.fixed_cotangent or len(exam.outputs) > _OUTPUTS:
        return {}
    given = [name for name in names if name not in pulled.missing and name in pulled.gradients]
    return {name: found for name in given if (found := _slopes(exam, name)) is not None}


def measure(
    exam: Examination, pulled: Pulled, leaves: Mapping[str, Slopes], outputs: Sequence[str]
) -> dict[str, tuple[Contributions, ...]]:
    """Return, per leaf, what it gets from each part of each output; ``outputs`` are their names."""
    if not leaves:
        return {}
    found: dict[str, list[Contributions]] = {name: [] for name in leaves}
    end, passes = time.perf_counter() + _SECONDS, 0
    for where, parts in _partitions(outputs, _cotangents(pulled)):
        passes += len(parts)
        if passes > _PASSES or time.perf_counter() + len(parts) * exam.seconds_per_pull > end:
            continue
        pulls = [exam.pull(_like(pulled, part)) for part in parts]
        for name, slope in leaves.items():
            gradients = [p.gradients.get(name, np.zeros_like(slope.along[0])) for p in pulls]
            found[name].append(_compared(where, parts, gradients, slope))
    return {name: tuple(listed) for name, listed in found.items()}


# Outputs, the axis along which they are taken apart, and how many axes there are.
Where = tuple[tuple[str, ...], int, int]
Mistaken = tuple[str, str, np.ndarray, np.ndarray, np.ndarray]


def mistaken(
    exam: Examination, pulled: Pulled, leaves: Mapping[str, Slopes], outputs: Sequence[str]
) -> dict[str, tuple[Mistaken, ...]]:
    """Return, per leaf, its claimed derivatives beside those that mistaken cotangents would give."""
    if not leaves or sum(u.size for u in _cotangents(pulled)) > _LARGEST:
        return {}
    found: dict[str, list[Mistaken]] = {name: [] for name in leaves}
    for kind, words, us in stand_ins(_cotangents(pulled), outputs):
        for name, slope in leaves.items():
            claimed = [directions.inner(pulled.gradients[name], v)[0] for v in slope.along]
            expected = [_weighed(us, values) for values in slope.values]
            noise = [_weighed([np.abs(u) for u in us], bounds) for bounds in slope.bounds]
            found[name].append((kind, words, np.array(claimed), np.array(expected), np.array(noise)))
    return {name: tuple(listed) for name, listed in found.items()}


def _cotangents(pulled: Pulled) -> list[np.ndarray]:
    return [directions.to_numpy(u) for u in pulled.cotangents]


def _like(pulled: Pulled, part: Sequence[np.ndarray]) -> list[Array]:
    return [directions.like(u, p) for u, p in zip(pulled.cotangents, part, strict=True)]


def _slopes(exam: Examination, name: str) -> Slopes | None:
    along, values, bounds = [], [], []
    for _ in range(_DIRECTIONS):
        v = directions.direction(exam.variables, [name], exam.generator, exam.scales)
        try:
            coarse, fine = (_quotients(exam, v, step) for step in (_STEP, _STEP / 2))
        except Exception:  # outside its domain a forward pass raises what it likes
            return None
        along.append(directions.to_numpy(v[name]))
        values.append([(4 * f - c) / 3 for c, f in zip(coarse, fine, strict=True)])
        bounds.append([np.abs(f - c) for c, f in zip(coarse, fine, strict=True)])
    finite = all(bool(np.isfinite(a).all()) for listed in values for a in listed)
    return Slopes(tuple(along), tuple(values), tuple(bounds)) if finite else None


def _quotients(exam: Examination, v: Mapping[str, Array], step: float) -> list[np.ndarray]:
    right, left = (exam.displaced(v, sign * step) for sign in (1, -1))
    pairs = zip(right, left, strict=True)
    return [(directions.to_numpy(r) - directions.to_numpy(s)) / (2 * step) for r, s in pairs]


def _partitions(
    outputs: Sequence[str], us: Sequence[np.ndarray]
) -> Iterator[tuple[Where, list[list[np.ndarray]]]]:
    """Yield (output, axis, axes of it) and the cotangents of each part; axis -1 where whole outputs are."""
    if len(us) > 1:
        yield (
            (tuple(outputs), -1, 0),
            [[_kept(u, i == k, ...) for i, u in enumerate(us)] for k in range(len(us))],
        )
    for k, u in enumerate(us):
        for axis, length in enumerate(u.shape):
            if 1 < length <= _LONGEST:
                at = [(slice(None),) * axis + (i,) for i in range(length)]
                parts = [[_kept(w, j == k, place) for j, w in enumerate(us)] for place in at]
                yield ((outputs[k],), axis, u.ndim), parts


def _kept(u: np.ndarray, here: bool, place: Any) -> np.ndarray:
    kept = np.zeros_like(u)
    if here:
        kept[place] = u[place]
    return kept


def _compared(
    where: Where,
    parts: Sequence[Cotangents],
    gradients: Sequence[np.ndarray],
    slope: Slopes,
) -> Contributions:
    v, values, bounds = slope.along[0], slope.values[0], slope.bounds[0]
    claimed = np.array([directions.inner(gradient, v)[0] for gradient in gradients])
    expected = np.array([_weighed(part, values) for part in parts])
    noise = np.array([_weighed([np.abs(u) for u in part], bounds) for part in parts])
    return Contributions(*where, claimed, expected, noise)


def _weighed(part: Sequence[np.ndarray], slopes: Sequence[np.ndarray]) -> float:
    return float(sum(np.sum((u.conj() * s).real) for u, s in zip(part, slopes, strict=True)))
