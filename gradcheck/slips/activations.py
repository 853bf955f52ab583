"""The derivative of one activation where that of another belongs, and the factor that a power leaves."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradcheck.slips.places import Place, written
from gradcheck.slips.setting import Change, Setting

_NAMES = {"tanh": "1 - f**2", "a sigmoid": "f * (1 - f)", "a ReLU": "(f > 0)"}


def exchanged(place: Place, setting: Setting) -> Iterator[Change]:
    """Take the derivative of another activation, of the same output."""
    for activation, output, others in _derivatives(place.node):
        for other, text in _NAMES.items():
            if other != activation:
                derivative: ast.expr = written(text, f=output)
                for factor in others:
                    derivative = ast.BinOp(factor, ast.Mult(), derivative)
                yield derivative, f"is the derivative of {activation} taken for that of {other}"


def powers(place: Place, setting: Setting) -> Iterator[Change]:
    """Multiply a power by the exponent that it had before it was differentiated."""
    node = place.node
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Pow):
        return
    exponent = node.right.value if isinstance(node.right, ast.Constant) else None
    if isinstance(exponent, int) and 1 < exponent < 10:
        factor = ast.Constant(exponent + 1)
        yield ast.BinOp(factor, ast.Mult(), node), f"is the factor {exponent + 1} of a power forgotten"


def _derivatives(node: ast.AST) -> Iterator[tuple[str, ast.expr, list[ast.expr]]]:
    """Yield what an expression may be the derivative of, at which output, and what it is multiplied by."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _is(node.left, 1):
        squared = _squared(node.right)
        if squared is not None:
            yield "tanh", squared, []
    for compared in (node, *_cast(node)):
        positive = isinstance(compared, ast.Compare) and isinstance(compared.ops[0], ast.Gt)
        if isinstance(compared, ast.Compare) and positive and _is(compared.comparators[-1], 0):
            yield "a ReLU", compared.left, []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from _of_sigmoid(_factors(node))


def _of_sigmoid(factors: list[ast.expr]) -> Iterator[tuple[str, ast.expr, list[ast.expr]]]:
    for one in factors:
        output = one.right if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) else None
        if output is None or not isinstance(one, ast.BinOp) or not _is(one.left, 1):
            continue
        same = [other for other in factors if other is not one and ast.dump(other) == ast.dump(output)]
        if same:
            yield (
                "a sigmoid",
                output,
                [other for other in factors if other is not one and other is not same[0]],
            )


def _cast(node: ast.AST) -> list[ast.expr]:
    """Return what a call may give another number format: np.int64(e), e.astype(float)."""
    if not isinstance(node, ast.Call):
        return []
    if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
        return [node.func.value]
    return node.args if len(node.args) == 1 else []


def _factors(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), *_factors(node.right)]
    return [node]


def _squared(node: ast.expr) -> ast.expr | None:
    """Return what an expression is the square of, where it is written as one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and _is(node.right, 2):
        return node.left
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return node.left if ast.dump(node.left) == ast.dump(node.right) else None
    name = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
    if isinstance(node, ast.Call) and name in ("square", "power", "multiply"):
        first, rest = node.args[0], node.args[1:]
        same = bool(rest) and ast.dump(rest[0]) == ast.dump(first)
        return first if name == "square" or (bool(rest) and _is(rest[0], 2)) or same else None
    return None


def _is(node: ast.AST, number: float) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value == number
