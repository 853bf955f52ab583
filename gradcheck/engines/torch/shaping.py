"""Operations that move entries about: NumPy's meaning of axes, steps and indices, in PyTorch's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Triple = tuple[int | None, int | None, int | None]


def broadcast_to(a: Tensor, shape: Sequence[int]) -> Tensor:
    """Repeat ``a`` along new axes and axes of size 1."""
    return torch.broadcast_to(a, tuple(shape))


def concatenate(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along an axis."""
    return torch.cat(arrays, axis)


def pad(a: Tensor, width: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Put ``value`` around; PyTorch counts the pairs from the last axis."""
    return functional.pad(a, [n for pair in reversed(width) for n in pair], value=value)


def reshape(a: Tensor, shape: Sequence[int]) -> Tensor:
    """Give the same entries another shape."""
    return torch.reshape(a, tuple(shape))


def take_slice(a: Tensor, slices: Sequence[Triple]) -> Tensor:
    """Slice; PyTorch has no negative steps, so those are taken forward and flipped."""
    index, flipped = [], []
    for axis, triple in enumerate(slices):
        places = range(*slice(*triple).indices(a.shape[axis]))
        if places.step < 0:
            flipped.append(axis)
            places = places[::-1]
        index.append(slice(places.start, places.stop, places.step))
    found = a[tuple(index)]
    return torch.flip(found, flipped) if flipped else found


def stack(*arrays: Tensor, axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return torch.stack(arrays, axis)


def take(a: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Take entries along an axis; an index that comes twice receives both cotangents."""
    return a[(slice(None),) * (axis % a.ndim) + (indices,)]


def transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Permute the axes; reverse them where no order is given."""
    return a.permute(tuple(range(a.ndim))[::-1] if axes is None else tuple(axes))


OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "broadcast_to": broadcast_to,
    "concatenate": concatenate,
    "pad": pad,
    "reshape": reshape,
    "slice": take_slice,
    "stack": stack,
    "take": take,
    "transpose": transpose,
}
