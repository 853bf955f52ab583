"""Sliding a window over an image, seen from the window.

Each position k of the window meets a strided part of the padded image: the entries k, k + stride,
k + 2 stride, ... along each axis. Convolution and pooling read these parts going forward, and add to the
same parts going back, one position after the other; windows may overlap as they like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from reference_impl.rules.rule import Array

PerAxis = int | tuple[int, ...]
Part = tuple[Any, ...]  # an index: an ellipsis, then a slice for each of the image's axes


@dataclass(frozen=True)
class Window:
    """The window's geometry along each of the image's axes.

    ``output`` is the number of places that the window takes, along each axis.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output: tuple[int, ...]


def window(
    image: tuple[int, ...],
    size: PerAxis,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> Window:
    """Work out how a window slides over an image of the given shape.

    Raises:
        ValueError: where a number does not fit the axes or is out of range, or the window does not fit
            into the padded image.
    """
    n = len(image)
    sizes, strides = _per_axis("size", size, n, 1), _per_axis("stride", stride, n, 1)
    paddings, dilations = _per_axis("padding", padding, n, 0), _per_axis("dilation", dilation, n, 1)
    output = tuple(
        (length + 2 * p - d * (k - 1) - 1) // s + 1
        for length, k, s, p, d in zip(image, sizes, strides, paddings, dilations, strict=True)
    )
    if any(places < 1 for places in output):
        raise ValueError(
            f"Expected an image at least as large as the window but got image {image} with padding "
            f"{paddings}, window {sizes} with dilation {dilations}"
        )
    return Window(sizes, strides, paddings, dilations, output)


def _per_axis(name: str, value: PerAxis, count: int, least: int) -> tuple[int, ...]:
    values = (value,) * count if isinstance(value, int) else tuple(value)
    if len(values) != count or any(v < least for v in values):
        raise ValueError(f"Expected {name} as a number or {count} of them, at least {least}, but got {value}")
    return values


def parts(w: Window) -> Iterator[Part]:
    """Yield, for each position of the window in row-major order, the part of the padded image it meets."""
    for position in product(*(range(k) for k in w.size)):
        starts = [p * d for p, d in zip(position, w.dilation, strict=True)]
        slices = (
            slice(start, start + stride * (places - 1) + 1, stride)
            for start, stride, places in zip(starts, w.stride, w.output, strict=True)
        )
        yield (..., *slices)


def inside(w: Window, image: tuple[int, ...]) -> Part:
    """Return where the image lies in the padded image."""
    return (..., *(slice(p, p + n) for p, n in zip(w.padding, image, strict=True)))


def wide(w: Window, image: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the padded image."""
    return tuple(n + 2 * p for n, p in zip(image, w.padding, strict=True))


def padded(a: Array, w: Window, value: float = 0.0) -> Array:
    """Return a with its last axes, the image's, padded on both sides. Unpadded, it is a itself."""
    if not any(w.padding):
        return a
    before, image = a.shape[: -len(w.size)], a.shape[-len(w.size) :]
    result = np.full((*before, *wide(w, image)), value, a.dtype)
    result[inside(w, image)] = a
    return result
