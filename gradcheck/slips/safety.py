"""Which functions may be run with a change in them, and which changes are harmless there.

A changed number in NumPy or PyTorch code raises, or gives other numbers. Handed to a kernel it may read
memory that is not there, and a changed bound may keep a loop from ending: such functions are left alone.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

_HARMLESS = ("numpy", "torch", "math", "cmath", "scipy", "itertools", "functools", "operator", "builtins")
# Attributes by which even these reach memory, files or other programs.
_MEMORY = ("as_strided", "data_ptr", "ctypes", "from_dlpack", "memmap", "set_", "empty_cache")
_PROGRAMS = ("ops", "library", "cuda", "_C", "system", "popen", "run")
_FILES = ("save", "load", "tofile", "savetxt", "fromfile", "write", "writelines", "unlink", "remove")
_FORBIDDEN = frozenset((*_MEMORY, *_PROGRAMS, *_FILES))
_RISKY = ("exec", "eval", "open", "compile", "input", "__import__", "exit", "quit", "breakpoint")
_BUILTINS = frozenset((*_RISKY, "setattr", "delattr"))
_STATEMENTS = (ast.AsyncFor, ast.AsyncWith, ast.Await, ast.Yield, ast.YieldFrom, ast.Global)
_DEPTH = 4


def is_safe(function: FunctionType, tree: ast.FunctionDef) -> bool:
    """Whether nothing but numbers can change where a function is run with a small change in it."""
    nodes = list(ast.walk(tree))
    if any(isinstance(node, (*_STATEMENTS, ast.Import, ast.ImportFrom, ast.Delete)) for node in nodes):
        return False
    if any(isinstance(node, ast.Attribute) and node.attr in _FORBIDDEN for node in nodes):
        return False
    calls = (node for node in nodes if isinstance(node, ast.Call))
    return all(not isinstance(call.func, ast.Subscript) for call in calls) and is_open(function)


def is_open(function: FunctionType) -> bool:
    """Whether all that a function calls by name is Python code, NumPy's or PyTorch's."""
    return all(_harmless(thing, _DEPTH) for thing in _used(function))


def _used(function: FunctionType) -> Iterator[Any]:
    """Yield the globals, builtins and variables from around that a function's code names."""
    code = function.__code__
    for name in code.co_names:
        if name in function.__globals__:
            yield function.__globals__[name]
        elif name in _BUILTINS:
            yield getattr(builtins, name)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _harmless(thing: Any, depth: int) -> bool:
    if isinstance(thing, ModuleType):
        return _package(thing.__name__) in _HARMLESS
    if isinstance(thing, FunctionType):
        if _package(thing.__module__ or "") in _HARMLESS:
            return True
        names = set(thing.__code__.co_names)
        if names & (_FORBIDDEN | _BUILTINS) or depth == 0:
            return False
        return all(_harmless(inner, depth - 1) for inner in _used(thing) if inner is not thing)
    if callable(thing):
        module = getattr(thing, "__module__", None) or getattr(type(thing), "__module__", None) or ""
        if getattr(thing, "__name__", "") in _BUILTINS:
            return False
        return _package(module) in _HARMLESS or isinstance(thing, type) or _is_plain(type(thing))
    return True


def _is_plain(kind: type) -> bool:
    """Whether a callable object is an instance of a class written in Python: no compiled kernel."""
    return isinstance(vars(kind).get("__call__"), FunctionType) and not _is_kernel(kind)


def _is_kernel(kind: type) -> bool:
    return _package(kind.__module__) in ("triton", "numba", "cupy", "pycuda", "taichi")


def _package(name: str) -> str:
    return name.partition(".")[0]


def writes_in_place(tree: ast.FunctionDef) -> bool:
    """Whether a function changes arrays where they are: a change in it might change what it was given."""
    return any(_writes(node) for node in ast.walk(tree))


def _writes(node: ast.AST) -> bool:
    if isinstance(node, ast.AugAssign):
        return True
    if isinstance(node, ast.Subscript):
        return isinstance(node.ctx, ast.Store)
    if isinstance(node, ast.keyword):
        return node.arg in ("out", "inplace")
    name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
    return (name.endswith("_") and not name.endswith("__")) or name in ("at", "copyto", "put", "fill", "sort")
