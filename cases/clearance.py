"""How far a computation is from where its derivative is not one number, or is a very large one.

A function with a kink has two one-sided derivatives there, and beside it a finite difference of too large a
step sees both. Ordinary cases keep their distance; the family "kink" goes there on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from cases.choices import Array, Shape

Attributes = Mapping[str, Any]
Distance = Callable[[Sequence[Array], Attributes], Array]

# What operands keep from a kink or a tie, against values of about 1.
MARGIN = 1e-3
# What is divided by (a norm, a standard deviation, a denominator): below, derivatives grow beyond reason.
LEAST_DIVISOR = 0.2


def is_clear(operation: str, inputs: Sequence[Array], attributes: Attributes) -> bool:
    """Return whether an operation's inputs keep their distance from each of its kinks and poles."""
    if operation in _KINKS:
        distance = kink_distance(operation, inputs, attributes)
        return not distance.size or bool(distance.min() >= MARGIN)
    if operation in _DIVISORS:
        divisor = _DIVISORS[operation](inputs, attributes)
        return not divisor.size or bool(divisor.min() >= LEAST_DIVISOR)
    return True


def kink_distance(operation: str, inputs: Sequence[Array], attributes: Attributes) -> Array:
    """Return how far the operands of an operation with a kink are from it.

    Of the broadcast operands' shape where it works on each entry by itself; elsewhere an entry for each
    group in which there can be a tie.
    """
    return _KINKS[operation](inputs, attributes)


def _size(a: Array) -> Array:
    size: Array = np.abs(a)
    return size


def _from_zero(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return _size(inputs[0])


def _from_bounds(inputs: Sequence[Array], attributes: Attributes) -> Array:
    bounds = [attributes.get(name) for name in ("minimum", "maximum")]
    return np.stack([np.abs(inputs[0] - bound) for bound in bounds if bound is not None])


def _from_each_other(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return _size(inputs[0] - inputs[1])


def _from_delta(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return _size(_size(inputs[0] - inputs[1]) - attributes.get("delta", 1.0))


def _from_hinge(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return _size(1 - inputs[1] * inputs[0])


def _lead(groups: Array) -> Array:
    """By how much the largest entry along the last axis leads; empty where it is alone or there is none."""
    if groups.shape[-1] < 2 or not groups.size:
        return np.empty(0)
    ordered = np.partition(groups, (-2, -1), axis=-1)
    lead: Array = ordered[..., -1] - ordered[..., -2]
    return lead


def _lead_along_axes(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return _lead(grouped(inputs[0], attributes.get("axis")))


def _lead_of_least(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return _lead(-grouped(inputs[0], attributes.get("axis")))


def _lead_in_windows(inputs: Sequence[Array], attributes: Attributes) -> Array:
    size, stride, padding = (pair(attributes.get(name)) for name in ("size", "stride", "padding"))
    size = size or (1, 1)
    (up, left), steps = padding or (0, 0), stride or size
    a = inputs[0]
    edges = [(0, 0)] * (a.ndim - 2) + [(up, up), (left, left)]
    wide = np.pad(a, edges, constant_values=-1e9)
    windows = np.lib.stride_tricks.sliding_window_view(wide, size, (-2, -1))
    windows = windows[..., :: steps[0], :: steps[1], :, :]
    return _lead(windows.reshape(*windows.shape[:-2], -1))


def _norms(inputs: Sequence[Array], attributes: Attributes) -> Array:
    groups = grouped(inputs[0], attributes.get("axis"))
    norms: Array = np.sqrt(np.square(groups).sum(axis=-1))
    return norms


def _layer_deviations(inputs: Sequence[Array], attributes: Attributes) -> Array:
    a = inputs[0]
    return _deviations(grouped(a, tuple(range(a.ndim - attributes.get("axes", 1), a.ndim))))


def _batch_deviations(inputs: Sequence[Array], attributes: Attributes) -> Array:
    a = inputs[0]
    return _deviations(grouped(a, (0, *range(2, a.ndim))))


def _deviations(groups: Array) -> Array:
    """Return the standard deviations; an entry by itself is standardised to 0 and divided by nothing."""
    return groups.std(axis=-1) if groups.shape[-1] > 1 and groups.size else np.empty(0)


def _divisor(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return _size(inputs[-1])


def _signed(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return np.real(inputs[0])  # of complex numbers: the distance from the cut, which is to their left


def _signed_from_one(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return 1 + np.real(inputs[0])


def grouped(a: Array, axis: int | Shape | None) -> Array:
    """View an array with the entries that a reduction over ``axis`` brings together on one last axis."""
    if axis is None:
        return a.reshape(-1)
    axes = sorted(i % a.ndim for i in ((axis,) if isinstance(axis, int) else axis))
    kept = [i for i in range(a.ndim) if i not in axes]
    shape = [a.shape[i] for i in kept]
    return a.transpose(kept + axes).reshape(*shape, math.prod(a.shape[i] for i in axes))


def pair(value: int | tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return one number per image axis where one number was given for both."""
    return (value, value) if isinstance(value, int) else value


_KINKS: Mapping[str, Distance] = MappingProxyType(
    {
        "relu": _from_zero,
        "leaky_relu": _from_zero,
        "elu": _from_zero,
        "abs": _from_zero,
        "clip": _from_bounds,
        "maximum": _from_each_other,
        "minimum": _from_each_other,
        "absolute_error": _from_each_other,
        "huber": _from_delta,  # smooth once only
        "hinge": _from_hinge,
        "max": _lead_along_axes,
        "min": _lead_of_least,
        "max_pool2d": _lead_in_windows,
    }
)
_DIVISORS: Mapping[str, Distance] = MappingProxyType(
    {
        "divide": _divisor,
        "reciprocal": _divisor,
        "sqrt": _signed,
        "log": _signed,
        "log1p": _signed_from_one,
        "power": _signed,
        "norm": _norms,
        "layer_norm": _layer_deviations,
        "batch_norm": _batch_deviations,
    }
)
# Operations with a kink or a tie, as opposed to those whose domain ends.
KINKED = frozenset(_KINKS)
