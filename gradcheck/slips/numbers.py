"""Another number, option or mode: an index off by one, an axis, a factor of two, an offset of a diagonal."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradcheck.slips.places import Place
from gradcheck.slips.setting import Change, Setting

_MODES = (("full", "valid", "same"), ("sum", "mean", "none"), ("constant", "edge", "reflect"))


def numbers(place: Place, setting: Setting) -> Iterator[Change]:
    """Change a number to those that are mistaken for it."""
    value = _value(place)
    if value is None:
        return
    if isinstance(place.parent, ast.Slice) and place.field == "step":
        return
    for other in _others(value):
        if other == 0 and isinstance(place.parent, ast.BinOp):
            continue  # as good as left out
        yield _written(other), f"is {_role(place)} wrong"


def _role(place: Place) -> str:
    """Return what a number is for, as far as its surroundings tell."""
    parent = place.parent
    if isinstance(parent, ast.keyword) and parent.arg:
        return f"the {parent.arg}"
    if isinstance(parent, ast.BinOp):
        if isinstance(parent.op, ast.Pow):
            return "an exponent"
        return "a factor" if isinstance(parent.op, ast.Mult | ast.Div) else "a number"
    if isinstance(parent, ast.Subscript | ast.Slice):
        return "an index"
    return "an argument (an axis, an offset)" if isinstance(parent, ast.Call) else "a number"


def _value(place: Place) -> float | None:
    """Return the number that is written in a place, its sign included."""
    node, parent = place.node, place.parent
    if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub) and _number(node) is not None:
        return None  # seen with its sign
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inside = _number(node.operand)
        return None if inside is None else -inside
    return _number(node)


def _number(node: ast.AST) -> float | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _others(x: float) -> list[float]:
    near: list[float]
    if isinstance(x, int):
        near = [x + 1, x - 1, -x, 2 * x, 0, x + 2, x - 2]
        near += [x // 2] if x % 2 == 0 else []
    else:
        near = [-x, 2 * x, x / 2, x + 1, x - 1, 1 - x, x * x]
        near += [1 / x] if x else []
    return [y for i, y in enumerate(near) if y != x and y not in near[:i]]


def _written(x: float) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-x)) if x < 0 else ast.Constant(x)


def options(place: Place, setting: Setting) -> Iterator[Change]:
    """Turn an option the other way, or take another mode of the same function."""
    node = place.node
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value), "is an option the other way round"
    for modes in _MODES:
        if node.value in modes:
            yield from ((ast.Constant(m), "is it another mode") for m in modes if m != node.value)
