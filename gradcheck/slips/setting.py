"""What a change may use: the variables of a function as its last run left them, and its library."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

from gradcheck.slips.places import Place, places
from gradcheck.slips.source import Source

# A change in the place, and the question that it is the answer to.
Change = tuple[ast.AST, str]
_MOST_DONORS = 24


@dataclass(frozen=True)
class Setting:
    """``variables`` are the function's own; ``in_place`` says whether it changes arrays where they are."""

    source: Source
    variables: Mapping[str, Any]
    in_place: bool
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
        return tuple(given) if isinstance(given, tuple) else () if _is_number(value) else None

    def value(self, node: ast.AST) -> Any:
        """Return what a name, a constant key of one or an attribute of one last was; else None."""
        if isinstance(node, ast.Name):
            globals_ = self.function.__globals__
            return self.variables.get(node.id, globals_.get(node.id))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            base = self.value(node.value)
            return base.get(node.slice.value) if isinstance(base, Mapping) else None
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            hidden = base is None or hasattr(base, "shape") or isinstance(base, ModuleType)
            return None if hidden else getattr(base, "__dict__", {}).get(node.attr)
        return None

    @cached_property
    def donors(self) -> list[ast.expr]:
        """Expressions that the function reads somewhere and that are arrays or numbers, each once."""
        found: dict[str, Any] = {}
        for name in self.variables:
            variable = ast.Name(name, ast.Load())
            if self.shape(variable) is not None and name.isidentifier():
                found.setdefault(name, variable)
        held = {id(self.value(node)) for node in found.values()}
        for node in (place.node for place in self.places if place.is_value):
            readable = isinstance(node, ast.Name | ast.Subscript | ast.Attribute)
            if readable and self.shape(node) is not None and id(self.value(node)) not in held:
                found.setdefault(ast.unparse(node), node)
        return list(found.values())[:_MOST_DONORS]

    @cached_property
    def unread(self) -> list[ast.expr]:
        """The variables that the function assigns to, in one place or more, and reads in none."""
        names = [node for node in ast.walk(self.source.tree) if isinstance(node, ast.Name)]
        read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        found = [donor for donor in self.donors if isinstance(donor, ast.Name) and donor.id not in read]
        assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        return [donor for donor in found if donor.id in assigned]

    def arrays(self) -> Iterator[ast.expr]:
        """Yield the donors that are arrays."""
        yield from (donor for donor in self.donors if self.shape(donor))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)


def set_in(source: Source, variables: Mapping[str, Any], in_place: bool) -> Setting:
    """Prepare a function for being changed."""
    return Setting(source, variables, in_place, places(source.tree))
