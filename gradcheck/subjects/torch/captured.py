"""Names for leaves that a callable is not given and does not own as a module: what it finds elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from gradcheck.subjects.torch.state import referenced

if TYPE_CHECKING:
    from gradcheck.subjects.torch.subject import TorchSubject

# Objects that are looked into, and how deep: own classes, lists in them, tensors in these.
_MOST, _DEPTH = 5_000, 4


def named(leaves: Sequence[torch.Tensor], subject: TorchSubject) -> dict[str, torch.Tensor]:
    """Return the leaves by the names by which the callable reaches them, numbered where none is found."""
    names = {id(parameter): name for name, parameter in subject.parameters.items()}
    wanted = {id(leaf) for leaf in leaves} - set(names)
    if wanted:
        names |= _found(_roots(subject), wanted)
    taken = set(subject.parameters) | set(subject.inputs)
    result: dict[str, torch.Tensor] = {}
    for i, leaf in enumerate(leaves):
        name = names.get(id(leaf), f"captured[{i}]")
        own = name in subject.parameters and subject.parameters[name] is leaf
        result[name if own or name not in taken | set(result) else f"captured[{i}]"] = leaf
    return result


def _roots(subject: TorchSubject) -> Iterator[tuple[str, Any]]:
    """Yield what a callable reaches without being given it, and the objects among its arguments."""
    function: Any = subject.function
    for prefix, root in subject.modules:
        for path, module in root.named_modules(prefix=prefix):
            for key, value in vars(module).items():
                yield f"{path}.{key}" if path else key, value
    while function is not None:
        yield from getattr(function, "keywords", {}).items()
        yield from ((f"args[{i}]", value) for i, value in enumerate(getattr(function, "args", ())))
        yield from referenced(getattr(function, "__func__", function))
        yield "self", getattr(function, "__self__", None)
        function = getattr(function, "func", None)
    yield from ((f"inputs[{i}]", value) for i, value in enumerate(subject.args))
    yield from ((f'kwargs["{key}"]', value) for key, value in subject.kwargs.items())


def _found(roots: Iterable[tuple[str, Any]], wanted: set[int]) -> dict[int, str]:
    """Return the shortest path to each wanted tensor, as far as one is found."""
    found: dict[int, str] = {}
    waiting = deque((name, value, _DEPTH) for name, value in roots)
    seen: set[int] = set()
    while waiting and len(seen) < _MOST and len(found) < len(wanted):
        path, value, depth = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if id(value) in wanted and isinstance(value, torch.Tensor):
            found[id(value)] = path
        elif depth:
            waiting.extend((step, child, depth - 1) for step, child in _inside(path, value))
    return found


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"{path}[{key!r}]", child) for key, child in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{i}]", child) for i, child in enumerate(value))
    elif not isinstance(value, type | torch.Tensor) and type(value).__module__ != "builtins":
        yield from ((f"{path}.{key}", child) for key, child in getattr(value, "__dict__", {}).items())
