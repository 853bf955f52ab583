"""Where settings are given, and the same subject with others in their place.

A setting is whatever no tensor holds: a number, a flag, a word. It may be among the arguments, or reach a
hand-written Function by another way.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck.blame import functions, patches
from gradcheck.subjects.torch import TorchSubject
from gradcheck.variations.base import Context, started

# Tables, tensors that get no gradient, are multiplied by this.
MOVED = 0.93


@dataclass(frozen=True, eq=False)
class Setting:
    """Where a value is given: to the subject by position or keyword (``cls`` None), or to a Function.

    ``name`` is what the function calls it, empty where that is not known.
    """

    cls: Any
    key: int | str
    value: Any
    name: str = ""

    def __str__(self) -> str:
        if self.cls is not None:
            return f"argument {self.key} of {self.cls.__qualname__.split('<locals>.')[-1]}"
        return f"inputs[{self.key}]" if isinstance(self.key, int) else f'kwargs["{self.key}"]'


def given(subject: TorchSubject, wanted: Callable[[Any], bool]) -> list[Setting]:
    """Return the arguments that are wanted."""
    names = _names(subject.function)
    pairs: list[tuple[int | str, Any]] = [*enumerate(subject.args), *subject.kwargs.items()]
    return [Setting(None, key, value, _name(names, key)) for key, value in pairs if wanted(value)]


def _names(function: Any) -> tuple[str, ...]:
    owner = getattr(function, "__self__", None)
    try:
        if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
            return functions.forward_names(owner)
        return tuple(inspect.signature(getattr(function, "forward", function)).parameters)
    except (TypeError, ValueError):  # of a built-in function, or of nothing that has a signature
        return ()


def _name(names: tuple[str, ...], key: int | str) -> str:
    if isinstance(key, str):
        return key
    return names[key] if key < len(names) else ""


def applied(context: Context, wanted: Callable[[Any], bool]) -> list[Setting]:
    """Return the arguments of the hand-written Functions of a run that are wanted, by their first call."""
    found: dict[tuple[Any, int], Setting] = {}

    def visit(cls: Any, real: Any, args: Any, kwargs: Any) -> Any:
        if cls.__module__.partition(".")[0] != "torch":
            names = functions.forward_names(cls)
            for i, value in enumerate(args):
                if wanted(value):
                    found.setdefault((cls, i), Setting(cls, i, value, _name(names, i)))
        return real(*args, **kwargs)

    with patches.function_apply(visit), torch.enable_grad(), context.subject.running({}):
        return list(found.values())


def is_setting(value: Any) -> bool:
    """Whether it is a number, a flag, a word, or a few integers."""
    if type(value) in (tuple, list):
        return bool(value) and all(type(each) is int for each in value)
    return type(value) in (float, bool, int, str)


def is_table(value: Any) -> bool:
    """Whether it is a tensor of numbers that gets no gradient."""
    return isinstance(value, torch.Tensor) and value.is_floating_point() and not value.requires_grad


@contextlib.contextmanager
def changed(context: Context, changes: Mapping[Setting, Any]) -> Iterator[TorchSubject | None]:
    """Give the started subject with settings changed; None where its forward pass raises."""
    own = context.subject
    own.renew()  # it draws the same random numbers
    args, kwargs = list(own.args), dict(own.kwargs)
    for setting, value in changes.items():
        if setting.cls is None:
            (args if isinstance(setting.key, int) else kwargs)[setting.key] = value  # type: ignore[index]  # a list has positions, a dictionary keywords
    inside = [(setting, value) for setting, value in changes.items() if setting.cls is not None]
    with _passing(inside), started(own.at(args, kwargs)) as subject:
        yield subject


def _passing(inside: list[tuple[Setting, Any]]) -> contextlib.AbstractContextManager[None]:
    """Give Functions other values in the place of theirs."""

    def visit(called: Any, real: Any, args: Any, kwargs: Any) -> Any:
        values = list(args)
        for setting, value in inside:
            i = setting.key
            if (
                called is setting.cls
                and isinstance(i, int)
                and i < len(values)
                and _same(values[i], setting.value)
            ):
                values[i] = values[i] * MOVED if is_table(value) else value
        return real(*values, **kwargs)

    return patches.function_apply(visit) if inside else contextlib.nullcontext()


def _same(a: Any, b: Any) -> bool:
    return (is_table(a) and is_table(b)) or (type(a) is type(b) and is_setting(a) and bool(a == b))
