"""Weights get their gradient as a sum of outer products, one per sample, step or use.

A forgotten contribution is an error of low rank, and where the inputs are known its factor is one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.numbers import ordinal
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene

# A singular value counts when it stands this far above what the noise alone would give.
_ABOVE = 10.0
_LARGEST = 2000


def low_rank(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that one or a few of the summed contributions are missing, extra or wrong."""
    if sample.misshapen or len(sample.shape) != 2 or not sample.complete or not sample.clear:
        return
    if min(sample.shape) < 3 or max(sample.shape) > _LARGEST or sample.expected.dtype.kind == "c":
        return
    wrong, true, said = (_rank(sample, a) for a in (_error(sample), sample.expected, sample.claimed))
    full = min(sample.shape)
    if wrong == 0 or wrong > full // 2 or true <= wrong:
        return
    how = _how(true, said, wrong)
    row = _known_row(sample, scene) if wrong == 1 else None
    if row is not None:
        name, axis, i, length = row
        place = "the last" if i == length - 1 else "the first" if i == 0 else f"number {i}"
        message = (
            f"{sample.name}'s gradient {how} one contribution: that of {place} of the {length} along the "
            f"{ordinal(axis)} axis of {name}. Is a sample (or a step) left out, or counted twice?"
        )
        repaired = sample.claimed - _cut(_error(sample), 1)
        details = {"rank": 1, "array": name, "axis": axis, "index": i}
        yield Hypothesis("partial", message, sample.fit(repaired), 5.0, details)
        return
    summed = _known_sum(sample, scene) if wrong == 1 else None
    what = "one outer product" if wrong == 1 else f"a sum of {wrong} outer products"
    message = (
        f"{sample.name}'s gradient {how} {what} (the true one has rank {true}): is one of the "
        "contributions that are added up, a sample, a step, a use of the parameter or a term that passes "
        "through a mean, forgotten?"
    )
    if summed:
        message = (
            f"{sample.name}'s gradient {how} a term that multiplies the sum of {summed} over its first axis: "
            "is a path through a mean or a sum over the batch forgotten?"
        )
    repaired = sample.claimed - _cut(_error(sample), wrong)
    details = {"rank": wrong, "rank_expected": true, "array": summed}
    yield Hypothesis("missing-term", message, sample.fit(repaired), 7.0 if wrong == 1 else 8.0, details)


def _error(sample: Sample) -> Array:
    result: Array = sample.claimed - sample.expected
    return result


def _rank(sample: Sample, matrix: Array) -> int:
    floor = _ABOVE * float(np.median(sample.noise)) * np.sqrt(sum(sample.shape))
    values = np.linalg.svd(matrix, compute_uv=False)
    return int((values > floor).sum())


def _how(true: int, said: int, wrong: int) -> str:
    if said == true - wrong:
        return "lacks"
    return "has too many" if said == true + wrong else "is wrong by"


def _cut(matrix: Array, rank: int) -> Array:
    """Return the nearest matrix of a rank."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    result: Array = (u[:, :rank] * s[:rank]) @ v[:rank]
    return result


def _factors(sample: Sample) -> tuple[Array, Array]:
    u, _, v = np.linalg.svd(_error(sample), full_matrices=False)
    return u[:, 0], v[0]


def _known_row(sample: Sample, scene: Scene) -> tuple[str, int, int, int] | None:
    """Return the array, its axis, the position and the length, where a factor of the error is a row of it."""
    for name, array in scene.facts.arrays.items():
        data = np.asarray(array)
        if data.dtype.kind != "f" or data.ndim < 2 or data.size > 1_000_000:
            continue
        for factor in _factors(sample):
            if data.shape[-1] != factor.size:
                continue
            rows = data.reshape(-1, factor.size)
            norms = np.linalg.norm(rows, axis=1)
            cosine = np.abs(rows @ factor) / np.where(norms > 0, norms, 1)
            best = int(np.argmax(cosine))
            if cosine[best] > 1 - 1e-6 and (cosine > 1 - 1e-6).sum() == 1:
                return name, *_position(data.shape, best)
    return None


def _position(shape: tuple[int, ...], flat: int) -> tuple[int, int, int]:
    """Return the axis of most interest, the index on it and its length."""
    index = np.unravel_index(flat, shape[:-1])
    ends = [axis for axis, i in enumerate(index) if i == shape[axis] - 1]
    axis = ends[0] if ends else 0
    return axis, int(index[axis]), shape[axis]


def _known_sum(sample: Sample, scene: Scene) -> str | None:
    """Return the array whose sum over the first axis is a factor of the error."""
    for name, array in scene.facts.arrays.items():
        data = np.asarray(array)
        if data.dtype.kind != "f" or data.ndim != 2:
            continue
        total = data.sum(0)
        for factor in _factors(sample):
            if total.shape == factor.shape and np.linalg.norm(total) > 0:
                cosine = abs(float(total @ factor)) / float(np.linalg.norm(total))
                if cosine > 1 - 1e-6:
                    return name
    return None
