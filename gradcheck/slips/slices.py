"""Another stride, or another end, of a slice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from gradcheck.slips.places import Place, copied, written
from gradcheck.slips.setting import Change, Setting


def strides(place: Place, setting: Setting) -> Iterator[Change]:
    """Multiply an index, in all of a subscript, by a whole number that is at hand."""
    node = place.node
    if not isinstance(node, ast.Subscript):
        return
    indices = {n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)}
    for name in sorted(indices):
        for donor in _whole_numbers(setting):
            if ast.unparse(donor) != name:
                scaled = written(f"{name} * d", d=donor)
                inside = _in_place_of(name, scaled, node.slice)
                what = f"is the index not multiplied by {ast.unparse(donor)} (a stride)"
                yield ast.Subscript(node.value, inside, node.ctx), what


def corners(place: Place, setting: Setting) -> Iterator[Change]:
    """Move the slices of all axes by the same, as where what was padded is cut off."""
    node = place.node
    slices = [part for part in _parts(node) if part.lower is not None or part.upper is not None]
    if not isinstance(node, ast.Subscript) or len(slices) < 2:
        return
    what = "do slices begin or end at the wrong place"
    padding = sorted(_whole_numbers(setting), key=lambda donor: "pad" not in ast.unparse(donor))
    for donor in [*padding, ast.Constant(1)]:
        for text in ("b + d", "b - d"):
            moved = [_moved(part, text, donor, slices) for part in _parts(node)]
            yield ast.Subscript(node.value, _replaced(node.slice, moved), node.ctx), what


def _parts(node: ast.AST) -> list[ast.Slice]:
    inside = node.slice.elts if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple) else []
    return [part for part in inside if isinstance(part, ast.Slice)]


def _moved(part: ast.Slice, text: str, donor: ast.expr, slices: list[ast.Slice]) -> ast.Slice:
    """Return a slice with both ends moved; 0 is what is left out."""
    if part not in slices:
        return part
    plain = part.lower is None or (isinstance(part.lower, ast.Constant) and part.lower.value == 0)
    start = donor if plain else written(text, b=part.lower or donor, d=donor)
    return _slice(part, lower=start, upper=written(text, b=part.upper, d=donor) if part.upper else None)


def _replaced(index: ast.expr, moved: list[ast.Slice]) -> ast.expr:
    assert isinstance(index, ast.Tuple), "it has several slices"
    left = iter(moved)
    return ast.Tuple([next(left) if isinstance(p, ast.Slice) else p for p in index.elts], index.ctx)


def ends(place: Place, setting: Setting) -> Iterator[Change]:
    """Cut off other ends: one fewer, one more, as many on both sides, a stride."""
    node = place.node
    if not isinstance(node, ast.Slice):
        return
    what = "does a slice begin or end at the wrong place"
    for bound in ("lower", "upper"):
        old = getattr(node, bound)
        if old is not None and not isinstance(old, ast.Constant):
            for text in ("b + 1", "b - 1"):
                yield _slice(node, **{bound: written(text, b=old)}), what
    for donor in [*_whole_numbers(setting), ast.Constant(1)]:
        yield ast.Slice(donor, ast.UnaryOp(ast.USub(), donor), node.step), what
        yield ast.Slice(donor, None, node.step), what
        yield ast.Slice(None, ast.UnaryOp(ast.USub(), donor), node.step), what
        yield _slice(node, step=donor), "is a stride forgotten"
        yield _slice(node, lower=donor), what
        yield _slice(node, upper=donor), what
        yield _slice(node, upper=ast.UnaryOp(ast.USub(), donor)), what


def _slice(node: ast.Slice, **changed: ast.expr | None) -> ast.Slice:
    bounds: dict[str, Any] = {"lower": node.lower, "upper": node.upper, "step": node.step, **changed}
    return ast.Slice(**bounds)


def _whole_numbers(setting: Setting) -> list[ast.expr]:
    return [d for d in setting.donors if isinstance(setting.value(d), int) and setting.value(d) > 0]


def _in_place_of(name: str, new: ast.expr, tree: ast.expr) -> Any:
    class Scale(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return new if node.id == name else node

    return Scale().visit(copied(tree))
