"""Nested parameters and their flat names.

A tree is made of dicts, lists, tuples, named tuples and dataclasses; everything else is a leaf. A leaf is
named by its path as a reader would write it: ``W1``, ``layers[0].W``, ``[2]``. None stands for nothing and
is no leaf.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gradcheck.errors import UsageError

# The name of a tree that is a single leaf.
ROOT = "params"
# Keys that need no quotes: "W1", "fc1.weight".
_PLAIN = re.compile(r"[^\W\d][\w.\-]*")


def flatten(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree by name, in the order of the tree.

    Raises:
        UsageError: where two leaves get the same name.
    """
    leaves: dict[str, Any] = {}
    for name, leaf in _walk(tree, ""):
        if name in leaves:
            raise UsageError(f"Two parameters are called {name}: rename one of the keys on the way to them.")
        leaves[name] = leaf
    return leaves


def rebuild(tree: Any, leaves: Mapping[str, Any]) -> Any:
    """Return the tree with the named leaves in place of its own, its containers copied."""
    return _rebuild(tree, leaves, "")


def children(node: Any) -> list[tuple[Any, Any]] | None:
    """Return the (key, child) pairs of a container, None for a leaf."""
    if isinstance(node, Mapping):
        return list(node.items())
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return list(zip(node._fields, node, strict=True))
    if isinstance(node, list | tuple):
        return list(enumerate(node))
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node)]
    return None


def child_name(path: str, key: Any) -> str:
    """Return the name of a child from its parent's name and its key."""
    if isinstance(key, str) and _PLAIN.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{_quoted(key)}]"


def _quoted(key: Any) -> str:
    return '"' + key.replace('"', '\\"') + '"' if isinstance(key, str) else repr(key)


def _walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = children(node)
    if inner is None:
        if node is not None:
            yield path or ROOT, node
        return
    for key, child in inner:
        yield from _walk(child, child_name(path, key))


def _rebuild(node: Any, leaves: Mapping[str, Any], path: str) -> Any:
    inner = children(node)
    if inner is None:
        return node if node is None else leaves.get(path or ROOT, node)
    new = [(key, _rebuild(child, leaves, child_name(path, key))) for key, child in inner]
    if isinstance(node, Mapping):
        return _mapping(node, dict(new))
    values = [child for _, child in new]
    if isinstance(node, tuple):
        return type(node)(*values) if hasattr(node, "_fields") else tuple(values)
    if isinstance(node, list):
        return values
    return dataclasses.replace(node, **{key: child for key, child in new if _initialised(node, key)})


def _mapping(node: Mapping[Any, Any], new: dict[Any, Any]) -> Any:
    """Keep what makes a mapping special (order, default factory) where it can be copied."""
    if type(node) is dict or not hasattr(node, "copy"):
        return new
    copied = node.copy()
    copied.update(new)
    return copied


def _initialised(node: Any, key: str) -> bool:
    return next(f.init for f in dataclasses.fields(node) if f.name == key)
