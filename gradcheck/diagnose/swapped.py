"""The gradient of another parameter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.hypothesis import Fit, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import shape_text


def swapped(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose that the claimed gradient is another parameter's true one, and whether they are exchanged."""
    if not sample.claimed.any():
        return
    for other in scene.samples.values():
        if other.name == sample.name or not _is(sample, other):
            continue
        back = _is(other, sample) and bool(other.claimed.any())
        message = (
            f"The gradients of {sample.name} and {other.name} are exchanged."
            if back
            else f"{sample.name}'s gradient is the true gradient of {other.name}."
        )
        if sample.misshapen:
            message += f" (Its shape is {shape_text(sample.claimed.shape)}, not {shape_text(sample.shape)}.)"
        fit = Fit(1.0, True, 1.0)
        yield Hypothesis("swapped", message, fit, 2.8, {"with": other.name, "mutual": back})


def _is(one: Sample, other: Sample) -> bool:
    """Whether what is claimed for one is the true gradient of the other, which is not zero."""
    if one.claimed.shape != other.shape or not other.known.any():
        return False
    if np.linalg.norm(other.true) <= 50 * np.linalg.norm(other.noise):
        return False
    return bool((np.abs(other.at(one.claimed) - other.true) <= other.noise).all())
