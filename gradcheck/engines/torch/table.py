"""One row per operation: its name in a graph, and the function of PyTorch that computes it.

Each function takes the inputs as tensors and the node's attributes by name. Where PyTorch's own function
differs from NumPy's meaning (axes, negative steps), the difference is undone here; where it is less accurate
than float64 allows, another of PyTorch's is taken, so that this witness can be believed to the last digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gradcheck.engines.attributes import with_arrays
from gradcheck.engines.torch import losses, reductions, shaping

Function = Callable[..., Tensor]


def clip(a: Tensor, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """Clamp; without a bound, change nothing."""
    return a if minimum is None and maximum is None else torch.clamp(a, minimum, maximum)


def dropout(a: Tensor, mask: Tensor, rate: float = 0.5) -> Tensor:
    """Zero what the mask drops, and scale the rest to the same mean."""
    return a * (mask.to(a.real.dtype) / (1 - rate))


def elu(a: Tensor, alpha: float = 1.0) -> Tensor:
    """Compute ``a`` above zero, ``alpha (e^a - 1)`` below."""
    return functional.elu(a, alpha)


def gelu(a: Tensor) -> Tensor:
    """Compute the tanh form; for complex numbers by its definition, as PyTorch's own is for real ones."""
    if a.is_complex():
        return 0.5 * a * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)))
    return functional.gelu(a, approximate="tanh")


def leaky_relu(a: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Compute ``a`` above zero, ``negative_slope a`` below."""
    return functional.leaky_relu(a, negative_slope)


def silu(a: Tensor) -> Tensor:
    """Compute a sigmoid(a); for complex numbers by its definition, as PyTorch's own is for real ones."""
    return a * torch.sigmoid(a) if a.is_complex() else functional.silu(a)


def softplus(a: Tensor) -> Tensor:
    """Compute log(1 + e^a) to full precision: ``functional.softplus`` rounds e^-20 away above 20."""
    return -functional.logsigmoid(-a)


def where(a: Tensor, b: Tensor, condition: Tensor) -> Tensor:
    """Take ``a`` where the condition holds, ``b`` elsewhere."""
    return torch.where(condition, a, b)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, axes: int = 1, epsilon: float = 1e-5) -> Tensor:
    """Normalise over the last ``axes`` axes."""
    return torch.layer_norm(x, x.shape[x.ndim - axes :], gain, bias, epsilon)


def batch_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Normalise over every axis but axis 1 (past the guard of ``functional`` against single samples)."""
    return torch.batch_norm(x, gain, bias, None, None, True, 0.0, epsilon, False)


def avg_pool2d(
    a: Tensor,
    size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Average over windows; padding counts. The average of complex numbers is that of their parts."""
    if a.is_complex():
        return torch.complex(*(avg_pool2d(part, size, stride, padding) for part in (a.real, a.imag)))
    return functional.avg_pool2d(a, size, stride, padding)


def max_pool2d(
    a: Tensor,
    size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Take the maximum over windows; padding never wins."""
    return functional.max_pool2d(a, size, stride, padding)


ELEMENTWISE: Mapping[str, Function] = {
    "abs": torch.abs,
    "add": torch.add,
    "clip": clip,
    "cos": torch.cos,
    "divide": torch.div,
    "dropout": dropout,
    "elu": elu,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "gelu": gelu,
    "leaky_relu": leaky_relu,
    "log": torch.log,
    "log1p": torch.log1p,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "multiply": torch.mul,
    "negative": torch.neg,
    "power": torch.pow,
    "reciprocal": torch.reciprocal,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": silu,
    "sin": torch.sin,
    "softplus": softplus,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "subtract": torch.sub,
    "tanh": torch.tanh,
    "where": where,
}

LAYERS: Mapping[str, Function] = {
    "avg_pool2d": avg_pool2d,
    "batch_norm": batch_norm,
    "conv1d": functional.conv1d,
    "conv2d": functional.conv2d,
    "layer_norm": layer_norm,
    "matmul": torch.matmul,
    "max_pool2d": max_pool2d,
}

OPERATIONS: Mapping[str, Function] = {
    **ELEMENTWISE,
    **LAYERS,
    **losses.OPERATIONS,
    **reductions.OPERATIONS,
    **shaping.OPERATIONS,
}


def bind(operation: str, attributes: Mapping[str, Any]) -> Function:
    """Return the function of one node: attributes given, arrays among them turned into tensors once."""
    function = OPERATIONS[operation]
    if not attributes:
        return function
    given = {name: _tensor(value) for name, value in with_arrays(attributes).items()}
    return lambda *inputs: function(*inputs, **given)


def _tensor(attribute: Any) -> Any:
    return torch.from_numpy(np.array(attribute)) if isinstance(attribute, np.ndarray) else attribute
