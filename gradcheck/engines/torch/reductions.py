"""Reductions and normalisations: NumPy's axes (None, one, several, none at all) for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Axis = int | tuple[int, ...] | None


def _axes(a: Tensor, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(a.ndim))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _over_axes(function: Callable[..., Tensor], of_one: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Let a reduction take NumPy's axes; over none, where PyTorch means all, it is ``of_one`` entry."""

    def reduce(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
        axes = _axes(a, axis)
        return function(a, dim=axes, keepdim=keepdims) if axes else of_one(a)

    return reduce


def prod(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Multiply over the axes, one after the other: PyTorch takes only one at a time."""
    for i in sorted((i % a.ndim for i in _axes(a, axis)), reverse=True):
        a = torch.prod(a, i, keepdim=keepdims)
    return a


def cumsum(a: Tensor, axis: int = 0) -> Tensor:
    """Sum what came before, along one axis."""
    return torch.cumsum(a, axis)


def softmax(a: Tensor, axis: int = -1) -> Tensor:
    """Normalise exponentials along one axis."""
    return torch.softmax(a, axis)


def log_softmax(a: Tensor, axis: int = -1) -> Tensor:
    """Compute the logarithm of softmax."""
    return torch.log_softmax(a, axis)


OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "cumsum": cumsum,
    "log_softmax": log_softmax,
    "logsumexp": _over_axes(torch.logsumexp, torch.Tensor.clone),
    "max": _over_axes(torch.amax, torch.Tensor.clone),
    "mean": _over_axes(torch.mean, torch.Tensor.clone),
    "min": _over_axes(torch.amin, torch.Tensor.clone),
    "norm": _over_axes(torch.linalg.vector_norm, torch.abs),
    "prod": prod,
    "softmax": softmax,
    "sum": _over_axes(torch.sum, torch.Tensor.clone),
}
