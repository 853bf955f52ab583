"""Operations that make many entries one, along any axes, with those axes kept or dropped."""

from __future__ import annotations

from typing import Any

from reference_impl.rules.axes import Axis, add_up, spread
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule

# y = sum a:  every entry counts once


def _sum(a: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return add_up(a, axis=axis, keepdims=keepdims)


def _sum_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, axis: Axis = None, keepdims: bool = False
) -> Cotangents:
    (a,) = inputs
    return (spread(cotangent, a.shape, axis),)


REDUCTIONS = (Rule("sum", _sum, _sum_vjp, keeps_inputs=(), analytic=True),)
