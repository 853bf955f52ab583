"""Tensors with given strides: a backward pass may be right for one layout only, so layouts are reproduced."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def arrange(value: torch.Tensor, strides: Sequence[int]) -> torch.Tensor:
    """Return a copy of the value with these strides; along strides of 0 its first entry is repeated.

    Where the strides let entries share memory in another way, the copy is contiguous.
    """
    compact, kept = value, list(strides)
    for axis, stride in enumerate(strides):
        if stride == 0 and value.shape[axis] > 1:
            compact, kept[axis] = compact.narrow(axis, 0, 1), 1
    if _overlap(compact.shape, kept):
        return value.clone(memory_format=torch.contiguous_format)
    result = torch.empty_strided(compact.shape, kept, dtype=value.dtype, device=value.device)
    return result.copy_(compact).expand(value.shape)


def _overlap(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether entries may share memory: each stride must step over all that smaller strides reach."""
    reach = 0
    for stride, size in sorted(
        (stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1
    ):
        if stride <= reach:
            return True
        reach += (size - 1) * stride
    return False


def copy(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return a detached copy with the same strides, in memory of its own."""
    source = tensor.detach().resolve_conj().resolve_neg()
    source = source.to(dtype or source.dtype)
    if tensor.layout is not torch.strided or source.numel() == 0:
        return source.clone()
    return arrange(source, tensor.stride())


def moved(point: torch.Tensor, direction: torch.Tensor, t: float) -> torch.Tensor:
    """Return point + t * direction with the strides of the point."""
    value = torch.add(point, direction, alpha=t)
    return value if value.stride() == point.stride() else arrange(value, point.stride())


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether every entry is finite; one reduction in the ordinary case."""
    real = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return bool(torch.isfinite(real.sum())) or bool(torch.isfinite(real).all())
