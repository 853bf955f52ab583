"""Operations that only move entries about. Backward, each cotangent goes back to where its entry came from.

An entry that was used several times gets the sum; one that was not used gets 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reference_impl.rules.axes import unbroadcast
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule

Triple = tuple[int | None, int | None, int | None]


def _transpose(a: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    return a.transpose(axes)


def _transpose_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, axes: tuple[int, ...] | None = None
) -> Cotangents:
    if axes is None:
        return (cotangent.transpose(),)
    source = [i % len(axes) for i in axes]
    return (cotangent.transpose(sorted(range(len(axes)), key=source.__getitem__)),)


def _reshape(a: Array, *, shape: tuple[int, ...]) -> Array:
    return a.reshape(shape)


def _reshape_vjp(cotangent: Array, output: Any, inputs: Inputs, *, shape: tuple[int, ...]) -> Cotangents:
    (a,) = inputs
    return (cotangent.reshape(a.shape),)


def _broadcast_to(a: Array, *, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(a, shape)


def _broadcast_to_vjp(cotangent: Array, output: Any, inputs: Inputs, *, shape: tuple[int, ...]) -> Cotangents:
    (a,) = inputs
    return (unbroadcast(cotangent, a.shape),)


def _concatenate(*arrays: Array, axis: int = 0) -> Array:
    return np.concatenate(arrays, axis)


def _concatenate_vjp(cotangent: Array, output: Any, inputs: Inputs, *, axis: int = 0) -> Cotangents:
    before: tuple[Any, ...] = (slice(None),) * (axis % cotangent.ndim)
    parts, start = [], 0
    for a in inputs:
        stop = start + a.shape[axis]
        parts.append(cotangent[(*before, slice(start, stop))])
        start = stop
    return tuple(parts)


def _stack(*arrays: Array, axis: int = 0) -> Array:
    return np.stack(arrays, axis)


def _stack_vjp(cotangent: Array, output: Any, inputs: Inputs, *, axis: int = 0) -> Cotangents:
    before: tuple[Any, ...] = (slice(None),) * (axis % cotangent.ndim)
    return tuple(cotangent[(*before, i)] for i in range(len(inputs)))


def _slice(a: Array, *, slices: tuple[Triple, ...]) -> Array:
    return a[tuple(slice(*triple) for triple in slices)]


def _slice_vjp(cotangent: Array, output: Any, inputs: Inputs, *, slices: tuple[Triple, ...]) -> Cotangents:
    (a,) = inputs
    da = np.zeros(a.shape, cotangent.dtype)
    da[tuple(slice(*triple) for triple in slices)] = cotangent
    return (da,)


def _take(a: Array, *, indices: Array, axis: int = 0) -> Array:
    result: Array = a.take(indices, axis)
    return result


def _take_vjp(cotangent: Array, output: Any, inputs: Inputs, *, indices: Array, axis: int = 0) -> Cotangents:
    (a,) = inputs
    da = np.zeros(a.shape, cotangent.dtype)
    source = (
        np.arange(da.size).reshape(a.shape).take(indices, axis)
    )  # where each entry of the output came from
    np.add.at(da.reshape(-1), source.reshape(-1), cotangent.reshape(-1))
    return (da,)


def _pad(a: Array, *, width: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    if len(width) != a.ndim or any(n < 0 for pair in width for n in pair):
        raise ValueError(
            f"Expected a pair (before, after) of counts for each of {a.ndim} axes but got {width=}"
        )
    padded = np.full([n + sum(pair) for n, pair in zip(a.shape, width, strict=True)], value, a.dtype)
    padded[_inside(a.shape, width)] = a
    return padded


def _pad_vjp(
    cotangent: Array, output: Any, inputs: Inputs, *, width: tuple[tuple[int, int], ...], value: float = 0.0
) -> Cotangents:
    (a,) = inputs
    return (cotangent[_inside(a.shape, width)],)


def _inside(shape: tuple[int, ...], width: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, width, strict=True))


SHAPING = (
    Rule("transpose", _transpose, _transpose_vjp, keeps_inputs=(), analytic=True),
    Rule("reshape", _reshape, _reshape_vjp, keeps_inputs=(), analytic=True),
    Rule("broadcast_to", _broadcast_to, _broadcast_to_vjp, keeps_inputs=(), analytic=True),
    Rule("concatenate", _concatenate, _concatenate_vjp, (1, None), keeps_inputs=(), analytic=True),
    Rule("stack", _stack, _stack_vjp, (1, None), keeps_inputs=(), analytic=True),
    Rule("slice", _slice, _slice_vjp, keeps_inputs=(), analytic=True),
    Rule("take", _take, _take_vjp, keeps_inputs=(), analytic=True),
    Rule("pad", _pad, _pad_vjp, keeps_inputs=(), analytic=True),
)
