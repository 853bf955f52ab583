"""Nothing flows back: the claimed gradient is zero, or there is none."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number


def severed(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that the path from the parameter to the loss is cut in the backward pass."""
    if not sample.missing and (sample.misshapen or sample.claimed.any()):
        return
    largest = float(abs(sample.true).max(initial=0.0))
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
