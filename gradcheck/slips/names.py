"""One name in the place of another: of a variable, a key, an attribute, a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradcheck.slips.places import Place
from gradcheck.slips.setting import Change, Setting

# Functions that are taken for each other.
_FUNCTIONS = (
    ("sum", "mean"),
    ("triu", "tril"),
    ("sin", "cos"),
    ("sinh", "cosh"),
    ("exp", "log", "exp2", "log2", "log10", "expm1", "log1p"),
    ("convolve", "correlate"),
    ("convolve2d", "correlate2d"),
    ("hstack", "vstack"),
    ("zeros_like", "ones_like"),
    ("zeros", "ones"),
    ("maximum", "minimum"),
    ("max", "min"),
    ("argmax", "argmin"),
    ("floor", "ceil"),
    ("sqrt", "rsqrt", "square"),
    ("cumsum", "cumprod"),
    ("std", "var"),
    ("dot", "outer"),
    ("real", "imag"),
    ("softmax", "log_softmax"),
    ("sigmoid", "tanh", "relu"),
    ("range", "reversed"),
)
# Functions that make arrays of the sizes that they are given.
_FILLED = ("zeros", "ones", "empty", "full", "eye", "new_zeros", "randn", "rand")
_SIZES = frozenset((*_FILLED, "arange", "range", "linspace", "repeat", "tile", "pad"))


def functions(place: Place, setting: Setting) -> Iterator[Change]:
    """Call a function that is often taken for the one that is called."""
    node = place.node
    if not place.is_called or not isinstance(node, ast.Attribute | ast.Name):
        return
    name = node.attr if isinstance(node, ast.Attribute) else node.id
    for family in _FUNCTIONS:
        for other in family if name in family else ():
            if other != name:
                changed = (
                    ast.Attribute(node.value, other, node.ctx) if isinstance(node, ast.Attribute) else None
                )
                yield changed or ast.Name(other, ast.Load()), f"is {name} taken for {other}"


def variables(place: Place, setting: Setting) -> Iterator[Change]:
    """Read another variable, key or attribute that holds something of the same shape."""
    node = place.node
    readable = isinstance(node, ast.Name | ast.Subscript | ast.Attribute) and place.is_value
    if not readable or place.is_target or place.is_called:
        return
    shape, own = setting.shape(node), setting.value(node)
    if _is_base(place):
        return
    if shape is None:
        for other in setting.alike(node):
            yield other, f"is {ast.unparse(node)} taken for {ast.unparse(other)}"
        return
    for donor in (*setting.siblings(node), *setting.donors):
        other = setting.value(donor)
        same = other is own or ast.unparse(donor) == ast.unparse(node)
        if setting.shape(donor) == shape and not same and type(other) is type(own):
            yield donor, f"is {ast.unparse(node)} taken for {ast.unparse(donor)}"


def _is_base(place: Place) -> bool:
    """Whether a node is what an attribute or a method is looked up on."""
    return isinstance(place.parent, ast.Attribute) and place.parent.attr in ("shape", "dtype", "size")


def is_size(place: Place) -> bool:
    """Whether a node says how large something will be."""
    calls = [node for node in place.above if isinstance(node, ast.Call)]
    names = [getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls]
    return any(name in _SIZES for name in names)
