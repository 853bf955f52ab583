"""Arrays that a forgotten term may be a multiple of: the parameter, known arrays, products of data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene

_LARGEST = 2_000_000
# The exponential of more is not finite.
_EXPONENT = 500.0


@dataclass(frozen=True)
class Basis:
    """An array at the known entries, and its words; ``own`` where it is made of the parameter itself."""

    words: str
    array: Array
    cost: float
    own: bool = False


def bases(sample: Sample, scene: Scene) -> Iterator[Basis]:
    """Yield the candidates for one parameter."""
    value = sample.value_at
    if value is not None:
        yield Basis(sample.name, value, 4.0, own=True)
        if np.unique(np.sign(value)).size > 1:  # else it is the same as 1
            yield Basis(f"sign({sample.name})", np.sign(value), 4.2, own=True)
        if value.dtype.kind == "f" and np.abs(value).max(initial=0.0) < _EXPONENT:
            yield Basis(f"exp({sample.name})", np.exp(value), 5.0)
        yield Basis(f"{sample.name}³", value**3, 5.0)
    yield Basis("1 (the same in every entry)", np.ones(sample.true.shape), 4.5)
    arrays = {
        name: np.asarray(a) for name, a in scene.known_arrays(sample.name).items() if name != sample.name
    }
    numeric = {name: a for name, a in arrays.items() if a.dtype.kind in "fc" and a.size <= _LARGEST}
    for name, array in numeric.items():
        yield from _of_one(name, array, sample)
    yield from _of_two(numeric, sample)
    for name, array in arrays.items():
        yield from _counts(name, array, sample)


def _of_one(name: str, array: Array, sample: Sample) -> Iterator[Basis]:
    shape = sample.shape
    if array.shape == shape:
        yield Basis(name, sample.at(array), 5.0)
    elif array.ndim == 2 and array.T.shape == shape:
        yield Basis(f"{name}ᵀ", sample.at(array.T), 5.0)
    elif array.ndim > len(shape) and array.shape[array.ndim - len(shape) :] == shape:
        axes = tuple(range(array.ndim - len(shape)))
        yield Basis(f"sum of {name} over its first axis", sample.at(array.sum(axis=axes)), 5.2)


def _counts(name: str, labels: Array, sample: Sample) -> Iterator[Basis]:
    """How often each class is named, which is what a bias gets from the labels."""
    if len(sample.shape) != 1 or labels.dtype.kind not in "iu" or labels.size < 2:
        return
    if labels.min() >= 0 and labels.max() < sample.shape[0]:
        counts = np.bincount(labels.reshape(-1), minlength=sample.shape[0]).astype(float)
        yield Basis(f"how often each index occurs in {name}", sample.at(counts), 4.8)


def _of_two(arrays: dict[str, Array], sample: Sample) -> Iterator[Basis]:
    """Products over a common first axis, as a linear layer's data give rise to."""
    for left, a in arrays.items():
        for right, b in arrays.items():
            if left == right or a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
                continue
            if (a.shape[1], *b.shape[1:]) == sample.shape:
                yield Basis(f"{left}ᵀ {right}", sample.at(a.T @ b), 5.5)
