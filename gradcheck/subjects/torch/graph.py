"""The graph of a run: whether it is PyTorch's own, where it ends, and whether what it saved is whole."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

# How PyTorch names the nodes that it generates. In place of others' (autograd.Function in Python or C++)
# stand other classes, and CopySlices hides one.
_GENERATED = re.compile(r"[A-Z]\w*Backward\d+$")
_LEAF, _CHECKPOINT = "AccumulateGrad", "CheckpointFunctionBackward"
# What PyTorch says of a saved tensor that has been changed since.
MODIFIED = "modified by an inplace operation"
_OWN: dict[type, bool] = {}


@dataclass(frozen=True)
class Graph:
    """``is_own``: nothing but operations of PyTorch lies between outputs and leaves, and no hook on a leaf.

    Their backward passes are linear in the cotangent, and notice when what they saved is overwritten.
    ``hides``: a reentrant checkpoint lies there, behind which only leaves among its inputs can be seen.
    """

    is_own: bool
    leaves: tuple[torch.Tensor, ...]
    hides: bool = False


def behind(outputs: Iterable[torch.Tensor]) -> Graph:
    """Look at the graph behind some outputs."""
    own, hides, leaves = True, False, []
    for node in nodes(outputs):
        kind = type(node)
        hides = hides or kind.__name__ == _CHECKPOINT
        if kind.__name__ == _LEAF:
            leaves.append(node.variable)
        own = own and _is_own(kind)
    hooked = any(getattr(leaf, "_backward_hooks", None) for leaf in leaves)
    return Graph(own and not hooked, tuple(leaves), hides)


def overwritten(outputs: Iterable[torch.Tensor]) -> list[str]:
    """Return the names of hand-written Functions whose saved tensors have been changed in place."""
    found: dict[str, None] = {}
    for node in nodes(outputs):
        if not isinstance(node, torch.autograd.function.BackwardCFunction):
            continue
        try:
            _ = node.saved_tensors
        except RuntimeError as error:
            if MODIFIED in str(error):
                found[type(node).__name__.removesuffix("Backward")] = None
    return list(found)


def nodes(outputs: Iterable[torch.Tensor]) -> list[Any]:
    """Return the nodes of the graph behind some outputs, each once."""
    waiting: list[Any] = [out.grad_fn for out in outputs if out.grad_fn is not None]
    seen, found = set(waiting), []
    while waiting:
        node = waiting.pop()
        found.append(node)
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return found


def _is_own(kind: type) -> bool:
    if kind not in _OWN:
        named = kind.__name__ in (_LEAF, "CopyBackwards") or _GENERATED.match(kind.__name__)
        _OWN[kind] = bool(named) and not issubclass(kind, torch.autograd.function.BackwardCFunction)
    return _OWN[kind]
