"""A gradient that gets something wrong from one part of an output only: a block, a sample, an output."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array, Contributions
from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.indices import describe_indices
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import listing, number

# Contributions agree to this share of the largest, and are wrong beyond so much; between, nothing is said.
_RIGHT, _WRONG = 1e-5, 1e-3
# Before "unexplained", after what explains the entries themselves; an output that is ignored before most.
_COST, _IGNORED = 7.5, 4.8


def contributed(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose the parts of an output from which the gradient gets something wrong."""
    if sample.misshapen:
        return
    for parts in scene.facts.contributions.get(sample.name, ()):
        wrong = _wrong(parts)
        if wrong is None or not wrong.any() or wrong.all():
            continue
        hypothesis = _hypothesis(sample, parts, wrong)
        if hypothesis is not None:
            yield hypothesis


def _wrong(parts: Contributions) -> Array | None:
    """Return which parts are wrong; None where that cannot be told."""
    if not np.isfinite(parts.claimed).all():
        return None
    largest = float(np.abs(np.concatenate([parts.claimed, parts.expected])).max())
    error = np.abs(parts.claimed - parts.expected)
    right = error <= _RIGHT * largest + 4 * parts.noise
    wrong: Array = error > _WRONG * largest + 10 * parts.noise
    return wrong if (right | wrong).all() else None


def _hypothesis(sample: Sample, parts: Contributions, wrong: Array) -> Hypothesis | None:
    what, short = _inside(parts, wrong)
    others = int((~wrong).sum())
    where = _where(parts, wrong)
    if where is None or (short == "other" and wrong.sum() > others):
        return None
    message = f"{sample.name}'s gradient is wrong only in what it gets from {where}: {what}"
    message += f" (of the {wrong.size}, {others} contribute{'s' if others == 1 else ''} rightly)."
    cost = _IGNORED if parts.axis < 0 and short == "nothing" else _COST
    details = {"outputs": list(parts.outputs), "axis": parts.axis, "parts": np.flatnonzero(wrong).tolist()}
    return Hypothesis("partial", message, CERTAIN, cost, details)


def _where(parts: Contributions, wrong: Array) -> str | None:
    """Return the parts as one writes them in Python: "output[:, 4:]"; None where there is no simple way."""
    places = np.flatnonzero(wrong).tolist()
    if parts.axis < 0:
        return listing(parts.outputs[i] for i in places)
    indices = describe_indices(wrong, np.ones_like(wrong), "", "")
    if indices is None:
        return None
    index = str(places) if indices.slice.startswith("[") else indices.slice
    return f"{parts.outputs[0]}[{', '.join([':'] * parts.axis + [index])}]"


def _inside(parts: Contributions, wrong: Array) -> tuple[str, str]:
    """Return what is wrong with the contributions, in a sentence and in a word."""
    said, true = parts.claimed[wrong], parts.expected[wrong]
    largest = float(np.abs(np.concatenate([parts.claimed, parts.expected])).max())
    slack = _RIGHT * largest + 4 * parts.noise[wrong]
    if (np.abs(said) <= slack).all():
        return "nothing arrives from there", "nothing"
    if (np.abs(true) <= slack).all():
        return "something arrives from there, and should not", "idle"
    if (np.abs(said + true) <= slack).all():
        return "it arrives with the wrong sign", "sign"
    ratio = float(said @ true) / float(true @ true)
    if wrong.sum() > 1 and (np.abs(said - ratio * true) <= slack).all():
        return f"it arrives times {number(ratio)}", "scale"
    return "what arrives from there is not what should", "other"
