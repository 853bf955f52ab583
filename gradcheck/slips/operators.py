"""Another comparison, another sign, an assignment that should add up."""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Iterator

from gradcheck.slips.places import Place, copied
from gradcheck.slips.setting import Change, Setting

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Gt: (ast.GtE, ast.Lt, ast.LtE),
    ast.GtE: (ast.Gt, ast.LtE, ast.Lt),
    ast.Lt: (ast.LtE, ast.Gt, ast.GtE),
    ast.LtE: (ast.Lt, ast.GtE, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
_MOST_EXCHANGED = 8
_SIGN = "is a sign wrong"
_OPERATORS: dict[type[ast.operator], tuple[tuple[type[ast.operator], str], ...]] = {
    ast.Add: ((ast.Sub, _SIGN),),
    ast.Sub: ((ast.Add, _SIGN),),
    ast.Mult: ((ast.Div, "is it multiplied by what it should be divided by"),),
    ast.Div: ((ast.Mult, "is it divided by what it should be multiplied by"),),
}


def comparisons(place: Place, setting: Setting) -> Iterator[Change]:
    """Compare in another way."""
    node = place.node
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in _COMPARISONS.get(type(node.ops[0]), ()):
            changed = ast.Compare(node.left, [kind()], node.comparators)
            yield changed, "is the comparison the wrong way round, or wrong at ties"


def operators(place: Place, setting: Setting) -> Iterator[Change]:
    """Exchange plus and minus, times and divided by, the factors of a matrix product."""
    node = place.node
    if isinstance(node, ast.BinOp):
        for kind, what in _OPERATORS.get(type(node.op), ()):
            yield ast.BinOp(node.left, kind(), node.right), what
        if isinstance(node.op, ast.MatMult):
            yield ast.BinOp(node.right, node.op, node.left), "are the factors of a product exchanged"
    if isinstance(node, ast.AugAssign):
        for kind, what in _OPERATORS.get(type(node.op), ()):
            yield ast.AugAssign(node.target, kind(), node.value), what
    reversal = isinstance(place.parent, ast.Slice)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not reversal:
        yield node.operand, _SIGN


def exchanges(place: Place, setting: Setting) -> Iterator[Change]:
    """Exchange two results that are returned, or two arguments."""
    node = place.node
    for field in ("values", "elts", "args"):
        given = getattr(node, field, None)
        if not isinstance(given, list) or isinstance(node, ast.BoolOp | ast.JoinedStr):
            continue
        what = "are two arguments exchanged" if field == "args" else "are two results exchanged"
        for i, j in itertools.combinations(range(min(len(given), _MOST_EXCHANGED)), 2):
            changed = copy.copy(node)
            others = [given[{i: j, j: i}.get(k, k)] for k in range(len(given))]
            setattr(changed, field, others)
            yield changed, what


def assignments(place: Place, setting: Setting) -> Iterator[Change]:
    """Add to what is overwritten, and overwrite what is added to."""
    node = place.node
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        yield ast.Assign([node.target], node.value), "is it added to where it should be set"
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return
    target = node.targets[0]
    what = "is it overwritten where it should be added to (+=)"
    if isinstance(target, ast.Subscript):
        yield ast.AugAssign(target, ast.Add(), node.value), what
    elif isinstance(target, ast.Name) and _assigned(setting, target.id) > 1:
        before = copied(target)
        before.ctx = ast.Load()  # no +=: that would change whatever else the name stands for
        yield ast.Assign([target], ast.BinOp(before, ast.Add(), node.value)), what


def _assigned(setting: Setting, name: str) -> int:
    """Return how often a function assigns to a name."""
    stores = (n for n in ast.walk(setting.source.tree) if isinstance(n, ast.Name))
    return sum(node.id == name and isinstance(node.ctx, ast.Store) for node in stores)
