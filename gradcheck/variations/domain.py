"""What the values of an input have in common by design, kept wherever the input is changed.

A one-hot target, a distribution, a rotation, a mask of zeros and ones, a permutation: a backward pass may use
what they are, and owes nothing to other values. Numbers have such a property by chance only where there are
few of them; so what is seen is believed, and a variation that cannot keep it leaves that input alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Properties are looked for in arrays of up to so many entries, and matrices of up to so many rows.
_ENTRIES, _ROWS = 1_000_000, 256
# Sums of rounded numbers are off by about as many roundings as the root of their count; a few times that.
_ROUNDINGS, _COARSEST = 4.0, 1e-2
# Of so many indices below their number, all are different by chance in a tenth of all cases; so many numbers
# of either sign all have the same one in a quarter.
_PERMUTED, _ONE_SIDED = 4, 3


@dataclass(frozen=True)
class Property:
    """``holds(values, tolerance)``; ``project(changed, original)`` gives values near the changed that do."""

    name: str
    holds: Callable[[Array, float], bool]
    project: Callable[[Array, Array], Array]


def held(a: Array, epsilon: float, bystander: bool = False, singled_out: bool = False) -> list[Property]:
    """Return the properties that values have.

    ``epsilon`` is the spacing of the format that they were given in. ``bystander``: whether nobody
    differentiates for this input, so that its range counts, too. ``singled_out``: whether others beside it
    have numbers of both signs, so that its sign counts where it has one.
    """
    known = [p for p in properties(a, bystander) if p.holds(a, _tolerance(a, epsilon))]
    return known + ([p for p in _of_one_sign() if p.holds(a, 0.0)] if singled_out and not known else [])


def keep(original: Array, changed: Array, known: list[Property], epsilon: float) -> Array | None:
    """Return the changed values with the known properties of the original; None where there are none."""
    if not known:
        return changed
    tolerance = _tolerance(original, epsilon)
    for candidate in _candidates(known, original, changed):
        if all(p.holds(candidate, tolerance) for p in known):
            return candidate
    return original if changed.shape == original.shape else None


def _candidates(known: list[Property], original: Array, changed: Array) -> Iterator[Array]:
    yield changed
    for each in known:
        yield each.project(changed, original)


def _tolerance(a: Array, epsilon: float) -> float:
    longest = max(a.shape, default=1)
    return float(min(_ROUNDINGS * epsilon * max(longest, 4) ** 0.5, _COARSEST))


def properties(a: Array, bystander: bool = False) -> Iterator[Property]:
    """Yield what may be by design in floating-point numbers, the narrowest first."""
    if not 2 <= a.size <= _ENTRIES or not bool(np.isfinite(a).all()):
        return
    axes = [axis for axis in range(-1, -1 - a.ndim, -1) if a.shape[axis] > 1]
    for axis in axes:
        yield Property("one-hot", partial(_is_one_hot, axis), partial(_one_hot, axis))
    yield from _of_levels(a)
    if a.ndim > 1 and max(a.shape[-2:]) <= _ROWS and min(a.shape[-2:]) > 1:
        yield Property("orthonormal", _is_orthonormal, _orthonormal)
        if a.shape[-1] == a.shape[-2]:
            yield Property("positive definite", _is_positive_definite, _positive_definite)
    for axis in axes:
        yield Property("a distribution", partial(_sums_to_one, axis), partial(_distribution, axis))
    if a.ndim > 1:
        yield Property("a distribution", partial(_sums_to_one, None), partial(_distribution, None))
    for axis in axes:
        yield Property("of length one", partial(_is_unit, axis), partial(_unit, axis))
    if a.ndim > 1 and a.shape[-1] == a.shape[-2]:
        yield Property("symmetric", _is_symmetric, lambda c, _: (c + c.swapaxes(-1, -2)) / 2)
    if bystander and a.size >= _ONE_SIDED and float(a.min()) < float(a.max()):
        yield Property("from 0 to 1", _is_share, _as_given_outside(lambda c, _: (c >= 0) & (c <= 1)))
        yield Property("positive", _is_positive, _as_given_outside(lambda c, _: c > 0))
        yield Property("not negative", _is_not_negative, _as_given_outside(lambda c, _: c >= 0))


# Each entry for itself


def _of_one_sign() -> Iterator[Property]:
    """Yield that numbers are positive, or negative: a width, a power, a temperature, a rate of decay.

    Ones are none: what weights are before they have learned anything.
    """
    for name, sign in (("positive", 1.0), ("negative", -1.0)):
        yield Property(name, partial(_has_sign, sign), _as_given_outside(partial(_on_side, sign)))


def _has_sign(sign: float, a: Array, _: float) -> bool:
    return bool(a.size and (sign * a > 0).all() and (a != 1).any())


def _on_side(sign: float, changed: Array, _: Array) -> Array:
    return np.asarray(sign * changed > 0)


def _of_levels(a: Array) -> Iterator[Property]:
    """Yield that all are 0 or 1, or all -1 or 1, where both occur."""
    for low in (0.0, -1.0):
        if bool((a == low).any() and (a == 1).any()):
            yield Property(f"{low:g} or 1", partial(_is_on, low), partial(_nearest, low))


def _is_on(low: float, a: Array, _: float) -> bool:
    return bool(((a == low) | (a == 1)).all())


def _nearest(low: float, changed: Array, original: Array) -> Array:
    """Return the given level where the changed value is none; the nearest where sizes differ."""
    if changed.shape == original.shape:
        return np.where((changed == low) | (changed == 1), changed, original)
    return np.where(changed > (low + 1) / 2, 1.0, low)


def _as_given_outside(inside: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    def project(changed: Array, original: Array) -> Array:
        if changed.shape != original.shape:
            return np.clip(changed, original.min(), original.max())
        return np.where(inside(changed, original), changed, original)

    return project


def _is_share(a: Array, _: float) -> bool:
    return bool((a >= 0).all() and (a <= 1).all())


def _is_positive(a: Array, _: float) -> bool:
    return bool((a > 0).all())


def _is_not_negative(a: Array, _: float) -> bool:
    return bool((a >= 0).all())


# Rows


def _is_one_hot(axis: int, a: Array, _: float) -> bool:
    return bool(((a == 0) | (a == 1)).all() and (a.sum(axis) == 1).all())


def _one_hot(axis: int, changed: Array, _: Array) -> Array:
    chosen = np.expand_dims(changed.argmax(axis), axis)
    result = np.zeros_like(changed)
    np.put_along_axis(result, chosen, 1.0, axis)
    return result


def _sums_to_one(axis: int | None, a: Array, tolerance: float) -> bool:
    return bool((a >= 0).all() and (np.abs(a.sum(axis) - 1) <= tolerance).all())


def _distribution(axis: int | None, changed: Array, original: Array) -> Array:
    """Share out by what is positive; rows without any stay as they were, or become uniform."""
    parts = np.clip(changed, 0, None)
    total = parts.sum(axis, keepdims=True)
    instead = original if changed.shape == original.shape else np.ones_like(changed) / _length(changed, axis)
    return np.where(total > 0, parts / np.where(total > 0, total, 1.0), instead)


def _length(a: Array, axis: int | None) -> int:
    return max(a.size if axis is None else a.shape[axis], 1)


def _is_unit(axis: int, a: Array, tolerance: float) -> bool:
    return bool((np.abs(np.square(a).sum(axis) - 1) <= 2 * tolerance).all())


def _unit(axis: int, changed: Array, original: Array) -> Array:
    norm = np.sqrt(np.square(changed).sum(axis, keepdims=True))
    instead = original if changed.shape == original.shape else np.ones_like(changed)
    whole = np.sqrt(np.square(instead).sum(axis, keepdims=True))
    return np.where(
        norm > 0, changed / np.where(norm > 0, norm, 1.0), instead / np.where(whole > 0, whole, 1)
    )


# Matrices


def _is_orthonormal(a: Array, tolerance: float) -> bool:
    """Whether the columns are orthonormal, or the rows of a wide matrix."""
    tall = a if a.shape[-2] >= a.shape[-1] else a.swapaxes(-1, -2)
    gram = tall.swapaxes(-1, -2) @ tall
    return bool((np.abs(gram - np.eye(tall.shape[-1])) <= 2 * tolerance).all())


def _orthonormal(changed: Array, _: Array) -> Array:
    u, _s, v = np.linalg.svd(changed, full_matrices=False)
    return np.asarray(u @ v)


def _is_symmetric(a: Array, tolerance: float) -> bool:
    off = np.abs(a - a.swapaxes(-1, -2)).max(initial=0) if a.shape[-1] == a.shape[-2] else np.inf
    return bool(off <= tolerance * np.abs(a).max(initial=0))


def _is_positive_definite(a: Array, tolerance: float) -> bool:
    if not _is_symmetric(a, tolerance):
        return False
    values = np.linalg.eigvalsh(a)
    return bool((values[..., 0] > tolerance * values[..., -1]).all())


def _positive_definite(changed: Array, original: Array) -> Array:
    """Lift eigenvalues to the least that was given."""
    values, vectors = np.linalg.eigh((changed + changed.swapaxes(-1, -2)) / 2)
    lifted = np.maximum(values, float(np.linalg.eigvalsh(original).min()))
    kept = (vectors * lifted[..., None, :]) @ vectors.swapaxes(-1, -2)
    return np.asarray((kept + kept.swapaxes(-1, -2)) / 2)


# Integers


def is_permutation(a: Array) -> bool:
    """Whether the last axis holds each number from 0 on once."""
    if a.ndim == 0 or not _PERMUTED <= a.shape[-1] <= _ENTRIES:
        return False
    return bool((np.sort(a, -1) == np.arange(a.shape[-1])).all())


def are_places(a: Array) -> bool:
    """Whether these are places along an axis in order, as offsets and bounds of segments are, from 0 on."""
    return a.ndim == 1 and a.size > 1 and int(a[0]) == 0 and bool((np.diff(a) >= 0).all())


def keep_integers(original: Array, changed: Array) -> Array:
    """Return changed indices, or the original ones where these are a permutation."""
    return original if is_permutation(original) and changed.shape == original.shape else changed


def repeated(a: Array) -> Array:
    """Return indices that are all the same; of bounds of segments the last stays, and its segment has all."""
    same = np.full_like(a, a.reshape(-1)[0])
    if are_places(a):
        same[-1] = a[-1]
    return same


def grown_permutation(a: Array, new: int) -> Array:
    """Return a permutation of more: what is added stays where it is."""
    added = np.broadcast_to(np.arange(a.shape[-1], new, dtype=a.dtype), (*a.shape[:-1], new - a.shape[-1]))
    return np.concatenate([a, added], -1)
