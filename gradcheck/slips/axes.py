"""Another order of axes, an axis along which to sum, an axis to keep."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from gradcheck.slips.places import Place
from gradcheck.slips.setting import Change, Setting

_REDUCTIONS = ("sum", "mean", "max", "min", "prod", "var", "std", "amax", "amin")
_PERMUTATIONS = ("transpose", "permute")
_MOST_AXES = 4


def orders(place: Place, setting: Setting) -> Iterator[Change]:
    """Transpose to another order of axes; two that are exchanged are tried among the exchanges."""
    node = place.node
    if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") not in _PERMUTATIONS:
        return
    last = node.args[-1] if node.args else None
    inside = isinstance(last, ast.Tuple | ast.List)
    given = last.elts if isinstance(last, ast.Tuple | ast.List) else node.args
    axes = [axis.value for axis in given if isinstance(axis, ast.Constant) and isinstance(axis.value, int)]
    if not 2 < len(axes) == len(given) <= _MOST_AXES or sorted(axes) != list(range(len(axes))):
        return
    for order in itertools.permutations(range(len(axes))):
        constants: list[ast.expr] = [ast.Constant(axis) for axis in order]
        args = [*node.args[:-1], ast.Tuple(constants, ast.Load())] if inside else constants
        if list(order) != axes:
            yield ast.Call(node.func, args, node.keywords), "are the axes in the wrong order"


def reductions(place: Place, setting: Setting) -> Iterator[Change]:
    """Reduce along one axis instead of all, or keep the axis that is reduced."""
    node = place.node
    if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") not in _REDUCTIONS:
        return
    axis, keep = ("dim", "keepdim") if setting.is_torch else ("axis", "keepdims")
    named = {keyword.arg for keyword in node.keywords}
    library = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == setting.library
    along = len(node.args) > library or named & {"axis", "dim"}
    if along and keep not in named:
        yield _with(node, keep, True), f"is {keep}=True forgotten"
    for number in () if along else (0, -1, 1):
        yield _with(node, axis, number), f"is the {axis} forgotten"


def _with(call: ast.Call, name: str, value: int) -> ast.Call:
    return ast.Call(call.func, call.args, [*call.keywords, ast.keyword(name, ast.Constant(value))])
