"""A term of a backward pass that runs through a sum: that of a mean, a variance, a softmax, a normaliser.

Forgotten, it leaves an error that is constant, or a known profile, along the axis that is summed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene


def lost_sum(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose an error that is constant, or a known profile, along an axis: a sum along it is forgotten.

    The backward passes of a mean, a softmax or a normalisation subtract such terms.
    """
    if sample.misshapen or not sample.clear or not sample.complete or sample.wrong.sum() < 4:
        return
    ndim = len(sample.shape)
    for size in range(1, ndim + 1):
        for axes in itertools.combinations(range(ndim), size):
            if np.prod([sample.shape[axis] for axis in axes]) < 3 or size == ndim > 1:
                continue
            yield from _profiles(sample, axes)


def _profiles(sample: Sample, axes: tuple[int, ...]) -> Iterator[Hypothesis]:
    error = sample.claimed - sample.expected
    along = f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
    for profile in _known_profiles(sample, error, axes):
        question = f"{profile.question} forgotten, or off by a factor?"
        message = f"{sample.name}'s gradient is off by {profile.words} along {along}: {question}"
        fit = sample.fit(sample.claimed - profile.fitted)
        yield Hypothesis("missing-term", message, fit, profile.cost, {"axes": list(axes)})


@dataclass(frozen=True)
class _Profile:
    """What the error may be along the axes, its best fit to the error, and the term that would leave it."""

    words: str
    fitted: Array
    question: str
    cost: float


def _known_profiles(sample: Sample, error: Array, axes: tuple[int, ...]) -> Iterator[_Profile]:
    name, value = sample.name, sample.value
    mean = error.mean(axis=axes, keepdims=True)
    if len(axes) < len(sample.shape):
        what = "is a term that passes through a sum or a mean over it (a mean, a bias, a normaliser)"
        yield _Profile("a number that is the same", mean, what, 5.0)
    if value is None or value.shape != sample.shape or value.dtype.kind == "c":
        return
    centred = _along(error, value - value.mean(axis=axes, keepdims=True), axes)
    yield _Profile(f"a multiple of {name} minus its mean", centred, "is the path through a variance", 6.0)
    if np.prod([sample.shape[axis] for axis in axes]) > 3:
        what = "are the paths through a mean and a variance"
        yield _Profile(f"a constant and a multiple of {name}", mean + centred, what, 6.5)
    what = "is the path through a norm or a mean of squares"
    yield _Profile(f"a multiple of {name}", _along(error, value, axes), what, 5.8)
    soft = np.exp(value - value.max(axis=axes, keepdims=True))
    what = "is the sum in the derivative of softmax (or of a log-sum-exp)"
    yield _Profile(f"a multiple of softmax({name})", _along(error, soft, axes), what, 5.5)


def _along(error: Array, profile: Array, axes: tuple[int, ...]) -> Array:
    """Return the least-squares multiple of a profile within each slice along the axes."""
    size = (profile**2).sum(axis=axes, keepdims=True)
    product = (profile * error).sum(axis=axes, keepdims=True)
    result: Array = profile * np.where(size > 0, product / np.where(size > 0, size, 1), 0)
    return result
