"""A term of a backward pass that runs through a sum: that of a mean, a variance, a softmax, a normaliser.

Forgotten, it leaves an error that is constant, or a known profile, along the axis that is summed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

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
    mean = error.mean(axis=axes, keepdims=True)
    if len(axes) < len(sample.shape):
        message = (
            f"{sample.name}'s gradient is off by a number that is the same along {along}: "
            "is a term that passes through a sum or a mean over it (a mean, a bias, a normaliser) forgotten?"
        )
        yield Hypothesis(
            "missing-term", message, sample.fit(sample.claimed - mean), 5.0, {"axes": list(axes)}
        )
    value = sample.value
    if value is None or value.shape != sample.shape or value.dtype.kind == "c":
        return
    centred = value - value.mean(axis=axes, keepdims=True)
    fitted = _along(error, centred, axes)
    message = (
        f"{sample.name}'s gradient is off by a multiple of {sample.name} minus its mean along {along}: "
        "is the path through a variance forgotten?"
    )
    yield Hypothesis("missing-term", message, sample.fit(sample.claimed - fitted), 6.0, {"axes": list(axes)})
    both = error.mean(axis=axes, keepdims=True) + fitted
    message = (
        f"{sample.name}'s gradient is off by a constant and a multiple of {sample.name} along {along}: "
        "are the paths through a mean and a variance forgotten?"
    )
    fit = sample.fit(sample.claimed - both)
    if np.prod([sample.shape[axis] for axis in axes]) > 3:
        yield Hypothesis("missing-term", message, fit, 6.5, {"axes": list(axes)})
    soft = np.exp(value - value.max(axis=axes, keepdims=True))
    message = (
        f"{sample.name}'s gradient is off by a multiple of softmax({sample.name}) along {along}: "
        "is the sum in the derivative of softmax (or of a log-sum-exp) forgotten?"
    )
    fit = sample.fit(sample.claimed - _along(error, soft, axes))
    yield Hypothesis("missing-term", message, fit, 5.5, {"axes": list(axes)})


def _along(error: Array, profile: Array, axes: tuple[int, ...]) -> Array:
    """Return the least-squares multiple of a profile within each slice along the axes."""
    size = (profile**2).sum(axis=axes, keepdims=True)
    product = (profile * error).sum(axis=axes, keepdims=True)
    result: Array = profile * np.where(size > 0, product / np.where(size > 0, size, 1), 0)
    return result
