"""Loops until something is reached, bounded: with other numbers they might go on for ever.

``while`` becomes ``for`` over rounds that end with an error. The name of the rounds is put among the builtins
for as long as a search lasts, where every function sees it.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import copy
from collections.abc import Iterator

_NAME = "__gradcheck_rounds__"
# Rounds of all loops of one run together: a program that needs more would take too long to be run often.
_MOST = 20_000
# A changed program may need so many times as many as the unchanged one, and so many more.
_TIMES, _MORE = 4, 100


class Rounds:
    """What a bounded loop goes through; ``renew`` before each run, ``settle`` after that of the original."""

    def __init__(self) -> None:
        self._most = self._left = _MOST

    def renew(self) -> None:
        """Let the loops of another run have as many rounds again."""
        self._left = self._most

    def settle(self) -> None:
        """Let later runs have not many more rounds than the last one took."""
        self._most = _TIMES * (self._most - self._left) + _MORE

    def __iter__(self) -> Iterator[None]:
        while self._left > 0:
            self._left -= 1
            yield
        raise RuntimeError("a loop has not ended")


def loops(tree: ast.AST) -> bool:
    """Whether anything in a tree loops until something is reached."""
    return any(isinstance(node, ast.While) for node in ast.walk(tree))


def bounded(tree: ast.FunctionDef) -> ast.FunctionDef:
    """Return a copy of the function with its loops bounded."""
    return _Bound().visit(copy.deepcopy(tree))  # type: ignore[no-any-return]  # a definition stays one


@contextlib.contextmanager
def rounds() -> Iterator[Rounds]:
    """Let bounded functions be run."""
    given = Rounds()
    setattr(builtins, _NAME, given)
    try:
        yield given
    finally:
        delattr(builtins, _NAME)


class _Bound(ast.NodeTransformer):
    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        done = ast.If(ast.UnaryOp(ast.Not(), node.test), [*node.orelse, ast.Break()], [])
        counter, through = ast.Name(f"{_NAME}_", ast.Store()), ast.Name(_NAME, ast.Load())
        around = ast.For(counter, through, [done, *node.body], [])
        return ast.fix_missing_locations(ast.copy_location(around, node))
