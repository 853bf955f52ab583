"""Nothing flows back: the claimed gradient is zero, or there is none."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number

# A claimed gradient this much smaller than the true one is what rounding leaves of zero.
_ROUNDING = 1e-12


def severed(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that the path from the parameter to the loss is cut in the backward pass."""
    largest = float(abs(sample.true).max(initial=0.0))
    if not sample.missing and (sample.misshapen or sample.claimed.any()):
        yield from _cancelled(sample, largest)
        return
    what = (
        f"No gradient was given for {sample.name}" if sample.missing else f"{sample.name}'s gradient is zero"
    )
    yield Hypothesis(
        "severed",
        f"{what}, but the loss depends on it (true gradient up to {number(largest)}): "
        "is it left out of the backward pass, or was a path cut on the way?",
        CERTAIN,
        0.0,
        {"largest_expected": largest, "missing": sample.missing},
    )


def _cancelled(sample: Sample, largest: float) -> Iterator[Hypothesis]:
    """Propose that the terms of a sum cancel, as a softmax's errors do over the classes."""
    said = float(abs(sample.said).max(initial=0.0))
    if sample.misshapen or not sample.clear or not said < _ROUNDING * largest:
        return
    message = (
        f"{sample.name}'s gradient is zero up to rounding (at most {number(said)}), but the true one is "
        f"up to {number(largest)}: is a sum taken over the wrong axis, along which the terms cancel?"
    )
    yield Hypothesis("severed", message, CERTAIN, 0.0, {"largest_expected": largest, "missing": False})
