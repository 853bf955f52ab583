"""Wrong exactly where a condition holds: the parameter is negative, a mask is zero, a bound is passed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.inside import inside
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number

# What the agreement of a condition with the wrong entries must be worth, in bits: were wrong entries drawn
# by lot, the chance to hit the condition would be 2 to the minus that. More where more was tried.
_OWN, _FOREIGN, _BOUND, _FITTED = 5.0, 7.0, 3.0, 6.0
# The part being zero, of the wrong sign, ... is evidence of its own.
_NAMED_INSIDE = 2.0
# Bounds that people write, tried before what the caller knows.
_BOUNDS = (0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 6.0)


@dataclass(frozen=True)
class Condition:
    """Words, the mask of the known entries for which they hold, their cost, and the bits that they need."""

    words: str
    mask: Array
    cost: float
    needs: float


def masked(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose each condition that holds for the wrong entries and for no right one."""
    if sample.misshapen or not (sample.told & ~sample.wrong).any() or not sample.wrong.any():
        return
    what = inside(sample, scene, sample.wrong)
    for condition, cells in _conditions(sample, scene):
        if not np.array_equal(condition.mask & sample.told, sample.wrong):
            continue
        if _bits(sample, cells) >= condition.needs - (_NAMED_INSIDE if what else 0.0):
            yield _hypothesis(sample, condition, what)
    yield from _clipped(sample)


def _bits(sample: Sample, cells: int) -> float:
    """Return log2 of the number of ways to choose the wrong ones among the entries that tell.

    ``cells`` is the number of entries that the condition is made of: fewer where it is broadcast.
    """
    told, wrong = int(sample.told.sum()), int(sample.wrong.sum())
    n = min(told, cells)
    k = min(max(round(wrong * n / told), 1), n - 1)
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2) if n > 1 else 0.0


def _hypothesis(sample: Sample, condition: Condition, what: str) -> Hypothesis:
    message = (
        f"{sample.name}'s gradient is wrong exactly where {condition.words} "
        f"({int(sample.wrong.sum())} of {sample.counted})"
    )
    message += f": there it is {what}." if what else "."
    message += " Is the mask or the derivative of a kinked function missing, or on the wrong side?"
    # where it is wrong says less than what the wrong numbers are
    cost = condition.cost + (0.0 if what else 2.6)
    return Hypothesis("masked", message, CERTAIN, cost, {"where": condition.words, "inside": what})


def _conditions(sample: Sample, scene: Scene) -> Iterator[tuple[Condition, int]]:
    """Yield the conditions, and of how many entries each is made."""
    for name, array in scene.known_arrays(sample.name).items():
        at = _labelled(sample, np.asarray(array))
        if at is not None:
            for words, mask in ((f"that in {name}", at), (f"not that in {name}", ~at)):
                yield Condition(f"the index along the last axis is {words}", mask, 3.7, _OWN), at.size
        full = _aligned(np.asarray(array), sample.shape)
        if full is None or full.dtype.kind == "c":
            continue
        x, cells = sample.at(full), int(np.size(array))
        own = name == sample.name or x.dtype.kind == "b"
        cost, needs = (4.0, _OWN) if own else (4.4, _FOREIGN)
        for words, mask in _signs(name, x):
            yield Condition(words, mask, cost, needs), cells
        if x.dtype.kind == "f":
            for words, mask, nice in _thresholds(sample, scene, name, x):
                more = _BOUND if nice else _FITTED
                yield Condition(words, mask, cost + (0.2 if nice else 1.5), needs + more), cells
    if sample.true.dtype.kind == "f" and not scene.facts.linear:
        for words, mask in (("negative", sample.true < 0), ("positive", sample.true > 0)):
            yield Condition(f"the true gradient is {words}", mask, 4.6, _OWN), sample.true.size


def _labelled(sample: Sample, labels: Array) -> Array | None:
    """Return the mask of the known entries that labels, one per row, name; None where these are no labels."""
    if not sample.shape or labels.dtype.kind not in "iu" or labels.shape != sample.shape[:-1]:
        return None
    if labels.size < 2 or labels.max() >= sample.shape[-1]:
        return None
    result: Array = sample.index[-1] == labels[sample.index[:-1]]
    return result


def _aligned(array: Array, shape: tuple[int, ...]) -> Array | None:
    """Broadcast an array to a shape, by its last axes as NumPy does or by its first, as masks often are."""
    if array.size < 2 or array.ndim > len(shape):
        return None
    if array.shape == shape[: array.ndim]:
        array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim))
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        return None


def _signs(name: str, x: Array) -> Iterator[tuple[str, Array]]:
    if x.dtype.kind == "b":
        yield f"{name} is False", ~x
        yield f"{name} is True", x
        return
    yield f"{name} is 0", x == 0
    yield f"{name} is not 0", x != 0
    yield f"{name} is negative", x < 0
    yield f"{name} is positive", x > 0


def _thresholds(sample: Sample, scene: Scene, name: str, x: Array) -> Iterator[tuple[str, Array, bool]]:
    """Yield x > c and |x| > c, c being between the two groups, and whether somebody would write that c."""
    for words, y in ((name, x), (f"|{name}|", np.abs(x))):
        wrong, right = y[sample.wrong], y[sample.told & ~sample.wrong]
        above = bool(wrong.min() > right.max())
        if not above and not wrong.max() < right.min():
            continue
        low, high = (right.max(), wrong.min()) if above else (wrong.max(), right.min())
        bound, at, nice = _bound(float(low), float(high), scene)
        included = at == (high if above else low)
        how = ("at or " if included else "") + ("above" if above else "below")
        yield f"{words} is {how} {bound}", (y >= high) == above, nice


def _bound(low: float, high: float, scene: Scene) -> tuple[str, float, bool]:
    """Return a number from ``low`` to ``high`` in words, itself, and whether somebody would write it."""
    for candidate in _BOUNDS:
        if low <= candidate <= high:
            return number(candidate), candidate, True
    for x, quantity in scene.numbers.items():
        if quantity.named and low <= x <= high:
            return f"{number(x)} ({quantity.words})", x, True
    return f"a bound between {number(low)} and {number(high)}", math.nan, False


def _clipped(sample: Sample) -> Iterator[Hypothesis]:
    """Propose that the gradient itself was cut to an interval."""
    if np.iscomplexobj(sample.said) or np.iscomplexobj(sample.true) or not sample.clear:
        return
    said, true = sample.said[sample.wrong], sample.true[sample.wrong]
    if said.size == 0 or not said.any():
        return
    bound = float(np.abs(said).max())
    cut = np.clip(sample.true, -bound, bound)
    kept = sample.told & ~sample.wrong
    # of numbers that all have one size, nothing tells that they are cut
    if (np.abs(true) < bound).any() or (np.abs(sample.true) + sample.noise >= bound)[kept].any():
        return
    if (np.abs(sample.said - cut) > sample.noise).any():
        return
    if said.size < 2 and number(bound) not in ("1", "5", "10"):
        return
    message = (
        f"{sample.name}'s gradient is cut off at ±{number(bound)} "
        f"({said.size} of {sample.counted}): is it clipped before it is returned?"
    )
    yield Hypothesis(
        "masked", message, CERTAIN, 3.8, {"where": f"|gradient| > {number(bound)}", "inside": "clipped"}
    )
