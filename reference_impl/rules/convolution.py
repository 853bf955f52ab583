"""Convolution (cross-correlation, as the field has it) as one matrix product over gathered patches.

For images with any number of axes. With the entries that each window sees gathered into a column
(im2col; Chellapilla et al. 2006), Y = W C, so dL/dW = dL/dY C^T and dL/dC = W^T dL/dY, and the columns'
cotangents are added back to where their entries came from.

Shapes: x (N, channels, *image), w (filters, channels / groups, *window), b (filters,),
output (N, filters, *places). Columns: (groups, channels / groups * window, N * places), so that all samples
go through one product.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reference_impl.rules.axes import add_up
from reference_impl.rules.rule import Array, Cotangents, Inputs, Rule
from reference_impl.rules.windows import PerAxis, Window, inside, padded, parts, wide, window


def _conv1d(x: Array, w: Array, b: Array | None = None, **geometry: Any) -> Array:
    _check_axes(x, w, 1)
    return _convolution(x, w, b, **geometry)


def _conv2d(x: Array, w: Array, b: Array | None = None, **geometry: Any) -> Array:
    _check_axes(x, w, 2)
    return _convolution(x, w, b, **geometry)


def _convolution(
    x: Array,
    w: Array,
    b: Array | None,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    _check_channels(x, w, b, groups)
    sliding = window(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y: Array = np.matmul(_filters(w, groups), _columns(x, sliding, groups))
    y = y.reshape(w.shape[0], x.shape[0], *sliding.output).swapaxes(0, 1)
    return y if b is None else y + b.reshape(-1, *(1 for _ in sliding.output))


def _convolution_vjp(
    cotangent: Array,
    output: Any,
    inputs: Inputs,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Cotangents:
    x, w, *b = inputs
    sliding = window(x.shape[2:], w.shape[2:], stride, padding, dilation)
    places = cotangent.shape[0] * math.prod(sliding.output)
    dy = cotangent.swapaxes(0, 1).reshape(groups, w.shape[0] // groups, places)
    dw = np.matmul(dy, _columns(x, sliding, groups).conj().swapaxes(1, 2)).reshape(w.shape)
    dcolumns = np.matmul(_filters(w, groups).conj().swapaxes(1, 2), dy)
    dx = _add_columns_back(dcolumns, x.shape, sliding)
    return (dx, dw, add_up(dy, axis=2).reshape(-1)) if b else (dx, dw)


def _filters(w: Array, groups: int) -> Array:
    """View the filters as one matrix for each group, a filter in each row."""
    return w.reshape(groups, w.shape[0] // groups, math.prod(w.shape[1:]))


def _columns(x: Array, sliding: Window, groups: int) -> Array:
    """Gather what the window sees at each of its places."""
    n, channels = x.shape[:2]
    size, places = math.prod(sliding.size), math.prod(sliding.output)
    image = padded(x, sliding).swapaxes(0, 1)
    columns = np.empty((channels, size, n, *sliding.output), x.dtype)
    for k, part in enumerate(parts(sliding)):
        columns[:, k] = image[part]
    return columns.reshape(groups, channels // groups * size, n * places)


def _add_columns_back(dcolumns: Array, shape: tuple[int, ...], sliding: Window) -> Array:
    """Add each column's cotangents to the image entries that it was gathered from."""
    n, channels, image = shape[0], shape[1], shape[2:]
    dcolumns = dcolumns.reshape(channels, math.prod(sliding.size), n, *sliding.output)
    dx = np.zeros((channels, n, *wide(sliding, image)), dcolumns.dtype)
    for k, part in enumerate(parts(sliding)):
        dx[part] += dcolumns[:, k]
    return dx[inside(sliding, image)].swapaxes(0, 1)


def _check_axes(x: Array, w: Array, count: int) -> None:
    if x.ndim != count + 2 or w.ndim != count + 2:
        raise ValueError(
            f"Expected x (N, channels, image) and w (filters, channels / groups, window), the image and the "
            f"window with {count} axes, but got shapes {x.shape} and {w.shape}"
        )


def _check_channels(x: Array, w: Array, b: Array | None, groups: int) -> None:
    channels, filters = x.shape[1], w.shape[0]
    if groups < 1 or channels % groups or filters % groups:
        raise ValueError(
            f"Expected groups that divide {channels} channels and {filters} filters but got {groups=}"
        )
    if w.shape[1] * groups != channels:
        raise ValueError(
            f"Expected filters over {channels // groups} channels ({channels} channels in {groups} groups) "
            f"but got w of shape {w.shape}"
        )
    if b is not None and b.shape != (filters,):
        raise ValueError(f"Expected one bias for each of {filters} filters but got b of shape {b.shape}")


CONVOLUTION = (
    Rule("conv1d", _conv1d, _convolution_vjp, (2, 3), keeps_inputs=(0, 1), analytic=True),
    Rule("conv2d", _conv2d, _convolution_vjp, (2, 3), keeps_inputs=(0, 1), analytic=True),
)
