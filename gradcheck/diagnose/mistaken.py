"""A gradient that would be right under another cotangent than the one that arrives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene

# Two directions must agree to this; by chance one pair of numbers does once in a million.
_AGREE, _APART = 1e-6, 1e-4
# A cotangent that loses its end as well has two things wrong with it.
_COST, _HALF = 4.3, 1.2
# A cotangent that is not read at all leaves no number free: before a factor without a name, which costs 3.
_IGNORED = 2.9


def mistaken(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose each cotangent that explains the gradient along every direction that was looked along."""
    for kind, words, claimed, expected, noise in scene.facts.mistaken.get(sample.name, ()):
        size = float(np.abs(claimed).max())
        if size == 0 or not (np.abs(claimed - expected) <= _AGREE * size + 4 * noise).all():
            continue
        if (noise > _APART * size).any():
            continue
        message = f"{sample.name}'s gradient is right for another cotangent: the cotangent {words}."
        cost = _IGNORED if words.startswith("is ignored") else _COST
        cost += _HALF if kind == "permuted" and "zero" in words else 0.0
        yield Hypothesis(kind, message, CERTAIN, cost, {"cotangent": words})
