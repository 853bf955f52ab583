"""What a torch callable's leaves are and are called: parameters by qualified name, inputs by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gradcheck.errors import UsageError
from gradcheck.subjects.torch import refusals, tree


def name_of(function: Any) -> str:
    """Return what reports call a callable."""
    if isinstance(function, torch.nn.Module):
        return type(function).__name__
    if hasattr(function, "func"):
        return name_of(function.func)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        return owner.__name__
    name = getattr(function, "__name__", None) or getattr(function, "_qualname", None)  # of torch.library's
    return str(name or type(function).__name__)


def parameters_of(modules: Mapping[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    """Return parameters by qualified name, of modules by path; a tied one once, under its first name."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for path, module in modules.items():
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                found[f"{path}.{name}" if path else name] = parameter
    return found


def inputs_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors among the arguments by path; one passed twice once, under its first path."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    try:
        given = [*tree.tensors(args, "inputs"), *tree.tensors(kwargs, "kwargs")]
    except RecursionError:
        raise UsageError(refusals.CIRCULAR) from None
    for path, tensor in given:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[path] = tensor
    return found
