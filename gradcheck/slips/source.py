"""A function's syntax tree, changed in place, and the function running the changed code for a while."""

from __future__ import annotations
import __future__

import ast
import linecache
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any

from gradcheck.slips.loops import bounded, loops

_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag


@dataclass(frozen=True)
class Source:
    """A function and the tree of its definition; the tree compiles to what the function is."""

    function: Any  # a FunctionType, which an attribute would be taken for a method of
    tree: ast.FunctionDef

    @cached_property
    def loops(self) -> bool:
        """Whether the function loops until something is reached."""
        return loops(self.tree)

    def line(self, number: int) -> str:
        """Return a line of the file."""
        return linecache.getline(self.function.__code__.co_filename, number)


def source_of(function: FunctionType) -> Source | None:
    """Return a function's source; None where it is not at hand, or not what the function was made from."""
    code = function.__code__
    linecache.checkcache(code.co_filename)  # a session may have loaded a file that was mended since
    node = _definition(code)
    if node is None:
        return None
    node.decorator_list = []
    source = Source(function, node)
    again = _plain(source, node)
    if again is None:
        return None
    heads = {code.co_firstlineno, again.co_firstlineno}  # the decorator's, and that of the definition
    return source if _traits(again, heads) == _traits(code, heads) else None


def _definition(code: CodeType) -> ast.FunctionDef | None:
    """Return the tree of the definition that a code was made from."""
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError):
        return None
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _starts(node, code)]
    return found[0] if len(found) == 1 else None


def may_run_on(code: CodeType) -> bool:
    """Whether a function may go on for ever with other numbers: it loops until something is reached."""
    if code.co_name.startswith("<"):  # a lambda or a comprehension ends
        return False
    definition = _definition(code)
    return definition is None or loops(definition)


def _traits(code: CodeType, heads: set[int]) -> tuple[object, ...]:
    """Return what tells whether two codes were made of the same text, the lines of their heads left out.

    Not the instructions: they depend on the module around a function as well.
    """
    constants = tuple(repr(c) for c in code.co_consts if not isinstance(c, CodeType))
    lines = {line for _, _, line in code.co_lines()} - heads
    return code.co_names, code.co_varnames, constants, frozenset(lines)


def _starts(node: ast.FunctionDef, code: CodeType) -> bool:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def compiled(source: Source) -> CodeType | None:
    """Compile the tree as it now is, its loops bounded; None where it is no program."""
    return _plain(source, bounded(source.tree) if source.loops else source.tree)


def _plain(source: Source, node: ast.FunctionDef) -> CodeType | None:
    free = source.function.__code__.co_freevars
    code = _compiled(source, node, [])
    if code is not None and code.co_freevars != free:  # a change may leave one of them unused
        code = _compiled(source, node, ast.parse(f"if 0: {', '.join(free)}").body)
    return code if code is not None and code.co_freevars == free else None


def _compiled(source: Source, node: ast.FunctionDef, last: list[ast.stmt]) -> CodeType | None:
    code = source.function.__code__
    module = ast.parse(f"def around({', '.join(code.co_freevars)}): pass")
    around = module.body[0]
    assert isinstance(around, ast.FunctionDef), "just written"
    around.body, body = [node], node.body
    node.body = [*body, *last]
    flags = code.co_flags & _FUTURE
    try:
        whole = compile(module, code.co_filename, "exec", flags, True)
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return None
    finally:
        node.body = body
    return _inner(_inner(whole, "around"), code.co_name)


def _inner(code: CodeType | None, name: str) -> CodeType | None:
    constants = code.co_consts if code is not None else ()
    return next((c for c in constants if isinstance(c, CodeType) and c.co_name == name), None)


@contextmanager
def running(function: FunctionType, code: CodeType) -> Iterator[None]:
    """Let a function run other code, and put its own back."""
    own = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = own
