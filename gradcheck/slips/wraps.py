"""Something forgotten around an expression: a transposition, a conjugation, a reversal, a factor."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from types import ModuleType

from gradcheck.slips.influence import is_unit
from gradcheck.slips.places import Place, written
from gradcheck.slips.setting import Change, Setting

_TWO = "is a factor 2 forgotten"
_HALF = "is a factor 1/2 forgotten"
# What may be forgotten around e; np is the library's own name.
_BOTH = (
    ("-e", "is a minus forgotten"),
    ("2 * e", _TWO),
    ("e / 2", _HALF),
    ("1 - e", "is 1 minus it forgotten"),
    ("e ** 2", "is a square forgotten"),
    ("np.exp(e)", "is the exponential forgotten (a logarithm is at hand)"),
    ("np.tanh(e)", "is the derivative taken at the input of tanh instead of its output"),
    ("1 / (1 + np.exp(-e))", "is the derivative taken at the input of a sigmoid instead of its output"),
    ("np.sqrt(e)", "is a root forgotten"),
    ("1 / e", "is it multiplied by what it should be divided by"),
    ("np.sign(e)", "is the sign meant (the derivative of an absolute value)"),
)
_CONSTANTS = (
    (
        "2",
        "is the factor ln 2 forgotten (of a power of 2)",
        "is the factor 1/ln 2 forgotten (of a logarithm to base 2)",
    ),
    (
        "10",
        "is the factor ln 10 forgotten (of a power of 10)",
        "is the factor 1/ln 10 forgotten (of a logarithm to base 10)",
    ),
)
_FLIPPED = "is it to be reversed (a flipped kernel, a sequence that runs the other way)"
_TRANSPOSED = "is a transposition forgotten"
_CONJUGATED = "is a conjugation forgotten (backward multiplies by the conjugate)"
_BROADCAST = "is it broadcast along the wrong axis"
_BOTH_PATHS = "is one of two paths forgotten (of a product of a tensor with itself)"
_DIRECTION = "does the sum run the wrong way (backward of a cumulative sum starts at the end)"
_ITSELF = "does a cumulative sum leave out, or count twice, the entry itself (exclusive, inclusive)"


def _open(place: Place) -> bool:
    node = place.node
    return (
        place.is_value
        and not place.is_target
        and not place.is_called
        and not place.is_several
        and isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.BinOp)
        and not (
            isinstance(place.parent, ast.Attribute) and place.field == "value" and not _is_operation(place)
        )
    )


def _is_operation(place: Place) -> bool:
    """Whether an attribute of the node is a method that is called on it."""
    return len(place.above) > 1 and isinstance(place.above[1], ast.Call)


def rearrangements(place: Place, setting: Setting) -> Iterator[Change]:
    """Transpose, conjugate or reverse."""
    if not _open(place):
        return
    node = place.node
    axes = len(setting.shape(node) or ()) if setting.shape(node) is not None else None
    if axes == 0:
        return
    transposed = (
        ("e.mT",) if setting.is_torch else ("e.T", "e.swapaxes(-1, -2)") if axes is None else ("e.T",)
    )
    for text in ("e.swapaxes(-1, -2)",) if not setting.is_torch and (axes or 0) > 2 else transposed:
        yield written(text, e=node), _TRANSPOSED
    yield written("e.conj()", e=node), _CONJUGATED
    if axes == 1:
        yield written("e[:, None]", e=node), _BROADCAST
    if setting.is_torch:
        for text in ("e.flip(-1)", "e.flip(0)", "e.flip(-2, -1)"):
            yield written(text, e=node), _FLIPPED
        return
    for text in ("e[::-1]", "e[..., ::-1]", "e[..., ::-1, ::-1]"):
        yield written(text, e=node), _FLIPPED


def both_paths(place: Place, setting: Setting) -> Iterator[Change]:
    """Add the transposed, as the gradient of a tensor's product with itself does."""
    shape = setting.shape(place.node)
    if _open(place) and (shape is None or _is_square(shape)):
        text = "e + e.mT" if setting.is_torch else "e + e.swapaxes(-1, -2)"
        yield written(text, e=place.node), _BOTH_PATHS


