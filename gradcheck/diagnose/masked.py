"""Wrong exactly where a condition holds: the parameter is negative, a mask is zero, a bound is passed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.hypothesis import CERTAIN, Hypothesis
from gradcheck.diagnose.inside import inside
from gradcheck.diagnose.sample import Sample
from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import number

# Fewer entries than this agree with some condition by accident too easily.
_FEW = 6
_FEW_FOREIGN = 12
# Bounds that people write, tried before what the caller knows.
_BOUNDS = (0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 6.0)


def masked(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    """Propose each condition that holds for the wrong entries and for no right one."""
    if sample.misshapen:
        return
    right = sample.told & ~sample.wrong
    if not right.any() or sample.told.sum() < 3:
        return
    extra = 0.0 if sample.told.sum() >= _FEW else 1.5
    for words, condition, cost in _conditions(sample, scene):
        if np.array_equal(condition & sample.told, sample.wrong):
            yield _hypothesis(sample, scene, words, cost + extra)
    yield from _clipped(sample, right)


def _hypothesis(sample: Sample, scene: Scene, words: str, cost: float) -> Hypothesis:
    what = inside(sample, scene, sample.wrong)
    message = (
        f"{sample.name}'s gradient is wrong exactly where {words} "
        f"({int(sample.wrong.sum())} of {sample.counted})"
    )
    message += f": there it is {what}." if what else "."
    message += " Is the mask or the derivative of a kinked function missing, or on the wrong side?"
    return Hypothesis(
        "masked", message, CERTAIN, cost + (0.0 if what else 0.5), {"where": words, "inside": what}
    )


def _conditions(sample: Sample, scene: Scene) -> Iterator[tuple[str, Array, float]]:
    for name, array in scene.known_arrays(sample.name).items():
        full = _aligned(np.asarray(array), sample.shape)
        if full is None or full.dtype.kind == "c":
            continue
        x = sample.at(full)
        cost = 4.0 if name == sample.name or x.dtype.kind == "b" else 4.4
        cost += 1.5 if name != sample.name and np.size(array) < _FEW_FOREIGN else 0.0
        yield from _signs(name, x, cost)
        if x.dtype.kind == "f":
            yield from _thresholds(sample, scene, name, x, cost)
    if sample.true.dtype.kind == "f":
        yield "the true gradient is negative", sample.true < 0, 4.6
        yield "the true gradient is positive", sample.true > 0, 4.6


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


def _signs(name: str, x: Array, cost: float) -> Iterator[tuple[str, Array, float]]:
    if x.dtype.kind == "b":
        yield f"{name} is False", ~x, cost
        yield f"{name} is True", x, cost
        return
    yield f"{name} is 0", x == 0, cost
    yield f"{name} is not 0", x != 0, cost
    yield f"{name} is negative", x < 0, cost
    yield f"{name} is positive", x > 0, cost


def _thresholds(
    sample: Sample, scene: Scene, name: str, x: Array, cost: float
) -> Iterator[tuple[str, Array, float]]:
    """Conditions x > c and |x| > c, c being a number that somebody would write between the two groups."""
    for words, y in ((name, x), (f"|{name}|", np.abs(x))):
        wrong, right = y[sample.wrong], y[sample.told & ~sample.wrong]
        if min(wrong.size, right.size) < 2:
            continue
        above = bool(wrong.min() > right.max())
        if not above and not wrong.max() < right.min():
            continue
        low, high = (right.max(), wrong.min()) if above else (wrong.max(), right.min())
        bound, more = _bound(float(low), float(high), scene)
        yield f"{words} is {'above' if above else 'below'} {bound}", (y >= high) == above, cost + more


def _bound(low: float, high: float, scene: Scene) -> tuple[str, float]:
    for candidate in _BOUNDS:
        if low <= candidate <= high:
            return number(candidate), 0.2
    for x, quantity in scene.numbers.items():
        if quantity.named and low <= x <= high:
            return f"{number(x)} ({quantity.words})", 0.3
    return f"a bound between {number(low)} and {number(high)}", 1.5


def _clipped(sample: Sample, right: Array) -> Iterator[Hypothesis]:
    """Propose that the gradient itself was cut to an interval."""
    if np.iscomplexobj(sample.said) or np.iscomplexobj(sample.true) or not sample.clear:
        return
    said, true = sample.said[sample.wrong], sample.true[sample.wrong]
    if said.size == 0 or not said.any():
        return
    bound = float(np.abs(said).max())
    cut = np.clip(sample.true, -bound, bound)
    if (np.abs(true) < bound).any() or bound <= float(np.abs(sample.true[right]).max(initial=0.0)):
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
