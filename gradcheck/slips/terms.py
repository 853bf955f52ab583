"""A term, a factor or a sum that is forgotten, made of what the function has at hand."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcheck.slips.places import Place, copied, written
from gradcheck.slips.setting import Change, Setting

_MOST_PAIRS = 6
_Assigned = ast.Assign | ast.AugAssign | ast.Return | ast.Dict | ast.Tuple
_REDUCTIONS = ("sum", "mean")
# Derivatives of activations, by a variable that may be their input or output.
_DERIVATIVES = (
    ("e * (d > 0)", "is the mask of a ReLU forgotten"),
    ("e * (1 - d**2)", "is the derivative of tanh forgotten"),
    ("e * d * (1 - d)", "is the derivative of a sigmoid forgotten"),
    ("e * (1 - d)", "is a factor 1 - d forgotten"),
    ("e * np.sign(d)", "is the derivative of an absolute value forgotten"),
)


def is_whole(place: Place) -> bool:
    """Whether an expression is what a statement computes: assigned, returned, or an entry of that."""
    if not place.is_value or place.is_several or isinstance(place.node, ast.Slice):
        return False
    return isinstance(place.parent, _Assigned) and place.field in ("value", "values", "elts")


def _is_part(place: Place) -> bool:
    """Whether an expression is a term of a sum, a side of a comparison or an argument, or is summed up."""
    parent = place.parent
    if isinstance(parent, ast.Attribute):
        return parent.attr in _REDUCTIONS and len(place.above) > 1 and isinstance(place.above[1], ast.Call)
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.Add | ast.Sub) or isinstance(place.node, ast.BinOp)
    if isinstance(parent, ast.Attribute):  # a sum in brackets whose method is called
        return isinstance(place.node, ast.BinOp)
    return isinstance(parent, ast.Compare) or (isinstance(parent, ast.Call) and place.field == "args")


def target_shape(place: Place, setting: Setting) -> tuple[int, ...] | None:
    """Return the shape of what a statement computes, where it is assigned to a name."""
    parent = place.statement if isinstance(place.parent, ast.BinOp) else place.parent
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
        return setting.shape(parent.targets[0])
    return setting.shape(place.node)


def _fits(shape: tuple[int, ...], into: tuple[int, ...] | None) -> bool:
    if into is None:
        return True
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def added(place: Place, setting: Setting) -> Iterator[Change]:
    """Add or subtract something that is at hand."""
    if not (is_whole(place) or _is_part(place)) or isinstance(
        place.node, ast.Dict | ast.Tuple | ast.Constant
    ):
        return
    shape = target_shape(place, setting)
    for donor in setting.arrays():
        given = setting.shape(donor)
        if given is not None and _fits(given, shape) and ast.unparse(donor) != ast.unparse(place.node):
            what = f"is the term {ast.unparse(donor)} forgotten"
            yield written("e + d", e=place.node, d=donor), what
            yield written("e - d", e=place.node, d=donor), what


def multiplied(place: Place, setting: Setting) -> Iterator[Change]:
    """Multiply or divide by something that is at hand, or by the derivative of an activation."""
    if not (is_whole(place) or _is_part(place)) or isinstance(
        place.node, ast.Dict | ast.Tuple | ast.Constant
    ):
        return
    shape = target_shape(place, setting)
    for donor in setting.donors:
        given = setting.shape(donor)
        if given is None or not _fits(given, shape):
            continue
        what = f"is the factor {ast.unparse(donor)} forgotten"
        yield written("e * d", e=place.node, d=donor), what
        yield written("e / d", e=place.node, d=donor), what.replace("factor ", "factor 1/")
    for donor in setting.counts:
        yield (
            written("e / len(d)", e=place.node, d=donor),
            f"is the division by len({ast.unparse(donor)}) forgotten",
        )


def products(place: Place, setting: Setting) -> Iterator[Change]:
    """Add a matrix product of two things at hand, as of another path to the same array."""
    shape = target_shape(place, setting) if is_whole(place) else None
    if setting.is_torch or not shape or isinstance(place.node, ast.Dict | ast.Tuple | ast.Constant):
        return
    for one, other in itertools.permutations(list(setting.arrays()), 2):
        for text in ("a @ b", "a.T @ b", "a @ b.T"):
            term = written(text, a=one, b=other)
            if setting.shape(term) == shape:
                yield written("e + t", e=place.node, t=term), f"is the term {ast.unparse(term)} forgotten"


def unused(place: Place, setting: Setting) -> Iterator[Change]:
    """Use what is computed and never read: a term that was carried, or made ready, for nothing."""
    if not (is_whole(place) or _is_part(place)) or isinstance(
        place.node, ast.Dict | ast.Tuple | ast.Constant
    ):
        return
    shape = target_shape(place, setting)
    counts = [donor for donor in setting.donors if isinstance(setting.value(donor), int)]
    for donor in setting.unread:
        what = f"is {ast.unparse(donor)} computed and forgotten"
        if isinstance(place.node, ast.Name) and setting.shape(donor) == setting.shape(place.node):
            yield donor, f"is {place.node.id} taken for {ast.unparse(donor)}"
        if _fits(setting.shape(donor) or (), shape):
            for text in ("e + d", "e - d", "e * d", "e / d"):
                yield written(text, e=place.node, d=donor), what
            for count in counts:
                yield written("e + d / n", e=place.node, d=donor, n=count), what


def derivatives(place: Place, setting: Setting) -> Iterator[Change]:
    """Multiply by the derivative of an activation at something that is at hand."""
    if not (is_whole(place) or _is_part(place)) or isinstance(
        place.node, ast.Dict | ast.Tuple | ast.Constant
    ):
        return
    shape = target_shape(place, setting)
    for donor in setting.arrays():
        if not shape or setting.shape(donor) == shape:
            for text, what in _DERIVATIVES:
                library = _library(setting)
                yield (
                    written(text, e=place.node, d=donor, np=library),
                    f"{what} (at {ast.unparse(donor)})",
                )


def masks(place: Place, setting: Setting) -> Iterator[Change]:
    """Apply a mask that is at hand."""
    node = place.node
    if not place.is_value or place.is_target or not isinstance(node, ast.Name | ast.BinOp | ast.Call):
        return
    shape = setting.shape(node) or (target_shape(place, setting) if is_whole(place) else None)
    if not shape or (setting.library is None):
        return
    library = _library(setting)
    for donor in setting.arrays():
        given = setting.shape(donor)
        if given is None or not _fits(given, shape) or not _is_mask(setting.value(donor)):
            continue
        for text in ("np.where(d > 0, e, -np.inf)", "np.where(d > 0, -np.inf, e)", "np.where(d > 0, 0, e)"):
            yield written(text, e=node, d=donor, np=library), f"is the mask {ast.unparse(donor)} not applied"


def _is_mask(value: Any) -> bool:
    """Whether an array holds zeros and ones, or truth values."""
    if getattr(value, "requires_grad", False):
        return False
    numbers = np.asarray(value.cpu() if hasattr(value, "cpu") else value)
    return numbers.dtype.kind in "biuf" and bool(np.isin(numbers, (0, 1)).all() and numbers.any())


def sums(place: Place, setting: Setting) -> Iterator[Change]:
    """Subtract a sum or a mean along an axis, as the backward passes of normalisations do."""
    if not is_whole(place) or isinstance(place.node, ast.Dict | ast.Tuple | ast.Constant):
        return
    for options in _along(setting):
        yield from _normalised(place, setting, options)


def _along(setting: Setting) -> Iterator[str]:
    """Yield what to write in brackets to reduce the last axis, or the first, and keep it."""
    for axis in (-1, 0):
        yield f"({axis}, keepdim=True)" if setting.is_torch else f"(axis={axis}, keepdims=True)"


def softmax(place: Place, setting: Setting) -> Iterator[Change]:
    """Take the whole derivative of softmax, or of its logarithm, of two things that are in an expression."""
    if not is_whole(place) or isinstance(place.node, ast.Dict | ast.Tuple | ast.Constant):
        return
    what = "is the sum in the derivative of softmax forgotten, or along the wrong axis"
    readable = [n for n in ast.walk(place.node) if isinstance(n, ast.Name | ast.Attribute | ast.Subscript)]
    named = {ast.unparse(n): n for n in readable if setting.shape(n)}
    alike = [
        (y, g) for y, g in itertools.permutations(named.values(), 2) if setting.shape(y) == setting.shape(g)
    ]
    for options in _along(setting):
        for y, g in alike[:_MOST_PAIRS]:
            yield written(f"y * (g - (y * g).sum{options})", y=y, g=g), what
            logarithm = written(f"g - np.exp(y) * g.sum{options}", y=y, g=g, np=_library(setting))
            yield logarithm, "is the derivative of log-softmax meant"


def _normalised(place: Place, setting: Setting, options: str) -> Iterator[Change]:
    node = place.node
    mean = "is the path through a mean forgotten"
    for part in (node, *(n.left for n in ast.walk(node) if isinstance(n, ast.BinOp))):
        yield _with(node, part, written(f"e - e.mean{options}", e=part)), mean
    for donor in setting.arrays():
        text = f"e - d * (e * d).mean{options}"
        for part in (node, *(n.left for n in ast.walk(node) if isinstance(n, ast.BinOp))):
            what = f"is the path through a variance forgotten (with {ast.unparse(donor)})"
            yield _with(node, part, written(text, e=part, d=donor)), what
            norm = written(text.replace("mean", "sum"), e=part, d=donor)
            yield _with(node, part, norm), f"is the path through a norm forgotten (with {ast.unparse(donor)})"


def _library(setting: Setting) -> ast.expr:
    return ast.Name(setting.library or "np", ast.Load())


def _with(whole: ast.AST, part: ast.AST, changed: ast.expr) -> ast.AST:
    """Return a copy of the whole with one part of it changed."""
    if whole is part:
        return changed
    wanted = ast.dump(part)

    class Replace(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            return changed if ast.dump(node) == wanted else super().generic_visit(node)

    return Replace().visit(copied(whole))  # type: ignore[no-any-return]  # a node
