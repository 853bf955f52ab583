"""Pooling: each window of an image (..., height, width) becomes one number, its largest or its mean.

No window may be all padding, hence padding of at most half the window (as in PyTorch).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule
from reference_impl.rules.windows import PerAxis, Window, inside, padded, parts, wide, window


def _sliding(shape: tuple[int, ...], size: PerAxis, stride: PerAxis | None, padding: PerAxis) -> Window:
    if len(shape) < 2:
        raise ValueError(f"Expected images (..., height, width) but got shape {shape}")
    sliding = window(shape[-2:], size, size if stride is None else stride, padding)
    if any(2 * p > k for p, k in zip(sliding.padding, sliding.size, strict=True)):
        raise ValueError(f"Expected padding of at most half the window {sliding.size} but got {padding=}")
    return sliding


# y = max over the window: the first of its largest entries, in row-major order, takes it all


def _max_pool2d(a: Array, *, size: PerAxis, stride: PerAxis | None = None, padding: PerAxis = 0) -> Array:
    sliding = _sliding(a.shape, size, stride, padding)
    image = padded(a, sliding, -np.inf)
    y = np.full((*a.shape[:-2], *sliding.output), -np.inf, a.dtype)
    for part in parts(sliding):
        np.maximum(y, image[part], out=y)
    return y


def _max_pool2d_vjp(
    cotangent: Array,
    output: Array,
    inputs: Inputs,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
) -> Cotangents:
    (a,) = inputs
    sliding = _sliding(a.shape, size, stride, padding)
    image = padded(a, sliding, -np.inf)
    da = np.zeros(image.shape, cotangent.dtype)
    open_to_winner = np.ones(output.shape, np.bool_)
    for part in parts(sliding):
        wins = (image[part] == output) & open_to_winner
        da[part] += cotangent * wins
        open_to_winner ^= wins
    return (da[inside(sliding, a.shape[-2:])],)


# y = mean over the window, the padding counted as zeros


def _avg_pool2d(a: Array, *, size: PerAxis, stride: PerAxis | None = None, padding: PerAxis = 0) -> Array:
    sliding = _sliding(a.shape, size, stride, padding)
    image = padded(a, sliding)
    y = np.zeros((*a.shape[:-2], *sliding.output), a.dtype)
    for part in parts(sliding):
        y += image[part]
    return y / math.prod(sliding.size)


def _avg_pool2d_vjp(
    cotangent: Array,
    output: Any,
    inputs: Inputs,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
) -> Cotangents:
    (a,) = inputs
    sliding = _sliding(a.shape, size, stride, padding)
    share = cotangent / math.prod(sliding.size)
    da = np.zeros((*a.shape[:-2], *wide(sliding, a.shape[-2:])), cotangent.dtype)
    for part in parts(sliding):
        da[part] += share
    return (da[inside(sliding, a.shape[-2:])],)


POOLING = (
    Rule(
        "max_pool2d",
        _max_pool2d,
        _max_pool2d_vjp,
        keeps_output=True,
        kink="all to the first of the entries that tie, in row-major order",
    ),
    Rule("avg_pool2d", _avg_pool2d, _avg_pool2d_vjp, keeps_inputs=(), analytic=True),
)
