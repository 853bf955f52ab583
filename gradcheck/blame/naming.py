"""What an operation is called, and which calls are no operations at all.

A ``TorchFunctionMode`` sees methods, slots, attribute getters, C functions and operator overloads; each kind
names itself differently.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

# Attributes of a tensor that are operations on its values; every other attribute is a property.
_GETTERS = frozenset({"T", "mT", "H", "mH", "real", "imag", "data"})
# Calls that set a mode, or read what is no function of the values.
_SILENT = frozenset(
    [
        *(f"Tensor.{name}" for name in (
            "size", "dim", "stride", "numel", "ndimension", "element_size", "is_contiguous", "is_complex",
            "is_floating_point", "get_device", "storage_offset", "data_ptr", "untyped_storage", "__len__",
            "__hash__", "__repr__", "__format__", "requires_grad_", "retain_grad", "is_shared",
        )),
        "torch.is_floating_point", "torch.is_complex", "torch.numel", "torch.is_tensor",
    ]
)  # fmt: skip
# Operators arrive as methods of these names: shown as the functions, which is what they are.
_OPERATORS = {
    "__radd__": "add", "__rsub__": "sub", "__rmul__": "mul", "__rmatmul__": "matmul", "__rdiv__": "div",
    "__rtruediv__": "div", "__rpow__": "pow", "__pow__": "pow", "__matmul__": "matmul", "__add__": "add",
    "__mul__": "mul", "__sub__": "sub", "__truediv__": "div", "add": "add", "sub": "sub", "mul": "mul",
    "matmul": "matmul", "div": "div", "pow": "pow", "neg": "neg",
}  # fmt: skip
_HOMES = {
    "torch._C._nn": "torch.nn.functional",
    "torch._C._linalg": "torch.linalg",
    "torch._C._special": "torch.special",
    "torch._C._fft": "torch.fft",
    "torch.functional": "torch",
}
_PREFIXED = ("special_", "linalg_", "fft_")


@functools.lru_cache(maxsize=4096)
def operation(function: Callable[..., Any]) -> str | None:
    """Return the operation's name as users write it; None where the call computes nothing."""
    name = _name(function)
    if name is None or name in _SILENT or name.startswith("torch._C._set"):
        return None
    return name


def _name(function: Any) -> str | None:
    if isinstance(function, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        packet = function.overloadpacket if isinstance(function, torch._ops.OpOverload) else function
        return str(packet._qualified_op_name)
    name = getattr(function, "__name__", type(function).__name__)
    if name in ("__get__", "__set__", "__delete__"):
        return _attribute(function.__self__) if name == "__get__" else None
    if getattr(function, "__objclass__", None) is not None or _is_method(function):
        return f"torch.{_OPERATORS[name]}" if name in _OPERATORS else f"Tensor.{name}"
    home = getattr(function, "__module__", None) or "torch"
    for prefix in _PREFIXED:
        name = name.removeprefix(prefix)
    return f"{_HOMES.get(home, home)}.{name}"


def _attribute(descriptor: Any) -> str | None:
    name = getattr(descriptor, "__name__", None) or getattr(getattr(descriptor, "fget", None), "__name__", "")
    return f"Tensor.{name}" if name in _GETTERS else None


def _is_method(function: Any) -> bool:
    return str(getattr(function, "__qualname__", "")).startswith(("Tensor.", "TensorBase."))


def is_grad_fn(function: Any) -> bool:
    """Whether the call reads a tensor's ``grad_fn``."""
    return getattr(getattr(function, "__self__", None), "__name__", None) == "grad_fn"
