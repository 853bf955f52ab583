"""What a change may use: the variables of a function as its last run left them, and its library."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np

from gradcheck.slips.places import Place, copied, places
from gradcheck.slips.source import Source

# A change in the place, and the question that it is the answer to.
Change = tuple[ast.AST, str]
_MOST_DONORS = 28
# Entries of what is looked at from around a function, a data set say.
_LARGEST = 100_000


@dataclass(frozen=True)
class Setting:
    """``variables`` are the function's own; ``in_place`` says whether it changes arrays where they are.

    ``shared``: the forward pass runs it, too, and its value must stay what it is. ``named``: what functions
    that ran call things around them.
    """

    source: Source
    variables: Mapping[str, Any]
    in_place: bool
    shared: bool
    named: frozenset[str] = frozenset()
    places: list[Place] = field(default_factory=list)

    @property
    def function(self) -> Any:
        """The function that is changed."""
        return self.source.function

    @cached_property
    def is_torch(self) -> bool:
        """Whether the function computes with PyTorch's tensors."""
        return any(type(value).__module__.startswith("torch") for value in self.variables.values())

    @cached_property
    def library(self) -> str | None:
        """The name by which the function knows NumPy or PyTorch; None where it knows neither."""
        wanted = "torch" if self.is_torch else "numpy"
        named = self.function.__globals__.items()
        return next((n for n, v in named if isinstance(v, ModuleType) and v.__name__ == wanted), None)

    def shape(self, node: ast.AST) -> tuple[int, ...] | None:
        """Return the shape of what an expression last was, where that is plain to see."""
        value = self.value(node)
        given = getattr(value, "shape", None)
        if value is None:
            return self._computed(node)
        return tuple(given) if isinstance(given, tuple) else () if _is_number(value) else None

    def _computed(self, node: ast.AST) -> tuple[int, ...] | None:
        """Return the shape of a sum, a product or a transpose of what has one."""
        if isinstance(node, ast.Attribute) and node.attr == "T":
            shape = self.shape(node.value)
            return None if shape is None else shape[::-1]
        if not isinstance(node, ast.BinOp):
            return None
        left, right = self.shape(node.left), self.shape(node.right)
        if left is None or right is None:
            return None
        return product(left, right) if isinstance(node.op, ast.MatMult) else _broadcast(left, right)

    def value(self, node: ast.AST) -> Any:
        """Return what a name, an entry of one or an attribute of one last was; else None."""
        if isinstance(node, ast.Name):
            globals_ = self.function.__globals__
            return self.variables.get(node.id, globals_.get(node.id))
        if isinstance(node, ast.Subscript):
            return self._entry(self.value(node.value), node.slice)
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            hidden = base is None or hasattr(base, "shape") or isinstance(base, ModuleType)
            return None if hidden else getattr(base, "__dict__", {}).get(node.attr)
        return None

    def _entry(self, base: Any, index: ast.expr) -> Any:
        if not isinstance(base, Mapping | list | tuple | np.ndarray):
            return None
        try:
            return base[self._index(index)]
        except (LookupError, TypeError, ValueError):
            return None

    def _index(self, node: ast.expr | None) -> Any:
        """Return what an index last was, where it is made of names and constants; raise where it is not."""
        if node is None or isinstance(node, ast.Constant):
            return node.value if node else None
        if isinstance(node, ast.Tuple):
            return tuple(self._index(part) for part in node.elts)
        if isinstance(node, ast.Slice):
            return slice(*(self._index(part) for part in (node.lower, node.upper, node.step)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._index(node.operand)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            left, right = self._index(node.left), self._index(node.right)
            return left + right if isinstance(node.op, ast.Add) else left - right
        value = self.value(node)
        if value is None:
            raise LookupError
        return value

    @cached_property
    def indices(self) -> list[ast.expr]:
        """The whole numbers that the function uses as an index somewhere, each once."""
        subscripts = [place.node for place in self.places if isinstance(place.node, ast.Subscript)]
        names = [n for node in subscripts for n in ast.walk(node.slice) if isinstance(n, ast.Name)]
        found = {name.id: ast.Name(name.id, ast.Load()) for name in names}
        return [name for name in found.values() if isinstance(self.value(name), int | np.integer)]

    def alike(self, node: ast.AST) -> Iterator[ast.expr]:
        """Yield names of other lists, tuples or mappings of the same length as that of a node."""
        own = self.value(node)
        named = [place.node.id for place in self.places if isinstance(place.node, ast.Name)]
        for name in dict.fromkeys([*self.variables, *named]) if _is_container(own) else ():
            other = self.value(ast.Name(name, ast.Load())) if name.isidentifier() else None
            if (
                _is_container(other)
                and type(other) is type(own)
                and other is not own
                and len(other) == len(own)
            ):
                yield ast.Name(name, ast.Load())

    @cached_property
    def donors(self) -> list[ast.expr]:
        """Expressions that the function reads somewhere and that are arrays or numbers, each once."""
        found: dict[str, Any] = {}
        for name in self.variables:
            variable = ast.Name(name, ast.Load())
            if self.shape(variable) is not None and name.isidentifier():
                found.setdefault(name, variable)
        found.update(self._kept())
        found.update(self._around(found))
        held = {id(self.value(node)) for node in found.values()}
        for node in (place.node for place in self.places if place.is_value):
            readable = isinstance(node, ast.Name | ast.Subscript | ast.Attribute)
            if readable and self.shape(node) is not None and id(self.value(node)) not in held:
                found.setdefault(ast.unparse(node), copied(node))  # a part of it may be changed to it
        return list(found.values())[:_MOST_DONORS]

    def _around(self, found: Mapping[str, Any]) -> dict[str, ast.expr]:
        """Return the arrays and numbers of the module that a function that ran reads."""
        named = [name for name in self.function.__globals__ if name in self.named and name not in found]
        variables = {name: ast.Name(name, ast.Load()) for name in named}
        shapes = {name: self.shape(node) for name, node in variables.items()}
        small = [name for name, shape in shapes.items() if shape is not None and math.prod(shape) <= _LARGEST]
        return {name: variables[name] for name in small}

    def _kept(self) -> dict[str, ast.expr]:
        """Return the arrays and numbers that the object whose method this is keeps."""
        first = next(iter(self.source.tree.args.args), None)
        holder = self.variables.get(first.arg) if first is not None and first.arg == "self" else None
        attributes = {
            name: ast.Attribute(ast.Name("self", ast.Load()), name, ast.Load())
            for name in getattr(holder, "__dict__", {})
        }
        return {f"self.{n}": node for n, node in attributes.items() if self.shape(node) is not None}

    @cached_property
    def unread(self) -> list[ast.expr]:
        """The variables that the function assigns to, in one place or more, and reads in none."""
        names = [node for node in ast.walk(self.source.tree) if isinstance(node, ast.Name)]
        read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        found = [donor for donor in self.donors if isinstance(donor, ast.Name) and donor.id not in read]
        assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        return [donor for donor in found if donor.id in assigned]

    @cached_property
    def counts(self) -> list[ast.expr]:
        """Donors of which each has another number of entries along its first axis, more than one."""
        found: dict[int, ast.expr] = {}
        for donor in self.arrays():
            length = (self.shape(donor) or (1,))[0]
            if length > 1:
                found.setdefault(length, donor)
        return list(found.values())

    def siblings(self, node: ast.AST) -> Iterator[ast.expr]:
        """Yield the other attributes of the object that an attribute is of."""
        if isinstance(node, ast.Attribute) and self.shape(node) is not None:
            for name in getattr(self.value(node.value), "__dict__", {}):
                yield ast.Attribute(copied(node.value), name, ast.Load())

    def arrays(self) -> Iterator[ast.expr]:
        """Yield the donors that are arrays."""
        yield from (donor for donor in self.donors if self.shape(donor))


def product(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of a matrix product of vectors or matrices; None where there is none."""
    if max(len(left), len(right)) > 2 or not left or not right or left[-1] != right[0]:
        return None
    return (*left[:-1], *right[1:])


def _broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(left, right)
    except ValueError:
        return None


def _is_container(value: Any) -> TypeGuard[Sized]:
    return isinstance(value, list | tuple | dict) and len(value) > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)


def set_in(
    source: Source, variables: Mapping[str, Any], in_place: bool, shared: bool, named: frozenset[str]
) -> Setting:
    """Prepare a function for being changed."""
    return Setting(source, variables, in_place, shared, named, places(source.tree))
