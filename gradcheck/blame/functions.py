"""What can be known of the backward pass of an operation that somebody wrote in Python."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from gradcheck.blame.location import Place, definition
from gradcheck.blame.trace import Invocation

_TORCH_NAMESPACES = frozenset(
    {"aten", "prims", "prim", "quantized", "torchvision", "inductor", "_c10d_functional"}
)


def custom_class(invocation: Invocation, outputs: Iterable[torch.Tensor]) -> Any:
    """Return the autograd.Function behind a call, also where an operator hides it; None without one."""
    if invocation.custom is not None:
        return invocation.custom
    for output in outputs:
        found = getattr(output.grad_fn, "_forward_cls", None)
        if found is not None:
            return found
    return None


def is_user_defined(invocation: Invocation, cls: Any) -> bool:
    """Whether the operation is not PyTorch's own."""
    namespace, separator, _ = invocation.operation.partition("::")
    if separator:
        return namespace not in _TORCH_NAMESPACES
    return cls is not None and cls.__module__.partition(".")[0] != "torch"


def backward_place(cls: Any) -> Place | None:
    """Return where the backward pass of a Function, or of a registered operator, is defined."""
    if cls is None:
        return None
    backward = cls.backward if cls.backward is not torch.autograd.Function.backward else cls.vjp
    return definition(_registered(backward) or backward)


def _registered(backward: Any) -> Any:
    """Return the function given to ``register_autograd``, which PyTorch wraps twice."""
    for cell in getattr(backward, "__closure__", None) or ():
        content = cell.cell_contents
        found = getattr(content, "_backward_fn", None)
        if found is None and getattr(content, "__closure__", None):
            found = _registered(content)
        if found is not None:
            return found
    return None


def named_arguments(invocation: Invocation, parameters: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a call by the names that the operation gives them."""
    for i, value in enumerate(invocation.args):
        yield (parameters[i] if i < len(parameters) else f"argument {i}"), value
    yield from invocation.kwargs.items()


def forward_names(cls: Any) -> tuple[str, ...]:
    """Return the names of what is given to a Function."""
    names = list(inspect.signature(cls.forward).parameters)
    separate = cls.setup_context is not torch.autograd.Function.setup_context
    return tuple(names if separate else names[1:])


def parameter_names(invocation: Invocation) -> tuple[str, ...]:
    """Return the names of the operation's positional parameters, as far as they are known."""
    if invocation.custom is not None:
        return forward_names(invocation.custom)
    schema = getattr(invocation.function, "_schema", None)
    if schema is not None:
        return tuple(argument.name for argument in schema.arguments)
    try:
        return tuple(inspect.signature(invocation.function).parameters)
    except (TypeError, ValueError):
        return ()
