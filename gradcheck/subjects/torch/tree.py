"""Nested arguments and results: every tensor in them has a path, and can be replaced.

Lists, tuples, named tuples, mappings and dataclasses are walked; everything else is left as it is.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device})


def tensors(tree: Any, path: str = "") -> list[tuple[str, torch.Tensor]]:
    """Return (path, tensor) for each tensor, in order; paths read like Python: ``[1]["key"].field``."""
    found: list[tuple[str, torch.Tensor]] = []
    _collect(tree, path, found)
    return found


def _collect(tree: Any, path: str, found: list[tuple[str, torch.Tensor]]) -> None:
    if isinstance(tree, torch.Tensor):
        found.append((path, tree))
    elif isinstance(tree, (list, tuple)):
        for i, child in enumerate(tree):
            if type(child) not in _PLAIN:
                _collect(child, f"{path}[{i}]", found)
    elif type(tree) not in _PLAIN:
        for step, child in _children(tree):
            _collect(child, path + step, found)


def named(tree: Any) -> dict[str, torch.Tensor]:
    """Return each tensor by its path."""
    return {"": tree} if isinstance(tree, torch.Tensor) else dict(tensors(tree))


def _children(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict | Mapping):
        for key, child in tree.items():
            yield (f'["{key}"]' if isinstance(key, str) else f"[{key!r}]"), child
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        for field in dataclasses.fields(tree):
            yield f".{field.name}", getattr(tree, field.name, None)


def replace(tree: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return the same structure with every tensor replaced; containers are new, the rest is shared."""
    if isinstance(tree, torch.Tensor):
        return change(tree)
    kind = type(tree)
    if kind in _PLAIN:
        return tree
    if kind is list or kind is tuple:
        return kind([replace(child, change) for child in tree])
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return kind(*(replace(child, change) for child in tree))
    if isinstance(tree, Mapping):
        items = {key: replace(child, change) for key, child in tree.items()}
        return tree if all(items[key] is child for key, child in tree.items()) else _like(tree, items)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return _like_dataclass(tree, change)
    return tree


def is_plain(value: Any) -> bool:
    """Whether a value is of a kind that holds nothing that could be replaced."""
    return type(value) in _PLAIN


def _like(tree: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    if type(tree) is dict:
        return items
    result = copy.copy(tree)
    for key, child in items.items():
        result[key] = child  # type: ignore[index]  # a mapping that holds tensors was filled by item assignment
    return result


def _like_dataclass(tree: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    result = copy.copy(tree)
    for field in dataclasses.fields(tree):
        if hasattr(tree, field.name):
            # frozen dataclasses too: the copy is ours
            object.__setattr__(result, field.name, replace(getattr(tree, field.name), change))
    return result
