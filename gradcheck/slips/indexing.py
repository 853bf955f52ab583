"""An index that is forgotten, off by one or met twice; one that is not subtracted at the label."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcheck.slips.places import Place, copied, written
from gradcheck.slips.setting import Change, Setting
from gradcheck.slips.terms import is_whole, target_shape

# A one-hot table for more would be large.
_CLASSES = 1000
_ONCE = "are repeated indices counted once (np.add.at adds each)"


def repeated(place: Place, setting: Setting) -> Iterator[Change]:
    """Add at each index, as often as it comes: ``x[i] += y`` adds once where an index is repeated."""
    node = place.node
    if setting.is_torch or not setting.library:
        return
    target: ast.AST | None = None
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        target = node.target
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    if isinstance(target, ast.Subscript) and isinstance(node, ast.AugAssign | ast.Assign):
        library = ast.Name(setting.library, ast.Load())
        base, index = copied(target.value), copied(target.slice)
        if any(isinstance(part, ast.Slice) for part in ast.walk(index)):
            index = ast.Subscript(written("np.s_", np=library), index, ast.Load())
        yield ast.Expr(written("np.add.at(x, i, y)", np=library, x=base, i=index, y=node.value)), _ONCE


def forgotten(place: Place, setting: Setting) -> Iterator[Change]:
    """Add to the entries at an index only."""
    node = place.node
    if not isinstance(node, ast.AugAssign) or not isinstance(node.target, ast.Name):
        return
    shape = setting.shape(ast.Name(node.target.id, ast.Load()))
    for index in setting.indices if shape else ():
        target = ast.Subscript(ast.Name(node.target.id, ast.Load()), index, ast.Store())
        yield ast.AugAssign(target, node.op, node.value), f"is the index {ast.unparse(index)} forgotten"


def neighbours(place: Place, setting: Setting) -> Iterator[Change]:
    """Read the entry before or after, as of the step before."""
    node = place.node
    if not (place.is_value and isinstance(node, ast.Name) and isinstance(setting.value(node), int)):
        return
    inside = place.parent if isinstance(place.parent, ast.Subscript | ast.Tuple) else None
    if inside is not None and any(
        isinstance(outer, ast.Subscript) and outer.slice in (node, inside) for outer in place.above
    ):
        for text in ("i - 1", "i + 1"):
            yield written(text, i=node), "is an index off by one"


def rows(place: Place, setting: Setting) -> Iterator[Change]:
    """Take one entry of each row: ``x[:, y]`` takes whole columns."""
    node = place.node
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple) or not setting.library:
        return
    parts = node.slice.elts
    whole = [p for p in parts if isinstance(p, ast.Slice) and p.lower is None is p.upper]
    columns = [p for p in parts if isinstance(p, ast.Name) and len(setting.shape(p) or ()) == 1]
    if len(parts) == 2 and whole and columns:
        library = ast.Name(setting.library, ast.Load())
        each = written("np.arange(len(y))", np=library, y=columns[0])
        index = ast.Tuple([each if part is whole[0] else part for part in parts], ast.Load())
        what = "are whole rows or columns taken where one entry of each is meant"
        yield ast.Subscript(node.value, index, node.ctx), what


def labels(place: Place, setting: Setting) -> Iterator[Change]:
    """Subtract one at the label, as the derivative of a cross-entropy with softmax does."""
    if setting.is_torch or not setting.library or not is_whole(place):
        return
    shape = target_shape(place, setting)
    for donor in setting.donors if shape else ():
        one_hot = _one_hot(np.asarray(setting.value(donor)), shape or ())
        if one_hot:
            what = f"is 1 not subtracted at the label {ast.unparse(donor)}"
            library = ast.Name(setting.library, ast.Load())
            yield written(f"e - {one_hot}", e=place.node, np=library, i=donor), what


def _one_hot(labels: Any, shape: tuple[int, ...]) -> str:
    """Return what is one-hot at the labels i, of scores of that shape; "" where they cannot be labels."""
    column = labels.ndim == 0 and len(shape) == 2 and shape[1] == 1
    length = shape[0] if column else shape[-1]
    if labels.dtype.kind not in "iu" or not labels.size or not (column or labels.shape == shape[:-1]):
        return ""
    if labels.min() < 0 or labels.max() >= length or length > _CLASSES:
        return ""
    return f"np.eye({length})[:, [i]]" if column else f"np.eye({length})[i]"
