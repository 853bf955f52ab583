"""What a function closes over: arrays, numbers and random generators that it uses besides its argument.

They name factors ("32 is the batch size") and masks in a diagnosis, and random generators found here are put
back before each call, so that a mask that is drawn anew is the same mask.
"""

from __future__ import annotations

import dis
import functools
import random
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DEPTH = 6
_MOST = 3000
_LARGEST = 2_000_000
# Modules whose functions and objects hold nothing of the user's.
_FOREIGN = ("numpy", "scipy", "torch", "gradcheck", "builtins", "functools", "math", "random")
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


@dataclass
class Surroundings:
    """By name: constant arrays and numbers; and the random generators."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    generators: list[Any] = field(default_factory=list)

    def named_numbers(self) -> dict[str, float]:
        """Return quantities in the words of a reader, the batch size first where it can be told."""
        named: dict[str, float] = {}
        firsts: dict[int, list[str]] = {}
        for name, array in self.arrays.items():
            if array.ndim:
                firsts.setdefault(array.shape[0], []).append(name)
        for length, names in firsts.items():
            if len(names) > 1 and length > 1:
                named[f"the length of {' and '.join(names[:2])} (the batch size?)"] = float(length)
        for name, array in self.arrays.items():
            if array.dtype.kind in "iu" and array.ndim == 1 and array.size and array.min() >= 0:
                named[f"the number of classes in {name}"] = float(array.max() + 1)
        return named | self.numbers


def surroundings(functions: Iterable[Any], params: Iterable[Any] = ()) -> Surroundings:
    """Return what the functions close over, leaving out the parameters themselves."""
    found = Surroundings()
    seen = {id(leaf) for leaf in params}
    budget = _MOST
    for function in functions:
        for name, thing in _reachable(function, "", _DEPTH, seen):
            _note(found, name, thing)
            budget -= 1
            if budget <= 0:
                return found
    return found


def _note(found: Surroundings, name: str, thing: Any) -> None:
    if isinstance(thing, np.ndarray):
        if thing.dtype.kind in "fciub" and 0 < thing.size <= _LARGEST:
            found.arrays.setdefault(name, thing)
    elif isinstance(thing, _GENERATORS):
        found.generators.append(thing)
    elif not isinstance(thing, bool | complex | np.complexfloating) and np.isfinite(thing) and thing > 0:
        found.numbers.setdefault(name, float(thing))


def _reachable(thing: Any, name: str, depth: int, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the leaves that can be reached from an object, each by its last name."""
    if depth == 0 or id(thing) in seen:
        return
    if isinstance(thing, (int, float, np.number, np.ndarray, *_GENERATORS)):
        if not isinstance(thing, int | float):
            seen.add(id(thing))
        yield name, thing
        return
    seen.add(id(thing))
    for inner, child in _inside(thing, name):
        yield from _reachable(child, inner, depth - 1, seen)


def _inside(thing: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, functools.partial):
        yield from thing.keywords.items()
        yield from ((name, argument) for argument in thing.args)
        yield "", thing.func
    elif isinstance(thing, types.MethodType):
        yield "", thing.__func__
        yield "", thing.__self__
    elif isinstance(thing, types.FunctionType):
        yield from _function(thing)
    elif isinstance(thing, Mapping):
        yield from ((key if isinstance(key, str) else name, child) for key, child in list(thing.items()))
    elif isinstance(thing, list | tuple):
        yield from ((f"{name}[{i}]", child) for i, child in enumerate(thing[:64]))
    elif not isinstance(thing, type | types.ModuleType) and not _foreign(type(thing)):
        yield from list(getattr(thing, "__dict__", {}).items())


def _function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    if _foreign(function):
        return
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that is not assigned yet
            continue
    # Not co_names: it holds attributes as well, and `x.T` is no use of a global T.
    used = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    yield from ((name, function.__globals__[name]) for name in sorted(used & set(function.__globals__)))
    arguments = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    yield from zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def _foreign(thing: Any) -> bool:
    module = getattr(thing, "__module__", None) or ""
    return module.split(".")[0] in _FOREIGN
