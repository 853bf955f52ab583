"""What a forward pass may change besides its result, saved and put back.

Parameters, buffers and plain tensor attributes are exchanged through ``.data``: the Parameter objects stay
the same, so that tied weights, hooks, parametrizations and references kept elsewhere all see the exchange.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_KEPT = (*_PLAIN, torch.Tensor, tuple)


def modules_of(function: Any) -> list[tuple[str, torch.nn.Module]]:
    """Return the modules that a callable is, is bound to, or closes over, with the names they have there."""
    if isinstance(function, torch.nn.Module):
        return [("", function)]
    if hasattr(function, "func") and hasattr(function, "keywords"):  # functools.partial
        return modules_of(function.func)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, torch.nn.Module):
        return [("", owner)]
    return [(name, value) for name, value in referenced(function) if isinstance(value, torch.nn.Module)]


def referenced(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) for what a Python function refers to: closure cells and globals that it names."""
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a cell that is not filled yet
            continue
    for name in code.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]


def within(modules: list[tuple[str, torch.nn.Module]]) -> dict[str, torch.nn.Module]:
    """Return the modules and all modules in them by path, each once."""
    memo: set[torch.nn.Module] = set()
    return {path: module for name, root in modules for path, module in root.named_modules(memo, name)}


def plain_tensors(function: Any, modules: Collection[torch.nn.Module]) -> list[torch.Tensor]:
    """Return the tensors that are neither parameters nor inputs: buffers, attributes, constants."""
    found: dict[int, torch.Tensor] = {}
    for module in modules:
        for value in [*module._buffers.values(), *vars(module).values()]:
            if not isinstance(value, _PLAIN):
                _collect(value, found, 2)
    if not isinstance(function, torch.nn.Module):
        for _, value in referenced(function):
            _collect(value, found, 2)
    return list(found.values())


def _collect(value: Any, found: dict[int, torch.Tensor], depth: int) -> None:
    if isinstance(value, torch.Tensor):
        if not isinstance(value, torch.nn.Parameter) and value.is_leaf:
            found[id(value)] = value
    elif depth and type(value) in (list, tuple):
        for child in value:
            _collect(child, found, depth - 1)
    elif depth and type(value) is dict:
        for child in value.values():
            _collect(child, found, depth - 1)


def generators(function: Any, modules: Collection[torch.nn.Module], given: Iterable[Any]) -> list[Any]:
    """Return PyTorch's generators that a function is given, refers to, or keeps in its modules."""
    named = [value for _, value in referenced(function)]
    kept = [value for module in modules for value in vars(module).values()]
    found = [value for value in (*given, *named, *kept) if issubclass(type(value), torch.Generator)]
    return list({id(generator): generator for generator in found}.values())


class ModuleState:
    """Training flags, attributes, buffers and gradients of modules, as they were.

    A forward pass may write into a buffer, which is put back by value elsewhere, or assign another tensor to
    its name, keep a list of what it has seen, or make a table when first called: that is put back here.
    """

    def __init__(self, modules: Collection[torch.nn.Module]) -> None:
        self._dictionaries: list[tuple[dict[str, Any], list[str], list[Any], tuple[type, ...]]] = [
            (held, list(held), list(held.values()), kinds)
            for module in modules
            for held, kinds in ((vars(module), _KEPT), (module._buffers, (torch.Tensor, type(None))))
            if isinstance(held, dict)  # TorchScript's buffers are none, and nothing replaces them
        ]
        self._lists = [
            (value, value.copy())
            for module in modules
            for key, value in vars(module).items()
            if type(value) in (list, dict) and not key.startswith("_")
        ]
        self._gradients = [
            (parameter, parameter.grad, None if parameter.grad is None else parameter.grad.clone())
            for module in modules
            for parameter in module._parameters.values()
            if parameter is not None
        ]
        self.holds_any = bool(self._dictionaries)

    def restore_attributes(self) -> None:
        """Put back counters, flags and the like; what was added is taken away."""
        for current, keys, values, kinds in self._dictionaries:
            if _alike(current, values):
                continue
            for key in set(current) - set(keys):
                del current[key]
            for key, value in zip(keys, values, strict=True):
                if isinstance(value, kinds) and current.get(key, _PLAIN) is not value:
                    current[key] = value
        for held, contents in self._lists:
            if len(held) != len(contents) or any(map(operator.is_not, _items(held), _items(contents))):
                held.clear()
                held.extend(contents) if isinstance(held, list) else held.update(contents)

    def restore_gradients(self) -> None:
        """Put back every ``.grad``, the object and its values."""
        for parameter, gradient, values in self._gradients:
            if gradient is not None and values is not None and not torch.equal(gradient, values):
                gradient.copy_(values)
            if parameter.grad is not gradient:
                parameter.grad = gradient


def _alike(current: dict[str, Any], contents: list[Any]) -> bool:
    """Whether a dictionary holds what it held, the same objects or equal ones."""
    try:
        return list(current.values()) == contents
    except Exception:  # of tensors, arrays and whatever cannot be compared another one is another
        return False


def _items(held: list[Any] | dict[Any, Any]) -> Iterable[Any]:
    return held.values() if isinstance(held, dict) else held
