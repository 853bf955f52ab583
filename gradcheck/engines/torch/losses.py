"""Losses, per sample and reduced: the first axis counts samples, the others belong to one sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def _reduce(per_sample: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return per_sample
    return per_sample.sum() if reduction == "sum" else per_sample.mean()


def _loss(
    per_entry: Callable[..., Tensor], within_sample: Callable[..., Tensor] = torch.sum
) -> Callable[..., Tensor]:
    """Make a loss of what is lost per entry; PyTorch's own losses do not broadcast, so that is done first."""

    def loss(f: Tensor, t: Tensor, reduction: str = "mean", **options: float) -> Tensor:
        shape = np.broadcast_shapes(f.shape, t.shape)
        lost = per_entry(f.expand(shape), t.expand(shape), **options)
        others = tuple(range(1, lost.ndim))
        return _reduce(within_sample(lost, dim=others) if others else lost, reduction)

    return loss


def squared_error(f: Tensor, t: Tensor) -> Tensor:
    """Compute (f - t)^2."""
    return torch.square(f - t)


def absolute_error(f: Tensor, t: Tensor) -> Tensor:
    """Compute |f - t|."""
    return torch.abs(f - t)


def huber(f: Tensor, t: Tensor, delta: float = 1.0) -> Tensor:
    """Compute a parabola up to ``delta``, a straight line beyond."""
    return functional.huber_loss(f, t, reduction="none", delta=delta)


def hinge(f: Tensor, t: Tensor) -> Tensor:
    """Compute max(0, 1 - t f)."""
    return torch.clamp(1 - t * f, min=0)


def binary_cross_entropy_with_logits(f: Tensor, t: Tensor) -> Tensor:
    """Compute -t log sigmoid(f) - (1 - t) log sigmoid(-f)."""
    return functional.binary_cross_entropy_with_logits(f, t, reduction="none")


def softmax_cross_entropy(
    f: Tensor, t: Tensor | None = None, labels: Any = None, reduction: str = "mean"
) -> Tensor:
    """Compute -sum_c t_c log softmax(f)_c, for labels or for target probabilities."""
    if t is None:
        return _reduce(functional.cross_entropy(f, labels, reduction="none"), reduction)
    return _reduce(-(t * functional.log_softmax(f, -1)).sum(-1), reduction)


OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "absolute_error": _loss(absolute_error),
    "binary_cross_entropy_with_logits": _loss(binary_cross_entropy_with_logits),
    "hinge": _loss(hinge),
    "huber": _loss(huber),
    "mean_squared_error": _loss(squared_error, torch.mean),
    "softmax_cross_entropy": softmax_cross_entropy,
    "squared_error": _loss(squared_error),
}
