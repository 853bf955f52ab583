"""A gradient whose shape is not the parameter's."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import shape_text


def shape(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """State the wrong shape, and what it looks like."""
    if sample.misshapen:
        given, wanted = tuple(sample.claimed.shape), sample.shape
        message = shape_message(sample.name, given, wanted)
        yield Hypothesis("shape", message, CERTAIN, 2.9, {"claimed": list(given), "expected": list(wanted)})


def shape_message(name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Say what is wrong with a gradient of shape ``given`` for a parameter of shape ``wanted``."""
    start = f"{name} has shape {shape_text(wanted)}, its gradient {shape_text(given)}"
    return f"{start}: {_guess(given, wanted)}" if _guess(given, wanted) else f"{start}."


def _guess(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(given) == len(wanted) > 1 and given == wanted[::-1]:
        return "is it transposed?"
    if sorted(given) == sorted(wanted) and len(given) > 1:
        return "are its axes in another order?"
    if _without_ones(given) == _without_ones(wanted):
        return "the same but for axes of length 1; is a keepdims or a reshape missing?"
    if math.prod(given) == math.prod(wanted):
        return "the same number of entries; is a reshape missing?"
    if len(given) >= len(wanted) and _broadcasts(wanted, given):
        return "the parameter is broadcast to that shape; is the sum over the broadcast axes forgotten?"
    if _broadcasts(given, wanted):
        return "is it summed over an axis too many?"
    return ""


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other."""
    if len(small) > len(large):
        return False
    return all(a in (1, b) for a, b in zip(small[::-1], large[::-1], strict=False))
