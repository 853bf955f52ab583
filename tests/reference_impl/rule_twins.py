"""Every operation as PyTorch has it: the second opinion on values, gradients and kinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor


def _axes(a: Tensor, axis: Any) -> tuple[int, ...]:
    axes = range(a.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(i % a.ndim for i in axes)


def _prod(a: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    for i in sorted(_axes(a, axis), reverse=True):
        a = a.prod(i, keepdim=keepdims)
    return a


def _reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(a: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        return function(a, dim=_axes(a, axis), keepdim=keepdims)

    return reduce


def _slice(a: Tensor, slices: Any) -> Tensor:
    """Go by the flat positions: torch has no negative steps."""
    kept = np.arange(a.numel()).reshape(a.shape)[tuple(slice(*triple) for triple in slices)]
    return a.reshape(-1)[torch.from_numpy(np.array(kept))]


def _take(a: Tensor, indices: Any, axis: int = 0) -> Tensor:
    axis %= a.ndim
    flat = a.index_select(axis, torch.from_numpy(indices.reshape(-1) % a.shape[axis]))
    return flat.reshape(a.shape[:axis] + indices.shape + a.shape[axis + 1 :])


def _pad(a: Tensor, width: Any, value: float = 0.0) -> Tensor:
    return F.pad(a, [n for pair in reversed(width) for n in pair], value=value) if width else a * 1


def _layer_norm(x: Tensor, gain: Tensor, bias: Tensor, axes: int = 1, epsilon: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-axes:], gain, bias, epsilon)


def _batch_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    return F.batch_norm(x, None, None, gain, bias, training=True, eps=epsilon)


def _conv(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, w, b=None, **geometry: function(x, w, b, **geometry)


def _loss(entries: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def loss(f: Tensor, t: Tensor, reduction: str = "mean", **options: Any) -> Tensor:
        losses = entries(*torch.broadcast_tensors(f, t), **options)
        return _reduced(losses.flatten(1).sum(1) if losses.ndim > 1 else losses, reduction)

    return loss


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    return {"none": lambda: losses, "sum": losses.sum, "mean": losses.mean}[reduction]()


def _mean_square(f: Tensor, t: Tensor) -> Tensor:
    return (f - t) ** 2 / math.prod(f.shape[1:])


def _cross_entropy(f: Tensor, t: Any = None, labels: Any = None, reduction: str = "mean") -> Tensor:
    return F.cross_entropy(f, torch.from_numpy(labels) if t is None else t, reduction=reduction)


def _where(a: Tensor, b: Tensor, condition: Any) -> Tensor:
    return torch.where(torch.from_numpy(condition), a, b)


def _dropout(a: Tensor, mask: Any, rate: float = 0.5) -> Tensor:
    return a * torch.from_numpy(mask) / (1 - rate)


def _transpose(a: Tensor, axes: Any = None) -> Tensor:
    return a.permute(tuple(reversed(range(a.ndim))) if axes is None else axes)


def _gelu(a: Tensor) -> Tensor:
    if a.is_complex():  # which F.gelu does not take
        return a / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)))
    return F.gelu(a, approximate="tanh")


def _avg_pool2d(a: Tensor, size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    if a.is_complex():  # which F.avg_pool2d does not take
        return torch.complex(
            _avg_pool2d(a.real, size, stride, padding), _avg_pool2d(a.imag, size, stride, padding)
        )
    return F.avg_pool2d(a, size, stride, padding)


# fmt: off
_BY_NAME = [
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "negative", "square", "sqrt", "reciprocal",
    "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "relu", "abs", "matmul", "reshape",
]
# fmt: on

TWINS: Mapping[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name) for name in _BY_NAME},
    "power": torch.pow,
    "where": _where,
    "softplus": lambda a: torch.logaddexp(a, torch.zeros_like(a)),
    "silu": lambda a: a * torch.sigmoid(a) if a.is_complex() else F.silu(a),
    "gelu": _gelu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "clip": lambda a, minimum=None, maximum=None: (
        a * 1 if minimum is maximum is None else a.clamp(minimum, maximum)
    ),
    "transpose": _transpose,
    "broadcast_to": lambda a, shape: a.broadcast_to(shape),
    "concatenate": lambda *arrays, axis=0: torch.cat(arrays, axis),
    "stack": lambda *arrays, axis=0: torch.stack(arrays, axis),
    "slice": _slice,
    "take": _take,
    "pad": _pad,
    "sum": _reduction(torch.sum),
    "mean": _reduction(torch.mean),
    "prod": _prod,
    "max": _reduction(torch.amax),
    "min": _reduction(torch.amin),
    "logsumexp": _reduction(torch.logsumexp),
    "norm": _reduction(torch.linalg.vector_norm),
    "cumsum": lambda a, axis=0: torch.cumsum(a, axis),
    "softmax": lambda a, axis=-1: torch.softmax(a, axis),
    "log_softmax": lambda a, axis=-1: torch.log_softmax(a, axis),
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "conv1d": _conv(F.conv1d),
    "conv2d": _conv(F.conv2d),
    "max_pool2d": lambda a, size, stride=None, padding=0: F.max_pool2d(a, size, stride, padding),
    "avg_pool2d": _avg_pool2d,
    "squared_error": _loss(lambda f, t: (f - t) ** 2),
    "mean_squared_error": _loss(_mean_square),
    "absolute_error": _loss(lambda f, t: F.l1_loss(f, t, reduction="none")),
    "huber": _loss(lambda f, t, delta=1.0: F.huber_loss(f, t, reduction="none", delta=delta)),
    "hinge": _loss(lambda f, t: torch.clamp(1 - t * f, min=0)),
    "binary_cross_entropy_with_logits": _loss(
        lambda f, t: F.binary_cross_entropy_with_logits(f, t, reduction="none")
    ),
    "softmax_cross_entropy": _cross_entropy,
}


def torch_value_and_vjp(
    operation: str, inputs: list[Any], cotangent: Any, attributes: Mapping[str, Any]
) -> SimpleNamespace:
    """Return PyTorch's output and its cotangents for the inputs, as NumPy arrays."""
    leaves = [torch.tensor(a, requires_grad=True) for a in inputs]
    output = TWINS[operation](*leaves, **attributes)
    cotangents = torch.autograd.grad(output, leaves, torch.tensor(cotangent))
    return SimpleNamespace(
        output=output.detach().numpy(), cotangents=[g.resolve_conj().numpy() for g in cotangents]
    )
