"""The places in a function's tree at which something can be changed, and how a change reads."""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# A statement that is longer is not shown whole, but only so much around what is changed.
_LONG, _AROUND = 88, 56
_SKIPPED = (ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop)


@dataclass(frozen=True)
class Place:
    """A node, where it hangs (``index`` is None where the field is no list), and the nodes above it.

    ``above`` runs from the node's parent outwards and ends at the statement that it is in.
    """

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    above: tuple[ast.AST, ...]

    @property
    def statement(self) -> ast.AST:
        """The statement that the node is in, or is."""
        return self.above[-1] if self.above else self.node

    @property
    def is_value(self) -> bool:
        """Whether the node is an expression that is read, and not a part of what is assigned to."""
        context = getattr(self.node, "ctx", None)
        return isinstance(self.node, ast.expr) and not isinstance(context, ast.Store | ast.Del)

    @property
    def is_target(self) -> bool:
        """Whether the node is written into, as ``dx`` in ``dx[i] += 1`` is."""
        chain = (self.node, *self.above)
        return any(
            isinstance(outer, ast.Subscript | ast.Attribute)
            and isinstance(outer.ctx, ast.Store)
            and outer.value is inner
            for inner, outer in itertools.pairwise(chain)
        )

    @property
    def is_several(self) -> bool:
        """Whether the node is a call whose results are assigned one by one: no array."""
        targets = self.parent.targets if isinstance(self.parent, ast.Assign) else []
        return isinstance(self.node, ast.Call) and any(isinstance(t, ast.Tuple | ast.List) for t in targets)

    @property
    def is_called(self) -> bool:
        """Whether the node is a function that is called, or an object whose method is."""
        parent = self.parent
        return isinstance(parent, ast.Call) and self.field == "func"

    def put(self, node: Any) -> None:
        """Hang another node in the place."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def places(function: ast.FunctionDef) -> list[Place]:
    """Return all places in a function's body, in the order of the source."""
    found: list[Place] = []
    for i, statement in enumerate(function.body):
        found += _within(statement, function, "body", i, ())
    return found


def _within(
    node: ast.AST, parent: ast.AST, field: str, index: int | None, above: tuple[ast.AST, ...]
) -> Iterator[Place]:
    if isinstance(node, _SKIPPED):
        return
    yield Place(node, parent, field, index, above)
    if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
        return
    for name, value in ast.iter_fields(node):
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for i, child in children:
            if isinstance(child, ast.stmt):
                yield from _within(child, node, name, i, ())
            elif isinstance(child, ast.AST):
                yield from _within(child, node, name, i, (node, *above))


def reading(place: Place, node: ast.AST) -> tuple[str, str]:
    """Return the code before and after ``node`` is put in the place: the statement, or what is around it."""
    shown = _shown(place)
    before = _text(shown)
    place.put(node)
    try:
        after = _text(node if shown is place.node else shown)
    finally:
        place.put(place.node)
    return before, after


def _shown(place: Place) -> ast.AST:
    if len(_text(place.statement)) <= _LONG:
        return place.statement
    shown = place.node
    for outer in place.above:
        if not isinstance(outer, ast.expr) or len(_text(outer)) > _AROUND:
            break
        shown = outer
    return shown


def _text(node: ast.AST) -> str:
    """Return the code of a node; of a loop or a condition its first line."""
    text = ast.unparse(node)
    return text.splitlines()[0] if isinstance(node, ast.stmt) else text


def copied(node: ast.AST) -> Any:
    """Return a copy that can be hung elsewhere."""
    return copy.deepcopy(node)


def written(text: str, **nodes: ast.AST) -> ast.expr:
    """Return the expression that a text stands for, with some of its names replaced by nodes."""
    tree = ast.parse(text, mode="eval").body

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> Any:
            return nodes.get(node.id, node)

    filled: ast.expr = Fill().visit(tree)
    return filled
