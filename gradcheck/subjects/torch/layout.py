"""Copies of tensors that keep their strides, since a backward pass may be right for one layout only."""

from __future__ import annotations

import cmath
import functools
import math

import numpy as np
import torch

from gradcheck.numerical.line import squared

# Formats that NumPy has too, whose overhead is the least.
_PLAIN = (torch.float32, torch.float64)


def copy(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return a detached copy with the same strides; expanded dimensions stay expanded."""
    dtype = tensor.dtype if dtype is None else dtype
    source = tensor.detach()
    if source.layout is not torch.strided or type(source) not in (torch.Tensor, torch.nn.Parameter):
        return source.clone().to(dtype)
    if source.is_contiguous():
        return source.clone() if dtype is source.dtype else source.to(dtype, copy=True)
    expanded = [axis for axis, stride in enumerate(source.stride()) if stride == 0 and source.shape[axis] > 1]
    if expanded:
        for axis in expanded:
            source = source.narrow(axis, 0, 1)
        return copy(source, dtype).expand(tensor.shape)
    result = torch.empty_strided(source.shape, source.stride(), dtype=dtype, device=source.device)
    return result.copy_(source)


def is_number(tensor: torch.Tensor) -> bool:
    """Whether a derivative with respect to the tensor makes sense."""
    return tensor.is_floating_point() or tensor.is_complex()


@functools.cache
def is_narrow(dtype: torch.dtype) -> bool:
    """Whether numbers of this format fit into a wider one."""
    return wide(dtype) is not dtype


@functools.cache
def label(dtype: torch.dtype) -> str:
    """Return what a dtype is called in tables and reports."""
    return str(dtype).removeprefix("torch.")


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the double-precision dtype of the same kind; other dtypes unchanged."""
    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else dtype


@functools.cache
def spacing(dtype: torch.dtype) -> float:
    """Return the spacing of a format's numbers, relative to 1."""
    return float(torch.finfo(dtype).eps)


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether an ordinary tensor holds neither NaN nor infinity; other kinds are not looked into."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout is not torch.strided:
        return True
    if tensor.is_nested or tensor.dtype.itemsize < 2:
        return True
    values = tensor.detach()
    if values.dtype in _PLAIN and values.device.type == "cpu":
        array = values.numpy()
        return math.isfinite(squared(array)) or bool(np.isfinite(array).all())  # squares may overflow
    return cmath.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())  # a sum may overflow
