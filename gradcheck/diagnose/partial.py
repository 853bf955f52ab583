"""Wrong in one part of the tensor only: the last row, a tail, a block, one entry, a triangle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.indices import describe_indices
from gradcheck.diagnose.inside import IDLE, inside
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import axis_words, entry

# With fewer entries, those that occur more than once are too easily those that are wrong; rows tell more.
_FEW_ROWS = 8
# A part in which nothing should be is told from others by more than its place.
_IDLE = 0.6


@dataclass(frozen=True)
class Region:
    """A part of the tensor: its words, the mask of the known entries in it, and what the words cost."""

    words: str
    mask: Array
    cost: float
    question: str = ""


def partial(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose each simple region that holds all wrong entries and no right one."""
    if sample.misshapen or sample.expected.size < 2:
        return
    if sample.claimed.dtype.kind == "c":
        yield from _one_component(sample)
    if not (sample.told & ~sample.wrong).any() or not sample.wrong.any():
        return
    for region in _regions(sample, scene):
        if np.array_equal(region.mask & sample.told, sample.wrong):
            yield _hypothesis(sample, scene, region)


def _hypothesis(sample: Sample, scene: Scene, region: Region) -> Hypothesis:
    what = inside(sample, scene, sample.wrong)
    share = f"{int(sample.wrong.sum())} of {sample.counted}"
    message = f"{sample.name}'s gradient is wrong only in {region.words} ({share})"
    message += f", where it is {what}" if what else ""
    message += f": {region.question}" if region.question else "."
    cost = region.cost + (0.0 if what else 1.0) - (_IDLE if what == IDLE else 0.0)
    return Hypothesis("partial", message, CERTAIN, cost, {"region": region.words, "inside": what})


def _one_component(sample: Sample) -> Iterator[Hypothesis]:
    """Propose that one component of a complex gradient is dropped."""
    if not np.iscomplexobj(sample.expected):
        return
    said, true = sample.said, sample.true
    for words, kept, other, right, lost in (
        ("imaginary", said.real, said.imag, true.real, true.imag),
        ("real", said.imag, said.real, true.imag, true.real),
    ):
        if other.any() or (np.abs(kept - right) > sample.noise).any():
            continue
        if (np.abs(lost) > sample.noise).any():
            message = f"The {words} part of {sample.name}'s gradient is zero; the other part is right."
            yield Hypothesis("partial", message, CERTAIN, 1.0, {"region": f"{words} part", "inside": "zero"})


def _regions(sample: Sample, scene: Scene) -> Iterator[Region]:
    if not sample.shape:
        return
    yield from _rows_of_indices(sample, scene)
    box = _box(sample)
    if box is not None:
        yield box
    if len(sample.shape) >= 2 and sample.shape[-1] == sample.shape[-2] > 1:
        yield from _triangles(sample)
    yield from _flat_range(sample)


def _reached(sample: Sample, axis: int, entries: Array) -> Array:
    """Return which indices along an axis some of the entries have."""
    result: Array = np.bincount(sample.index[axis][entries], minlength=sample.shape[axis]) > 0
    return result


def _box(sample: Sample) -> Region | None:
    """Return the smallest product of index sets, one per axis, that holds every wrong entry."""
    ndim = len(sample.shape)
    mask, words, slices, cost = np.ones(sample.true.shape, dtype=bool), [], [], 4.5
    for axis in range(ndim):
        hit, seen = _reached(sample, axis, sample.wrong), _reached(sample, axis, sample.told)
        if np.array_equal(hit, seen):
            slices.append(":")
            continue
        found = describe_indices(hit, seen, axis_words(axis, ndim), axis_words(axis, ndim, plural=True))
        if found is None:
            return None
        words.append(found.words)
        slices.append(found.slice)
        cost += found.cost
        mask &= hit[sample.index[axis]]
    if not words:
        return None
    if len(words) == ndim and int(sample.wrong.sum()) == 1:
        where = [int(coordinates[sample.wrong][0]) for coordinates in sample.index]
        return Region(f"one entry, {entry(where)}", mask, 4.5)
    text = " of ".join(reversed(words)) if ndim < 3 else f"[{', '.join(slices)}]"
    return Region(text, mask, cost)


def _rows_of_indices(sample: Sample, scene: Scene) -> Iterator[Region]:
    """Yield rows that a known array of indices names more than once, as those of an embedding are."""
    rows = _reached(sample, 0, sample.told).sum()
    if rows < (_FEW_ROWS if len(sample.shape) < 2 else _FEW_ROWS // 2):
        return
    for name, array in scene.facts.arrays.items():
        indices = np.asarray(array)
        if indices.dtype.kind not in "iu" or indices.size < 2:
            continue
        if indices.min() < 0 or indices.max() >= sample.shape[0]:
            continue
        counts = np.bincount(indices.reshape(-1), minlength=sample.shape[0])
        if counts.max() > 1 and (counts == 1).any():
            question = "are repeated indices overwritten where they should add up (np.add.at)?"
            mask = counts[sample.index[0]] > 1
            yield Region(f"the rows that occur more than once in {name}", mask, 3.5, question)


def _triangles(sample: Sample) -> Iterator[Region]:
    row, column = sample.index[-2], sample.index[-1]
    for words, mask in (
        ("the diagonal", row == column),
        ("the part off the diagonal", row != column),
        ("the upper triangle", row <= column),
        ("the lower triangle", row >= column),
        ("the part above the diagonal", row < column),
        ("the part below the diagonal", row > column),
    ):
        yield Region(words, mask, 3.9)


def _flat_range(sample: Sample) -> Iterator[Region]:
    """Yield a tail, as a kernel leaves that works in blocks of memory."""
    if len(sample.shape) < 2:
        return
    place = np.ravel_multi_index(sample.index, sample.shape)
    first = int(place[sample.wrong].min())
    words = f"the tail, from entry {first} of {sample.expected.size} on in memory order"
    yield Region(words, place >= first, 5.2, "is the last, incomplete block left out?")
