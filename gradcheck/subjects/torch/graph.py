"""What a graph is made of: whether all operations are PyTorch's own, and whether what they saved is whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch

# How PyTorch names the nodes that it generates. In place of others' (autograd.Function in Python or C++)
# stand other classes, and CopySlices hides one.
_GENERATED = re.compile(r"[A-Z]\w*Backward\d+$")
# What PyTorch says of a saved tensor that has been changed since.
MODIFIED = "modified by an inplace operation"
_OWN: dict[type, bool] = {}


def is_own(outputs: Iterable[torch.Tensor], leaves: Iterable[torch.Tensor]) -> bool:
    """Whether nothing but operations of PyTorch lies between outputs and leaves, and no hook on a leaf.

    Their backward passes are linear in the cotangent, and notice when what they saved is overwritten.
    """
    if any(getattr(leaf, "_backward_hooks", None) for leaf in leaves):
        return False
    return all(_is_own(type(node)) for node in _nodes(outputs))


def overwritten(outputs: Iterable[torch.Tensor]) -> list[str]:
    """Return the names of hand-written Functions whose saved tensors have been changed in place."""
    found: dict[str, None] = {}
    for node in _nodes(outputs):
        if not isinstance(node, torch.autograd.function.BackwardCFunction):
            continue
        try:
            _ = node.saved_tensors
        except RuntimeError as error:
            if MODIFIED in str(error):
                found[type(node).__name__.removesuffix("Backward")] = None
    return list(found)


def _nodes(outputs: Iterable[torch.Tensor]) -> Iterator[Any]:
    waiting: list[Any] = [out.grad_fn for out in outputs if out.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)


def _is_own(kind: type) -> bool:
    if kind not in _OWN:
        named = kind.__name__ in ("AccumulateGrad", "CopyBackwards") or _GENERATED.match(kind.__name__)
        _OWN[kind] = bool(named) and not issubclass(kind, torch.autograd.function.BackwardCFunction)
    return _OWN[kind]
