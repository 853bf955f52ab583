"""Parameters that are not what they were before the call."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene


def mutates(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """State who changed the parameter."""
    who = scene.facts.changed.get(sample.name)
    if who is not None:
        yield Hypothesis("mutates", mutates_message(sample.name, who), CERTAIN, 0.0, {"by": who})


def mutates_message(name: str, who: str) -> str:
    """Say that a parameter was changed in place."""
    return (
        f"{name} is changed in place by {who}: a gradient must leave its parameters alone. "
        f"Is an update (-=), or an in-place operation on {name} itself, in it?"
    )
