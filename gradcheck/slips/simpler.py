"""Something too many: a call, a subscript, an operand, an argument."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradcheck.slips.places import Place
from gradcheck.slips.setting import Change, Setting


def calls(place: Place, setting: Setting) -> Iterator[Change]:
    """Take what a function or a method is called on in the place of its result, and the same of ``.T``."""
    node = place.node
    if place.is_target or place.is_called or not place.is_value:
        return
    if isinstance(node, ast.Call):
        what = f"is {_name(node)} too many"
        if isinstance(node.func, ast.Attribute) and not _is_module(node.func.value, setting):
            yield node.func.value, what
        yield from ((argument, what) for argument in node.args[:1])
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT", "H", "mH", "real", "imag"):
        yield node.value, f"is .{node.attr} too many"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice | ast.Tuple):
        yield node.value, "is a slice or a reversal too many"


def offsets(place: Place, setting: Setting) -> Iterator[Change]:
    """Leave out a number that is added or subtracted, as one at the end of a range."""
    node = place.node
    summed = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
    if isinstance(node, ast.BinOp) and summed and isinstance(node.right, ast.Constant):
        yield node.left, "is a term too many"


def operands(place: Place, setting: Setting) -> Iterator[Change]:
    """Leave out one side of a sum, a product or a power."""
    node = place.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
        term = "term" if isinstance(node.op, ast.Add | ast.Sub) else "factor"
        yield node.left, f"is a {term} too many"
        if isinstance(node.op, ast.Add | ast.Mult):
            yield node.right, f"is a {term} too many"


def arguments(place: Place, setting: Setting) -> Iterator[Change]:
    """Leave out one argument of a call."""
    node = place.node
    if not isinstance(node, ast.Call) or len(node.args) + len(node.keywords) < 2:
        return
    for i in range(len(node.args)) if len(node.args) > 1 else ():
        yield (
            ast.Call(node.func, node.args[:i] + node.args[i + 1 :], node.keywords),
            "is an argument too many",
        )
    for i in range(len(node.keywords)):
        yield (
            ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :]),
            "is an option too many",
        )


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return f"{call.func.attr}()"
    return f"{call.func.id}()" if isinstance(call.func, ast.Name) else "a call"


def _is_module(node: ast.AST, setting: Setting) -> bool:
    return isinstance(node, ast.Name) and node.id not in setting.variables
