"""Wrong in one part of the tensor only: the last row, a tail, a block, one entry, a triangle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.indices import describe_indices
from gradcheck.diagnose.inside import inside
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import axis_words, entry

# With fewer entries, those that occur more than once are too easily those that are wrong; rows tell more.
_FEW_ROWS = 8


@dataclass(frozen=True)
class Region:
    """A part of the tensor: its words, its mask, and what they cost."""

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
    looked = sample.informative | sample.wrong
    if (looked & ~sample.wrong).sum() == 0:
        return
    for region in _regions(sample, scene, looked):
        if np.array_equal(region.mask & looked, sample.wrong):
            yield _hypothesis(sample, scene, region)


def _hypothesis(sample: Sample, scene: Scene, region: Region) -> Hypothesis:
    what = inside(sample, scene, sample.wrong)
    share = f"{int(sample.wrong.sum())} of {int(sample.known.sum())} entries"
    share += "" if sample.complete else " looked at"
    message = f"{sample.name}'s gradient is wrong only in {region.words} ({share})"
    message += f", where it is {what}" if what else ""
    message += f": {region.question}" if region.question else "."
    cost = region.cost + (0.0 if what else 1.0)
    return Hypothesis("partial", message, CERTAIN, cost, {"region": region.words, "inside": what})


def _one_component(sample: Sample) -> Iterator[Hypothesis]:
    """Propose that one component of a complex gradient is dropped."""
    if not np.iscomplexobj(sample.expected):
        return
    for words, kept, other in (
        ("imaginary", sample.claimed.real, sample.claimed.imag),
        ("real", sample.claimed.imag, sample.claimed.real),
    ):
        lost = sample.expected.imag if words == "imaginary" else sample.expected.real
        right = sample.expected.real if words == "imaginary" else sample.expected.imag
        if other[sample.known].any() or (np.abs(kept - right) > sample.noise)[sample.known].any():
            continue
        if np.abs(lost[sample.known]).max() > sample.noise.max():
            message = f"The {words} part of {sample.name}'s gradient is zero; the other part is right."
            yield Hypothesis("partial", message, CERTAIN, 1.0, {"region": f"{words} part", "inside": "zero"})


def _regions(sample: Sample, scene: Scene, looked: Array) -> Iterator[Region]:
    yield from _rows_of_indices(sample, scene, looked)
    box = _box(sample, looked)
    if box is not None:
        yield box
    if len(sample.shape) >= 2 and sample.shape[-1] == sample.shape[-2] > 1:
        yield from _triangles(sample)
    yield from _flat_range(sample, looked)


def _box(sample: Sample, looked: Array) -> Region | None:
    """Return the smallest product of index sets, one per axis, that holds every wrong entry."""
    ndim = len(sample.shape)
    mask, words, slices, cost = np.ones(sample.shape, dtype=bool), [], [], 4.5
    for axis in range(ndim):
        others = tuple(i for i in range(ndim) if i != axis)
        hit, seen = np.asarray(sample.wrong.any(axis=others)), np.asarray(looked.any(axis=others))
        if np.array_equal(hit, seen):
            slices.append(":")
            continue
        found = describe_indices(hit, seen, axis_words(axis, ndim), axis_words(axis, ndim, plural=True))
        if found is None:
            return None
        words.append(found.words)
        slices.append(found.slice)
        cost += found.cost
        mask &= hit.reshape([-1 if i == axis else 1 for i in range(ndim)])
    if not words:
        return None
    if len(words) == ndim and int(sample.wrong.sum()) == 1:
        return Region(f"one entry, {entry(np.argwhere(sample.wrong)[0])}", mask, 4.5)
    text = " of ".join(reversed(words)) if ndim < 3 else f"[{', '.join(slices)}]"
    return Region(text, mask, cost)


def _rows_of_indices(sample: Sample, scene: Scene, looked: Array) -> Iterator[Region]:
    """Yield rows that a known array of indices names more than once, as those of an embedding are."""
    rows = looked.any(axis=tuple(range(1, len(sample.shape)))) if sample.shape else looked
    if rows.sum() < (_FEW_ROWS if len(sample.shape) < 2 else _FEW_ROWS // 2):
        return
    shape = [-1] + [1] * (len(sample.shape) - 1)
    for name, array in scene.facts.arrays.items():
        indices = np.asarray(array)
        if (
            indices.dtype.kind not in "iu"
            or indices.size < 2
            or indices.min() < 0
            or indices.max() >= sample.shape[0]
        ):
            continue
        counts = np.bincount(indices.reshape(-1), minlength=sample.shape[0])
        repeated = np.broadcast_to((counts > 1).reshape(shape), sample.shape)
        if counts.max() > 1 and (counts == 1).any():
            question = "are repeated indices overwritten where they should add up (np.add.at)?"
            yield Region(f"the rows that occur more than once in {name}", repeated, 3.5, question)


def _triangles(sample: Sample) -> Iterator[Region]:
    n = sample.shape[-1]
    ones = np.ones((n, n), dtype=bool)
    for words, mask in (
        ("the diagonal", np.eye(n, dtype=bool)),
        ("the part off the diagonal", ~np.eye(n, dtype=bool)),
        ("the upper triangle", np.triu(ones)),
        ("the lower triangle", np.tril(ones)),
        ("the part above the diagonal", np.triu(ones, 1)),
        ("the part below the diagonal", np.tril(ones, -1)),
    ):
        yield Region(words, np.broadcast_to(mask, sample.shape), 3.9)


def _flat_range(sample: Sample, looked: Array) -> Iterator[Region]:
    """Yield a tail, as a kernel leaves that works in blocks of memory."""
    if len(sample.shape) < 2:
        return
    hits = np.flatnonzero(sample.wrong.reshape(-1))
    if hits.size == 0:
        return
    mask = np.zeros(sample.wrong.size, dtype=bool)
    mask[hits[0] :] = True
    words = f"the tail, from entry {hits[0]} of {mask.size} on in memory order"
    question = "is the last, incomplete block left out?"
    yield Region(words, mask.reshape(sample.shape), 5.2, question)
