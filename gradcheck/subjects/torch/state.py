"""What a forward pass may change besides its result, saved and put back.

Parameters, buffers and plain tensor attributes are exchanged through ``.data``: the Parameter objects stay
the same, so that tied weights, hooks, parametrizations and references kept elsewhere all see the exchange.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


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


def plain_tensors(function: Any, modules: list[tuple[str, torch.nn.Module]]) -> list[torch.Tensor]:
    """Return the tensors that are neither parameters nor inputs: buffers, attributes, constants."""
    found: dict[int, torch.Tensor] = {}
    for _, root in modules:
        for module in root.modules():
            for value in [*module._buffers.values(), *vars(module).values()]:
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


class Randomness:
    """The random generators of PyTorch, NumPy and Python at one moment."""

    def __init__(self) -> None:
        self._torch = torch.random.get_rng_state()
        self._numpy: Any = np.random.get_state()  # noqa: NPY002 - users' forward passes draw from the global generator
        self._python = random.getstate()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._used: list[Callable[[], None]] | None = None

    def restore(self) -> None:
        """Put back every generator, or after ``narrow`` only those found in use."""
        for put_back in self._used if self._used is not None else self._all():
            put_back()

    def restore_all(self) -> None:
        """Put back every generator."""
        for put_back in self._all():
            put_back()

    def narrow(self) -> None:
        """Find out, after a forward pass, which generators it used; only those are put back from now on."""
        used: list[Callable[[], None]] = []
        if not torch.equal(self._torch, torch.random.get_rng_state()):
            used.append(self._restore_torch)
        now: Any = np.random.get_state()  # noqa: NPY002 - as above
        if self._numpy[2] != now[2] or not np.array_equal(self._numpy[1], now[1]):
            used.append(self._restore_numpy)
        if self._python != random.getstate():
            used.append(self._restore_python)
        if self._cuda is not None:
            used.append(self._restore_cuda)
        self._used = used

    @property
    def in_use(self) -> bool:
        """Whether the forward pass draws random numbers."""
        return bool(self._used)

    def _all(self) -> list[Callable[[], None]]:
        return [self._restore_torch, self._restore_numpy, self._restore_python, self._restore_cuda]

    def _restore_torch(self) -> None:
        torch.random.set_rng_state(self._torch)

    def _restore_numpy(self) -> None:
        np.random.set_state(self._numpy)  # noqa: NPY002 - as above

    def _restore_python(self) -> None:
        random.setstate(self._python)

    def _restore_cuda(self) -> None:
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)


class ModuleState:
    """Training flags, plain Python attributes and gradients of modules, as they were."""

    def __init__(self, modules: list[tuple[str, torch.nn.Module]]) -> None:
        self._attributes = [
            (module, {key: value for key, value in vars(module).items() if isinstance(value, _PLAIN)})
            for _, root in modules
            for module in root.modules()
        ]
        self._gradients = [
            (parameter, parameter.grad, None if parameter.grad is None else parameter.grad.clone())
            for _, root in modules
            for parameter in root.parameters()
        ]

    def restore_attributes(self) -> None:
        """Put back counters, flags and the like."""
        for module, attributes in self._attributes:
            current = vars(module)
            for key, value in attributes.items():
                if current.get(key, _PLAIN) is not value:
                    current[key] = value

    def restore_gradients(self) -> None:
        """Put back every ``.grad``, the object and its values."""
        for parameter, gradient, values in self._gradients:
            if gradient is not None and values is not None and not torch.equal(gradient, values):
                gradient.copy_(values)
            if parameter.grad is not gradient:
                parameter.grad = gradient
