"""A torch program beside the same program with one line of its source changed.

Each program is a function, written as an engineer would write the code in it, that returns what is to be
verified together with the same computation in plain operations, whose gradient is beyond doubt. A fault is
planted by replacing text in the program's source: what is wrong can be read in one line, the right twin is
the program as it stands, and line numbers stay what they are.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_CLASS = re.compile(r"class (\w+)\(Function\)")

# What a fault needs to show, beyond the point, the layout and the cotangents that it is called with. "":
# nothing. Names of variations are those of ``gradcheck.verify``.
NEEDS = (
    "",
    "cotangent layouts",
    "each output alone",
    "large magnitudes",
    "linearity",
    "non-contiguous inputs",
    "nothing changed in place",
    "other points",
    "other settings",
    "other sizes",
    "own precision",
    "repeated backward",
    "repeated indices",
    "requires_grad subsets",
    "same tensor twice",
    "second order",
    "some zeros",
    "ties",
    "whole and empty masks",
    "zero indices",
    "zeros",
)


@dataclass(frozen=True)
class Program:
    """``function(*args, **kwargs)`` is to be verified; ``plain`` computes the same in plain operations.

    Where ``function`` is a module, ``plain`` is one with the same parameters.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    plain: Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True)
class TorchFault:
    """``old`` becomes ``new`` in the source of ``program``.

    Attributes:
        family: the class of mistake.
        name: what is wrong.
        program: returns the right twin.
        needs: one of ``NEEDS``.
        diagnosis: the kinds of mistake that a report may name; empty where none fits.
        blame: the operation to be blamed: by default the backward pass of the only Function in the program;
            None where it cannot be told.
        options: of ``gradcheck.verify``, beyond its defaults.
        given: arguments of ``program``.
        reveal: further arguments of ``program``, at which a fault shows that is hidden without them.
        precision: whether the mathematics is right, and digits are lost.
    """

    family: str
    name: str
    program: Callable[..., Program]
    old: str
    new: str
    needs: str = ""
    diagnosis: tuple[str, ...] = ()
    blame: str | None = ""
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    given: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    reveal: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    precision: bool = False

    def right(self, **arguments: Any) -> Program:
        """Return the right twin."""
        return self.program(**{**self.given, **arguments})

    def wrong(self, **arguments: Any) -> Program:
        """Return the program with the fault in it.

        Raises:
            ValueError: where ``old`` does not occur exactly once.
        """
        return _changed(self.program, self.old, self.new)(**{**self.given, **arguments})

    @property
    def guilty(self) -> str | None:
        """The operation that must be blamed, as reports name it."""
        if self.blame != "":
            return self.blame
        found = _CLASS.search(inspect.getsource(self.program))
        return f"{found.group(1)}.backward" if found else None


def _changed(program: Callable[..., Program], old: str, new: str) -> Callable[..., Program]:
    source = inspect.getsource(program)
    if source.count(old) != 1:
        raise ValueError(f"{old!r} occurs {source.count(old)} times in {program.__name__}, not once.")
    # blank lines in front, so that every line keeps its number
    above = "\n" * (program.__code__.co_firstlineno - 1)
    scope = dict(vars(sys.modules[program.__module__]))
    exec(compile(above + source.replace(old, new), program.__code__.co_filename, "exec"), scope)
    changed: Callable[..., Program] = scope[program.__name__]
    return changed
