"""The right numbers in the wrong places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.transposed import with_factor
from gradcheck.diagnose.words import axes_words, axis_words, listing

_MOST_SHIFTS = 64
_LARGE = 200_000


def permuted(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose a reversal, a shift, blocks or rows exchanged, or any rearrangement."""
    if sample.misshapen or sample.expected.size < 2 or not sample.claimed.any():
        return
    yield from _reversed(sample, scene)
    yield from _rolled(sample, scene)
    if sample.complete and sample.clear:
        yield from _slices(sample, scene)
        yield from _scattered(sample)


def _reversed(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    axes = [axis for axis, length in enumerate(sample.shape) if length > 1]
    for size in range(1, len(axes) + 1):
        for chosen in itertools.combinations(axes, size):
            repaired = sample.at(np.flip(sample.claimed, chosen))
            words = f"{sample.name}'s gradient is reversed along {axes_words(chosen)}"
            question = (
                "is a kernel flipped, or a sequence run the wrong way?" if len(sample.shape) > 1 else ""
            )
            details: dict[str, object] = {"reversed": list(chosen)}
            yield from with_factor(sample, scene, "permuted", words, repaired, 3.0, details, question)


def _rolled(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    for axis, length in enumerate(sample.shape):
        if length < 3:
            continue
        for shift in _shifts(length, sample.expected.size):
            moved = list(sample.index)
            moved[axis] = (moved[axis] + shift) % length
            repaired = sample.claimed[tuple(moved)]
            by = shift if shift <= length // 2 else shift - length
            words = f"{sample.name}'s gradient is shifted by {by} along axis {axis}"
            details: dict[str, object] = {"axis": axis, "shift": by}
            question = "is an index off by one?" if abs(by) == 1 else ""
            yield from with_factor(sample, scene, "permuted", words, repaired, 3.2, details, question)


def _shifts(length: int, size: int) -> list[int]:
    """Return all shifts of a short axis of a small tensor; few of a long axis, fewer in a large tensor."""
    if length <= _MOST_SHIFTS and size <= _LARGE:
        return list(range(1, length))
    reach = min(length // 2, _MOST_SHIFTS // 4 if size <= _LARGE else 2)
    near = range(1, reach + 1)
    return sorted({*near, length // 2, *(length - shift for shift in near)})


def _slices(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Match slices along each axis by their products with a random vector: equal slices have equal ones."""
    generator = np.random.default_rng(0)
    for axis, length in enumerate(sample.shape):
        if length < 2 or len(sample.shape) < 2:
            continue
        said = np.moveaxis(sample.claimed, axis, 0).reshape(length, -1)
        true = np.moveaxis(sample.expected, axis, 0).reshape(length, -1)
        weights = generator.normal(size=said.shape[1])
        source = np.empty(length, dtype=int)
        source[np.argsort((true @ weights).real)] = np.argsort((said @ weights).real)
        repaired = np.take(sample.claimed, source, axis)
        yield Hypothesis(
            "permuted", _slices_words(sample, axis, source), sample.fit(repaired), 5.0,
            {"axis": axis, "source": source.tolist()[:1000]},
        )  # fmt: skip


def _slices_words(sample: Sample, axis: int, source: Array) -> str:
    word = axis_words(axis, len(sample.shape), plural=True)
    moved = np.flatnonzero(source != np.arange(source.size))
    start = f"The {word} of {sample.name}'s gradient are right but in another order: "
    blocks = _blocks(source)
    if 1 < len(blocks) <= source.size // 2:
        parts = [f"{a}:{b} is given at {c}:{c + b - a}" for a, b, c in blocks if a != c]
        return start + listing(parts, 4) + "."
    pairs = [f"the true {i} is given at {source[i]}" for i in moved]
    return start + listing(pairs, 4) + "."


def _blocks(source: Array) -> list[tuple[int, int, int]]:
    """Return runs (start, stop, where given) of slices that moved together."""
    cuts = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(source) != 1)), source.size]
    return [(a, b, int(source[a])) for a, b in itertools.pairwise(cuts)]


def _scattered(sample: Sample) -> Iterator[Hypothesis]:
    """Any rearrangement: the sorted numbers agree. Only where the noise cannot make them."""
    if np.iscomplexobj(sample.claimed) or np.iscomplexobj(sample.expected) or sample.expected.size < 4:
        return
    said, true = np.sort(sample.claimed, axis=None), np.sort(sample.expected, axis=None)
    gaps = np.diff(true)
    if np.median(gaps) <= 10 * np.median(sample.noise):
        return
    source = np.empty(said.size, dtype=int)
    source[np.argsort(sample.expected, axis=None)] = np.argsort(sample.claimed, axis=None)
    repaired = sample.claimed.reshape(-1)[source].reshape(sample.shape)
    message = f"{sample.name}'s gradient holds the right numbers in the wrong places."
    yield Hypothesis("permuted", message, sample.fit(repaired), 6.0, {})
