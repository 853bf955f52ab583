"""Matrix products in all their shapes, convolutions and pools in all their geometries."""

from __future__ import annotations

from functools import partial
from typing import Any

from cases.choices import Shape
from cases.operands import Growing, clear_of_kinks, of_shape, operand, weight
from cases.plants.planting import Planting


def _matmul(b: Growing) -> str:
    a = operand(b, least=1)
    if b.choices.boolean(0.3):
        return b.apply("matmul", weight(b, _left_shape(b, b.shape(a))), a)
    return b.apply("matmul", a, weight(b, _right_shape(b, b.shape(a))))


def _right_shape(b: Growing, left: Shape) -> Shape:
    inner, size = left[-1], b.choices.one_of(b.sizes)
    return _one_of(b, (inner, size), (inner,), (*_batch(b, left), inner, size))


def _left_shape(b: Growing, right: Shape) -> Shape:
    inner, size = right[-2] if len(right) > 1 else right[0], b.choices.one_of(b.sizes)
    return _one_of(b, (size, inner), (inner,), (*_batch(b, right), size, inner))


def _one_of(b: Growing, matrix: Shape, vector: Shape, batch: Shape) -> Shape:
    return batch if b.edges and b.choices.boolean() else b.choices.one_of((matrix, vector, batch))


def _batch(b: Growing, other: Shape) -> Shape:
    """Return batch axes that broadcast with those of another operand: the same, of size 1, or a new one."""
    batch = tuple(1 if b.rarely(0.3) else n for n in other[:-2])
    if b.edges:
        batch = tuple(
            b.choices.one_of(b.sizes) if n == 1 == m else m for n, m in zip(other, batch, strict=False)
        )
    return batch if batch or not b.choices.boolean() else (b.choices.one_of(b.sizes),)


def _convolution(operation: str, axes: int, b: Growing) -> str:
    groups = b.choices.one_of((1, 1, 2))
    channels, filters = groups * b.choices.integer(1, 2), groups * b.choices.integer(1, 2)
    window = tuple(b.choices.integer(1, 3) for _ in range(axes))
    dilation = tuple(b.choices.integer(1, 2) for _ in range(axes))
    seen = [d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True)]
    image = tuple(max(n, b.choices.integer(1, 4)) for n in seen)
    x = of_shape(b, (b.choices.integer(1, 2), channels, *image))
    operands = [x, weight(b, (filters, channels // groups, *window))]
    if b.choices.boolean():
        operands.append(weight(b, (filters,)))
    geometry: dict[str, Any] = {
        "stride": _per_axis(b, tuple(b.choices.integer(1, 2) for _ in range(axes))),
        "padding": _per_axis(b, tuple(b.choices.integer(0, 2) for _ in range(axes))),
        "dilation": _per_axis(b, dilation),
    }
    return b.apply(operation, *operands, **geometry, groups=groups)


def _per_axis(b: Growing, numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    """Return one number where it serves every axis."""
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _pool(operation: str, b: Growing) -> str:
    size = tuple(b.choices.integer(1, 3) for _ in range(2))
    image = tuple(max(k, b.choices.integer(1, 5)) for k in size)
    samples = () if b.choices.boolean(0.2) else (b.choices.integer(1, 2),)
    shape = (*samples, b.choices.integer(1, 2), *image)
    geometry: dict[str, Any] = {"size": _per_axis(b, size)}
    if b.choices.boolean():
        geometry["stride"] = _per_axis(b, tuple(b.choices.integer(1, 2) for _ in size))
    if b.choices.boolean(0.3):
        geometry["padding"] = _per_axis(b, tuple(k // 2 for k in size))
    return clear_of_kinks(b, operation, of_shape(b, shape), **geometry)


LINEAR: dict[str, Planting] = {
    "matmul": _matmul,
    "conv1d": partial(_convolution, "conv1d", 1),
    "conv2d": partial(_convolution, "conv2d", 2),
    "max_pool2d": partial(_pool, "max_pool2d"),
    "avg_pool2d": partial(_pool, "avg_pool2d"),
}
