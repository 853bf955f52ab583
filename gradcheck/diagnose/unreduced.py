"""Broadcasting undone wrongly: a sum over the broadcast axes is forgotten, or there is one too many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import axes_words, shape_text

_REDUCTIONS: dict[str, Callable[..., Array]] = {"sum": np.sum, "mean": np.mean}
_MOST_AXES = 6


def unreduced(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose a missing reduction of a gradient that is too large, or one too many."""
    if sample.claimed.ndim > _MOST_AXES or not sample.claimed.any():
        return
    if sample.misshapen:
        yield from _too_large(sample)
        yield from _too_small(sample)
    elif sample.complete and sample.clear and sample.expected.size > 2:
        yield from _too_uniform(sample)


def _axes_of(ndim: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, ndim + 1):
        yield from itertools.combinations(range(ndim), size)


def _too_large(sample: Sample) -> Iterator[Hypothesis]:
    """Propose that the cotangent of the broadcast result was passed on as it is."""
    for axes in _axes_of(sample.claimed.ndim):
        for words, reduce in _REDUCTIONS.items():
            repaired = reduce(sample.claimed, axis=axes)
            if repaired.size != sample.expected.size or repaired.size == sample.claimed.size:
                continue
            what = "summed" if words == "sum" else "averaged"
            message = (
                f"{sample.name}'s gradient has shape {shape_text(sample.claimed.shape)}; {what} over "
                f"{axes_words(axes)} it is the true gradient, of shape {shape_text(sample.shape)}: "
                f"is the {words} over the broadcast {axes_words(axes).split()[0]} forgotten?"
            )
            details = {"axes": list(axes), "reduction": words}
            yield Hypothesis("unreduced", message, sample.fit(repaired.reshape(sample.shape)), 1.5, details)


def _too_small(sample: Sample) -> Iterator[Hypothesis]:
    """Propose a sum too many."""
    if not sample.complete:
        return
    for axes in _axes_of(len(sample.shape)):
        for words, reduce in _REDUCTIONS.items():
            reduced = reduce(sample.expected, axis=axes)
            if reduced.size in (0, sample.expected.size) or reduced.size != sample.claimed.size:
                continue
            if not np.allclose(
                sample.claimed.reshape(reduced.shape), reduced, rtol=1e-6, atol=float(sample.spread.max())
            ):
                continue
            message = (
                f"{sample.name}'s gradient has shape {shape_text(sample.claimed.shape)} and is the {words} "
                f"of the true one over {axes_words(axes)}: is there a {words} too many?"
            )
            fit = sample.fit(sample.expected)
            yield Hypothesis("unreduced", message, fit, 1.6, {"axes": list(axes), "reduction": words})


def _too_uniform(sample: Sample) -> Iterator[Hypothesis]:
    """Propose a reduction too far, broadcast back: constant along axes, the sum or mean of the truth."""
    for axes in _axes_of(len(sample.shape)):
        spread = np.ptp(sample.claimed, axis=axes) if sample.claimed.dtype.kind == "f" else np.array(np.inf)
        if (spread > sample.spread.max()).any():
            continue
        for words, reduce in _REDUCTIONS.items():
            reduced = reduce(sample.expected, axis=axes, keepdims=True)
            fits = np.abs(sample.claimed - reduced) <= sample.spread * max(1, sample.expected.size)
            if not fits.all() or np.abs(reduced).max() <= 50 * sample.spread.max():
                continue
            message = (
                f"{sample.name}'s gradient is constant along {axes_words(axes)}, and is the {words} of the "
                f"true one over it: is there a {words} too many?"
            )
            fit = sample.fit(sample.expected)
            yield Hypothesis("unreduced", message, fit, 3.0, {"axes": list(axes), "reduction": words})
