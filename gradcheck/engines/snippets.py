"""Write a graph as a short program in an engine's own words, so that its author can run it without us.

The program is made from the same table that the adapter computes with: a function of the library is called
by its name, one of the adapter's own is printed first, as the adapter has it.
"""

from __future__ import annotations

import ast
import inspect
import keyword
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcheck.engines.attributes import with_arrays

if TYPE_CHECKING:
    from reference_impl import Graph

Array = npt.NDArray[Any]
Table = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Language:
    """How an engine's users write.

    Attributes:
        preamble: the imports. Names that the table's own functions use must be bound by it.
        leaf: a line that makes a leaf; ``{name}`` and ``{array}`` (NumPy source) are filled in.
        backward: a line that differentiates the sum of ``{output}``'s elements, "" where there is none.
        gradient: an expression for the gradient of leaf ``{name}``, number ``{position}`` of ``{leaves}``.
        modules: where users find the library's functions, by the name that the preamble gives it.
        functional: whether what is differentiated is a function ``f({leaves})`` rather than a tape.
    """

    preamble: str
    leaf: str
    gradient: str
    backward: str = ""
    modules: Mapping[str, Any] = field(default_factory=dict)
    functional: bool = False


def program(language: Language, operations: Table, graph: Graph, values: Mapping[str, Array]) -> str:
    """Return a program that prints the gradient of each leaf; it needs the library and NumPy only."""
    names = _python_names([*graph.leaves, *(node.name for node in graph.nodes)])
    leaves = [names[leaf] for leaf in graph.leaves]
    called, helpers = _functions(language, {n.operation: operations[n.operation] for n in graph.nodes})
    body = [_line(node, called, names) for node in graph.nodes]
    output = names[graph.output]
    if language.functional:
        body = [
            f"def f({', '.join(leaves)}):",
            *(f"    {line}" for line in [*body, f"return {output}.sum()"]),
        ]
    made = [language.leaf.format(name=names[n], array=literal(values[n])) for n in graph.leaves]
    backward = [language.backward.format(output=output)] if language.backward else []
    shown = [
        f"print({leaf!r}, {language.gradient.format(name=leaf, position=i, leaves=', '.join(leaves))})"
        for i, leaf in enumerate(leaves)
    ]
    return "\n\n".join(
        [language.preamble, *helpers, "\n".join(made), "\n".join(body), "\n".join([*backward, *shown])]
    )


def literal(array: Array) -> str:
    """Return NumPy source that makes exactly this array again."""
    if array.size == 0:
        return f"np.zeros({array.shape})"
    dtype = "" if array.dtype in (np.float64, np.int64, np.bool_) else f", dtype=np.{array.dtype}"
    if array.size > 1 and np.all(array == array.flat[0]) and not np.signbit(array.real).any():
        return f"np.full({array.shape}, {array.flat[0].item()!r}{dtype})"
    return f"np.array({array.tolist()!r}{dtype})".replace("nan", "np.nan").replace("inf", "np.inf")


def _line(node: Any, called: Mapping[str, str], names: Mapping[str, str]) -> str:
    inputs = [names[name] for name in node.inputs]
    attributes = [f"{name}={_source(value)}" for name, value in with_arrays(node.attributes).items()]
    return f"{names[node.name]} = {called[node.operation]}({', '.join([*inputs, *attributes])})"


def _source(value: Any) -> str:
    return literal(value) if isinstance(value, np.ndarray) else repr(value)


def _functions(language: Language, operations: Table) -> tuple[dict[str, str], list[str]]:
    """Return what each operation's function is called, and the sources of those that are no library's."""
    called: dict[str, str] = {}
    sources: dict[str, str] = {}
    for operation, function in operations.items():
        public = _public_name(language, function)
        if public is None and isinstance(function, FunctionType):
            _collect(function, sources)
        called[operation] = public or str(getattr(function, "__name__", operation))
    return called, list(sources.values())


def _public_name(language: Language, function: Callable[..., Any]) -> str | None:
    name = getattr(function, "__name__", None)
    if name is None:
        return None
    for path, module in language.modules.items():
        if getattr(module, name, None) is function:
            return f"{path}.{name}"
    return None


def _collect(function: FunctionType, sources: dict[str, str]) -> None:
    """Add a function's source, after those of its own module's functions that it calls."""
    bare = _bare(function)
    for name in sorted({node.id for node in ast.walk(bare) if isinstance(node, ast.Name)}):
        callee = function.__globals__.get(name)
        if not isinstance(callee, FunctionType) or callee is function or name in sources:
            continue
        if callee.__module__ == function.__module__:
            _collect(callee, sources)
    sources.setdefault(function.__name__, ast.unparse(bare))


def _bare(function: FunctionType) -> ast.FunctionDef:
    """Return a function's code without annotations and docstring, which its reader does not need."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"Expected a def for {function.__name__} but got {type(tree).__name__}")
    given = tree.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if argument is not None:
            argument.annotation = None
    tree.returns = None
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    return tree


def _python_names(names: Iterable[str]) -> dict[str, str]:
    """Give every name of a graph a name that Python takes, each its own."""
    taken: dict[str, str] = {}
    for name in names:
        plain = "".join(c if c.isalnum() else "_" for c in name)
        if not plain.isidentifier() or keyword.iskeyword(plain):
            plain = f"v_{plain}"
        while plain in taken.values() or plain in ("f", "np"):
            plain += "_"
        taken[name] = plain
    return taken
