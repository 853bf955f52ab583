"""What only a second call shows: accumulation, and results that differ from call to call."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number

# Sums in another order differ by this many units in the last place, and nobody minds.
ROUNDING = 1e3


def accumulated(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that each call adds to what the last one left."""
    second = _second(sample, scene)
    if second is None or not sample.finite or not np.isfinite(second).all() or sample.misshapen:
        return
    step = second - sample.claimed
    if differ(sample.claimed, second) and sample.expected.any() and sample.fit(step).exact:
        yield _accumulation(sample.name, "grown by the true gradient")


def repeats(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """State that two calls at the same point gave two gradients, and whether the second is the double."""
    second = _second(sample, scene)
    found = None if second is None else repetition(sample.name, sample.claimed, second)
    if found is not None:
        yield found


def repetition(name: str, first: Array, second: Array) -> Hypothesis | None:
    """Compare the gradients of two calls at the same point; None where they agree."""
    if not differ(first, second):
        return None
    both = (
        np.isfinite(first) & np.isfinite(second) if first.shape == second.shape else np.zeros(1, dtype=bool)
    )
    if both.all() and first.any():
        noise = 1e-6 * float(np.abs(first).max())
        if bool((np.abs(second - 2 * first) <= noise).all()):
            return _accumulation(name, "doubled")
    message = f"{name}'s gradient differs between two calls at the same point"
    details = {}
    if both.any():
        details["largest"] = float(np.abs(first - second)[both].max())
        message += f", by up to {number(details['largest'])}"
    message += ": is something random drawn anew (a dropout mask), or left over from the call before?"
    return Hypothesis("nondeterministic", message, CERTAIN, 0.3, details)


def _accumulation(name: str, growth: str) -> Hypothesis:
    message = (
        f"{name}'s gradient has {growth} on the second call: it accumulates over calls. "
        "Is a buffer added to (+=) that is not set to zero first?"
    )
    return Hypothesis("accumulated", message, CERTAIN, 0.2, {"growth": growth})


def _second(sample: Sample, scene: Scene) -> Array | None:
    second = scene.facts.second_call.get(sample.name)
    if second is None or np.shape(second) != sample.claimed.shape:
        return None
    return np.asarray(second)


def differ(first: Array, second: Array) -> bool:
    """Whether two results of the same call differ by more than the order of a sum can explain."""
    if first.shape != second.shape:
        return True
    if np.array_equal(first, second, equal_nan=first.dtype.kind in "fc" and second.dtype.kind in "fc"):
        return False
    finite = np.isfinite(first)
    if not np.array_equal(finite, np.isfinite(second)):
        return True
    largest = float(np.abs(first[finite]).max(initial=0.0))
    epsilon = float(np.finfo(first.dtype).eps) if first.dtype.kind in "fc" else 2.3e-16
    return bool((np.abs(first - second)[finite] > ROUNDING * epsilon * largest).any())
