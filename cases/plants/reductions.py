"""Operations that make many entries one, over any axes, and those that normalise along them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from cases.builder import Unsuitable
from cases.operands import Growing, bounded, clear_of_kinks, compatible_shape, logits, operand, weight
from cases.plants.planting import Planting


def _axes(b: Growing, ndim: int) -> dict[str, Any]:
    """Return a choice of axes: all, one from either end, or several; kept or dropped."""
    keepdims = b.choices.boolean(0.3)
    if not ndim or b.choices.boolean(0.3):
        return {"axis": None, "keepdims": keepdims}
    axis = b.choices.integer(-ndim, ndim - 1)
    if ndim > 1 and b.rarely(0.3):
        other = b.choices.integer(0, ndim - 1)
        if other != axis % ndim:
            return {"axis": (axis, other), "keepdims": keepdims}
    return {"axis": axis, "keepdims": keepdims}


def _axis(b: Growing, name: str) -> int:
    ndim = len(b.shape(name))
    return b.choices.integer(-ndim, ndim - 1)


def _prefer_many(b: Growing, entries: int) -> None:
    """Refuse, as a rule, to normalise one entry by itself: the result is a constant."""
    if entries == 1 and b.choices.boolean(0.5 if b.edges else 0.9):
        raise Unsuitable("one entry")


def _sum(b: Growing) -> str:
    a = operand(b)
    return b.apply("sum", a, **_axes(b, len(b.shape(a))))


def _over_entries(operation: str, b: Growing) -> str:
    a = operand(b, nonempty=True)
    return clear_of_kinks(b, operation, a, **_axes(b, len(b.shape(a))))


def _logsumexp(b: Growing) -> str:
    a = logits(b, operand(b, nonempty=True))
    return b.apply("logsumexp", a, **_axes(b, len(b.shape(a))))


def _prod(b: Growing) -> str:
    a = bounded(b, operand(b), 2.0)
    return b.apply("prod", a, **_axes(b, len(b.shape(a))))


def _cumsum(b: Growing) -> str:
    a = operand(b, least=1)
    return b.apply("cumsum", a, axis=_axis(b, a))


def _along(operation: str, b: Growing) -> str:
    a = operand(b, least=1, nonempty=True)
    axis = _axis(b, a)
    _prefer_many(b, b.shape(a)[axis])
    return b.apply(operation, logits(b, a), axis=axis)


def _layer_norm(b: Growing) -> str:
    a = operand(b, least=1, nonempty=True)
    shape = b.shape(a)
    axes = b.choices.integer(1, min(2, len(shape)))
    _prefer_many(b, math.prod(shape[-axes:]))
    gain, bias = weight(b, shape[-axes:]), weight(b, shape[-axes:])
    return clear_of_kinks(b, "layer_norm", a, gain, bias, axes=axes, epsilon=_epsilon(b))


def _batch_norm(b: Growing) -> str:
    a = operand(b, least=2, nonempty=True)
    shape = b.shape(a)
    if b.values[a].size == shape[1]:  # one entry for each channel has no variance
        a = b.apply("concatenate", a, a, axis=0)
    gain, bias = weight(b, shape[1:2]), weight(b, shape[1:2])
    return clear_of_kinks(b, "batch_norm", a, gain, bias, epsilon=_epsilon(b))


def _epsilon(b: Growing) -> float:
    return b.choices.one_of((1e-5, 1e-3, 0.1))


def _dropout(b: Growing) -> str:
    a = operand(b)
    shape = compatible_shape(b, b.shape(a)) if b.rarely(0.2) else b.shape(a)
    mask = b.choices.integers(shape, 0, 2) > 0
    return b.apply("dropout", a, mask=mask, rate=b.choices.one_of((0.5, 0.25, 0.1)))


REDUCTIONS: dict[str, Planting] = {
    **{name: partial(_over_entries, name) for name in ("mean", "max", "min", "norm")},
    **{name: partial(_along, name) for name in ("softmax", "log_softmax")},
    "sum": _sum,
    "prod": _prod,
    "logsumexp": _logsumexp,
    "cumsum": _cumsum,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "dropout": _dropout,
}
