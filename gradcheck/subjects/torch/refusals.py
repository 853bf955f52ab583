"""Why nothing can be verified as it is given, and what to pass instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gradcheck.subjects.torch import layout


def of_class(function: type) -> str:
    """Say what to pass in place of a class, whose call makes an object."""
    name = function.__name__
    if issubclass(function, torch.autograd.Function):
        return f"{name} is a class that holds a forward and a backward pass: pass {name}.apply."
    return f"{name} is a class: pass a module of it, {name}(...), or a function."


def unfit(name: str, tensor: torch.Tensor) -> str:
    """Say why a tensor cannot be moved by small steps at all; "" where nothing is in the way."""
    if tensor.is_meta:
        return f"{name} is on the meta device, which keeps no numbers: give it on the device it is meant for."
    if tensor.is_nested:
        return (
            f"{name} is a nested tensor, whose parts have no common axes: pass the parts as a list of "
            "tensors, and nest them in a function."
        )
    return ""


def undefined(name: str) -> str:
    """Say that a leaf holds what is no number."""
    return f"{name} holds NaN or infinity: give values at which the outputs are defined."


CIRCULAR = "An argument contains itself: pass nested lists, dicts and tuples that end in tensors."


def of_inference(name: str) -> str:
    """Say that a parameter or constant was made where autograd records nothing."""
    return (
        f"{name} was made under torch.inference_mode, and autograd takes no such tensors: "
        "make or load the model outside of it."
    )


def nothing_to_move(
    name: str, inputs: Mapping[str, torch.Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str:
    """Say why no argument can be moved by a small step."""
    for path, tensor in inputs.items():
        if tensor.dtype is not torch.bool:
            dtype = layout.label(tensor.dtype)
            return (
                f"{path} has the integer type {dtype}, and cannot be moved by a small step: "
                "use x.double(), or pass another input or a module with parameters."
            )
    for path, value in [*((f"inputs[{i}]", value) for i, value in enumerate(args)), *kwargs.items()]:
        if isinstance(value, float | int | complex | np.ndarray | np.generic):
            written = "..." if isinstance(value, np.ndarray) else repr(value)
            return (
                f"{path} is a {type(value).__name__}, and PyTorch differentiates tensors only: "
                f"pass torch.tensor({written}, dtype=torch.float64). "
                "For a loss in NumPy, name its gradient: gradient=..."
            )
    return (
        f"{name} has no parameter or input that requires grad: "
        "pass a tensor with requires_grad=True. For a loss in NumPy, name its gradient: gradient=..."
    )
