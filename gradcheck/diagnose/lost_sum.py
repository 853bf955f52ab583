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

_CONSTANT = "is a term that passes through a sum or a mean over it (a mean, a bias, a normaliser)"
_SUM = "is a term that passes through a sum (of a softmax, a normalisation)"
_SOFTMAX = "is the sum in the derivative of softmax (or of a log-sum-exp)"
_NORM = "is the path through a norm or a mean of squares"
_VARIANCE = "is the path through a variance"
_MEAN_AND_VARIANCE = "are the paths through a mean and a variance"


@dataclass(frozen=True)
class Profile:
    """What an error may be a multiple of within each slice; ``centred``: a constant may come on top."""

    words: str
    array: Array
    question: str
    cost: float
    centred: bool = False


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
            yield from _profiles(sample, scene, axes)


def _profiles(sample: Sample, scene: Scene, axes: tuple[int, ...]) -> Iterator[Hypothesis]:
    error = sample.claimed - sample.expected
    along = f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
    details = {"axes": list(axes)}

    def proposal(off_by: str, question: str, fitted: Array, cost: float) -> Hypothesis:
        message = f"{sample.name}'s gradient is off by {off_by} along {along}: {question}"
        message += " forgotten, or off by a factor?"
        return Hypothesis("missing-term", message, sample.fit(sample.claimed - fitted), cost, details)

    constant = error.mean(axis=axes, keepdims=True)
    if len(axes) < len(sample.shape):
        yield proposal("a number that is the same", _CONSTANT, constant, 5.0)
    for profile in _known(sample, scene, axes):
        fitted = _along(error, profile.array, axes)
        yield proposal(f"a multiple of {profile.words}", profile.question, fitted, profile.cost)
        if profile.centred and np.prod([sample.shape[axis] for axis in axes]) > 3:
            words = f"a constant and a multiple of {sample.name}"
            yield proposal(words, _MEAN_AND_VARIANCE, constant + fitted, 6.5)


def _known(sample: Sample, scene: Scene, axes: tuple[int, ...]) -> Iterator[Profile]:
    """Yield what such terms are made of: the argument itself, its softmax, the result of the operation."""
    for name, array in scene.facts.arrays.items():
        if array.shape == sample.shape and array.dtype.kind == "f":
            yield Profile(name, np.asarray(array), _SUM, 5.8)
    value = sample.value
    if value is None or value.shape != sample.shape or value.dtype.kind == "c":
        return
    name = sample.name
    soft = np.exp(value - value.max(axis=axes, keepdims=True))
    yield Profile(f"softmax({name})", soft, _SOFTMAX, 5.5)
    yield Profile(name, value, _NORM, 5.6)
    centred = value - value.mean(axis=axes, keepdims=True)
    yield Profile(f"{name} minus its mean", centred, _VARIANCE, 6.0, centred=True)


def _along(error: Array, profile: Array, axes: tuple[int, ...]) -> Array:
    """Return the least-squares multiple of a profile within each slice along the axes."""
    size = (profile**2).sum(axis=axes, keepdims=True)
    product = (profile * error).sum(axis=axes, keepdims=True)
    result: Array = profile * np.where(size > 0, product / np.where(size > 0, size, 1), 0)
    return result