def _is_square(shape: tuple[int, ...] | None) -> bool:
    return shape is not None and len(shape) > 1 and shape[-1] == shape[-2]


def saved(place: Place, setting: Setting) -> Iterator[Change]:
    """Transpose or conjugate all that a Function saved: of a product or an inverse, that is each factor."""
    if isinstance(place.node, ast.Attribute) and place.node.attr == "saved_tensors":
        yield written("[t.mT for t in e]", e=place.node), _TRANSPOSED
        yield written("[t.conj() for t in e]", e=place.node), _CONJUGATED


def reductions(place: Place, setting: Setting) -> Iterator[Change]:
    """Sum over an axis, as over one along which something was broadcast."""
    if not is_unit(place) or place.is_several:
        return
    for text in ("e.sum(0)", "e.sum(-1)", "e.mean(0)", "e.sum()"):
        yield written(text, e=place.node), "is a sum over an axis forgotten"


def loops(place: Place, setting: Setting) -> Iterator[Change]:
    """Go through a loop from the other end."""
    if isinstance(place.parent, ast.For | ast.comprehension) and place.field == "iter":
        yield written("reversed(e)", e=place.node), "does a loop run the wrong way"


def factors(place: Place, setting: Setting) -> Iterator[Change]:
    """Put a usual factor, sign or function around an expression."""
    if not _open(place) or (setting.library is None and setting.is_torch):
        return
    library = ast.Name(setting.library or "np", ast.Load())
    if isinstance(place.parent, ast.Subscript) and place.field == "slice":
        return
    for text, what in _BOTH:
        if "np." not in text or setting.library:
            yield written(text, e=place.node, np=library), what
    for base, times, over in _CONSTANTS:
        logarithm = _logarithm(base, setting)
        yield ast.BinOp(_copy(place.node), ast.Mult(), logarithm), times
        yield ast.BinOp(_copy(place.node), ast.Div(), logarithm), over


def _copy(node: ast.AST) -> ast.expr:
    return written("e", e=node)


def _logarithm(base: str, setting: Setting) -> ast.expr:
    """Return the natural logarithm of a number, as a call where a library for it is at hand."""
    known = setting.function.__globals__.items()
    wanted = ("math",) if setting.is_torch else ("numpy", "math")
    library = next((n for n, v in known if isinstance(v, ModuleType) and v.__name__ in wanted), None)
    return written(f"{library}.log({base})") if library else ast.Constant(math.log(int(base)))


def cumulative(place: Place, setting: Setting) -> Iterator[Change]:
    """Sum up from the other end, or with or without the entry itself."""
    node = place.node
    if (
        not isinstance(node, ast.Call)
        or not isinstance(node.func, ast.Attribute)
        or node.func.attr != "cumsum"
    ):
        return
    method = isinstance(node.func.value, ast.Name) and node.func.value.id == setting.library
    inner = node.args[0] if method and node.args else node.func.value
    rest = node.args[1:] if method else node.args
    axis = next((k.value for k in node.keywords if k.arg in ("axis", "dim")), rest[0] if rest else None)
    where = axis if axis is not None else ast.Constant(0)
    library = ast.Name(setting.library or "np", ast.Load())
    if setting.library:
        flip = "np.flip(e, [a])" if setting.is_torch else "np.flip(e, a)"
        turned = written(flip, e=inner, a=where, np=library)
        if method:
            call: ast.expr = ast.Call(node.func, [turned, *node.args[1:]], node.keywords)
        else:
            call = ast.Call(ast.Attribute(turned, "cumsum", ast.Load()), node.args, node.keywords)
        yield written(flip, e=call, a=where, np=library), _DIRECTION
        yield written(flip, e=node, a=where, np=library), _DIRECTION
    yield written("c - e", c=node, e=inner), _ITSELF
    yield written("c + e", c=node, e=inner), _ITSELF
