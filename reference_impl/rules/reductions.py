"""Operations that make many entries one, along any axes, with those axes kept or dropped.

``axis`` is None (all axes), a number or a tuple, negative ones counted from the back, as in NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reference_impl.rules.axes import (
    Axis,
    add_up,
    keep_axes,
    largest,
    multiply_up,
    positions,
    smallest,
    spread,
)
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule

# y = sum a:  every entry counts once


def _sum(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return add_up(a, axis=axis, keepdims=keepdims)


def _sum_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, axis: Axis = None, keepdims: bool = False
) -> Cotangents:
    (a,) = inputs
    return (spread(cotangent, a.shape, axis),)


# y = sum a / n


def _mean(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return add_up(a, axis=axis, keepdims=keepdims) / _count(a.shape, axis)


def _mean_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, axis: Axis = None, keepdims: bool = False
) -> Cotangents:
    (a,) = inputs
    return (spread(cotangent / max(_count(a.shape, axis), 1), a.shape, axis),)


def _count(shape: tuple[int, ...], axis: Axis) -> int:
    return math.prod(shape) if axis is None else math.prod(shape[i] for i in positions(axis, len(shape)))


# y = prod a:  dy/da_i is the product of the others, which is not y / a_i where a_i = 0


def _prod(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return multiply_up(a, axis=axis, keepdims=keepdims)


def _prod_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, axis: Axis = None, keepdims: bool = False
) -> Cotangents:
    (a,) = inputs
    return (spread(cotangent, a.shape, axis) * _product_of_others(a, axis).conj(),)


def _product_of_others(a: Array, axis: Axis) -> Array:
    """For each entry the product of all before it and all after it along the reduced axes."""
    reduced = positions(axis, a.ndim)
    order = tuple(i for i in range(a.ndim) if i not in reduced) + reduced
    last = a.transpose(order)
    rows = last.reshape(-1, _count(a.shape, axis)) if a.size else last.reshape(0, 1)
    before, after = np.ones_like(rows), np.ones_like(rows)
    np.multiply.accumulate(rows[:, :-1], axis=1, out=before[:, 1:])
    np.multiply.accumulate(rows[:, :0:-1], axis=1, out=after[:, -2::-1])
    return (before * after).reshape(last.shape).transpose(sorted(range(a.ndim), key=order.__getitem__))


# y = max a:  the largest entry takes it all; where several tie, they share evenly


def _max(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return largest(a, axis=axis, keepdims=keepdims)


def _min(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return smallest(a, axis=axis, keepdims=keepdims)


def _extremum_vjp(
    cotangent: Array, output: Array, inputs: Inputs, *, axis: Axis = None, keepdims: bool = False
) -> Cotangents:
    (a,) = inputs
    winners = a == keep_axes(output, a.shape, axis)
    share = cotangent / add_up(winners, axis=axis, keepdims=keepdims, dtype=cotangent.dtype)
    return (spread(share, a.shape, axis) * winners,)


# y = log sum e^a = m + log sum e^(a - m) for any m, and with the largest entry as m nothing overflows.
# dy/da = e^a / sum e^a = e^(a - y)


def _logsumexp(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    shift = largest(a, axis=axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(shift), shift, 0)  # infinite where all entries are -inf, or there are none
    result: Array = np.log(add_up(np.exp(a - shift), axis=axis, keepdims=True)) + shift
    return result if keepdims else result.squeeze(axis)


def _logsumexp_vjp(
    cotangent: Array, output: Array, inputs: Inputs, *, axis: Axis = None, keepdims: bool = False
) -> Cotangents:
    (a,) = inputs
    return (spread(cotangent, a.shape, axis) * np.exp(a - keep_axes(output, a.shape, axis)),)


# y = sqrt(sum a^2):  dy/da = a / y


def _norm(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    result: Array = np.sqrt(add_up(a * a, axis=axis, keepdims=keepdims))
    return result


def _norm_vjp(
    cotangent: Array, output: Array, inputs: Inputs, *, axis: Axis = None, keepdims: bool = False
) -> Cotangents:
    (a,) = inputs
    safe = np.where(output == 0, 1, output)  # there a = 0 too, and 0 / 1 is the subgradient wanted
    return (spread(cotangent / safe, a.shape, axis) * a,)


# y_i = a_1 + ... + a_i:  a_j reaches every y_i from i = j on, so the cotangents are summed from the end


def _cumsum(a: Array, *, axis: int = 0) -> Array:
    positions(axis, a.ndim)
    result: Array = np.add.accumulate(a, axis=axis)
    return result


def _cumsum_vjp(cotangent: Array, output: Any, inputs: Inputs, *, axis: int = 0) -> Cotangents:
    backwards = (slice(None),) * (axis % cotangent.ndim) + (slice(None, None, -1),)
    return (np.add.accumulate(cotangent[backwards], axis=axis)[backwards],)


REDUCTIONS = (
    Rule("sum", _sum, _sum_vjp, keeps_inputs=(), analytic=True),
    Rule("mean", _mean, _mean_vjp, keeps_inputs=(), analytic=True),
    Rule("prod", _prod, _prod_vjp, analytic=True),
    Rule("max", _max, _extremum_vjp, keeps_output=True, kink="shared evenly among the entries that tie"),
    Rule("min", _min, _extremum_vjp, keeps_output=True, kink="shared evenly among the entries that tie"),
    Rule("logsumexp", _logsumexp, _logsumexp_vjp, keeps_output=True),
    Rule("norm", _norm, _norm_vjp, keeps_output=True, kink="0 where all entries are 0"),
    Rule("cumsum", _cumsum, _cumsum_vjp, keeps_inputs=(), analytic=True),
)
