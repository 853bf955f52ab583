"""Mutants of the rules' backward passes: every function behind a vjp, with one thing in it changed.

The source of a vjp, and of every helper of ``reference_impl.rules`` that it calls, is read as a syntax
tree. One node is changed at a time: a term or factor dropped, an operator or operands exchanged, a sign
flipped, a constant changed, a reduction or another call forgotten, one value used for another. The changed
function is put under all the vjps that call it, and under no forward pass: what the engine computes stays
what it was. Checks that only raise are left alone, as the forward pass has refused there already.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

from reference_impl import RULES, Rule

_PACKAGE = "reference_impl.rules"


@dataclass(frozen=True)
class Mutant:
    """A table of rules in which one function, used by the vjps of ``operations``, has one change.

    ``kind`` says what was done; ``line`` is the line of source that was changed, and ``change`` how it
    reads now.
    """

    function: str
    kind: str
    line: str
    change: str
    operations: tuple[str, ...]
    rules: Mapping[str, Rule] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """What identifies it, as long as the source stays the same."""
        return f"{self.function}: {self.line} -> {self.change}"


def mutants(operations: frozenset[str] = frozenset(RULES)) -> Iterator[Mutant]:
    """Yield every mutant of the functions behind the vjps of the operations, each change of source once."""
    users: dict[FunctionType, list[str]] = {}
    for operation, rule in RULES.items():
        for function in closure(_function(rule.vjp)):
            users.setdefault(function, []).append(operation)
    for function, using in users.items():
        if operations.isdisjoint(using):
            continue
        for kind, line, change, code in _changed(function):
            yield Mutant(function.__name__, kind, line, change, tuple(using), _rules(function, code, using))


def _rules(function: FunctionType, code: ast.FunctionDef, using: list[str]) -> Mapping[str, Rule]:
    changed: dict[str, Rule] = dict(RULES)
    for operation in using:
        vjp = _with(_function(RULES[operation].vjp), function, code)
        # what the rule does not read, its mutant may: nothing is left out of what is kept
        changed[operation] = replace(RULES[operation], vjp=vjp, keeps_inputs=None, keeps_output=True)
    return MappingProxyType(changed)


def _function(vjp: Callable[..., Any]) -> FunctionType:
    assert isinstance(vjp, FunctionType)
    return vjp


@cache
def closure(function: FunctionType) -> tuple[FunctionType, ...]:
    """Return the function and all functions of the rules' package that it calls, directly or not."""
    found: dict[FunctionType, None] = {}
    waiting = [function]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found[current] = None
        named = [current.__globals__.get(name) for name in current.__code__.co_names]
        waiting += [f for f in named if isinstance(f, FunctionType) and f.__module__.startswith(_PACKAGE)]
    return tuple(found)


def _with(vjp: FunctionType, target: FunctionType, tree: ast.FunctionDef) -> FunctionType:
    """Return the vjp with one function behind it replaced, and every caller of it made anew."""
    scopes: dict[str, dict[str, Any]] = {}
    made: dict[FunctionType, FunctionType] = {}
    for function in closure(vjp):
        scope = scopes.setdefault(function.__module__, dict(function.__globals__))
        if function is target:
            code = compile(ast.Module([tree], []), f"<mutant of {target.__name__}>", "exec")
            exec(code, scope)
            made[function] = scope[tree.name]
        else:
            made[function] = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
            made[function].__kwdefaults__ = function.__kwdefaults__
    for scope in scopes.values():
        for name, value in list(scope.items()):
            if isinstance(value, FunctionType) and value in made:
                scope[name] = made[value]
    return made[vjp]


def _tree(function: FunctionType) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return tree


def _changed(function: FunctionType) -> Iterator[tuple[str, str, str, ast.FunctionDef]]:
    """Yield the kind, the line before and after, and the function's tree, for every change."""
    original = _tree(function)
    original.returns = None  # as in what is made of it
    seen = {ast.unparse(original)}
    for node, kind, replacement in _changes(original):
        tree = ast.fix_missing_locations(_substituted(original, node, replacement))
        text = ast.unparse(tree)
        if text in seen:
            continue
        seen.add(text)
        before, after = _difference(ast.unparse(original), text)
        yield kind, before, after, tree


def _substituted(tree: ast.FunctionDef, node: ast.AST, replacement: ast.AST) -> ast.FunctionDef:
    class Put(ast.NodeTransformer):
        def visit(self, visited: ast.AST) -> Any:
            return copy.deepcopy(replacement) if visited is node else self.generic_visit(copy.copy(visited))

        def generic_visit(self, visited: ast.AST) -> ast.AST:
            for name, value in ast.iter_fields(visited):
                if isinstance(value, list):
                    value = [self.visit(v) if isinstance(v, ast.AST) else v for v in value]
                elif isinstance(value, ast.AST):
                    value = self.visit(value)
                setattr(visited, name, value)
            return visited

    put: ast.FunctionDef = Put().visit(tree)
    put.returns = None
    return put


def _difference(before: str, after: str) -> tuple[str, str]:
    pairs = list(zip(before.splitlines(), after.splitlines(), strict=False))
    return next(((a.strip(), b.strip()) for a, b in pairs if a != b and not a.startswith("def ")), ("", ""))


def _changes(tree: ast.FunctionDef) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """Yield a node of the function's body, what is done to it, and what is put in its place."""
    names = _values(tree)
    for statement in tree.body:
        for node in _living(statement):
            for kind, replacement in _replacements(node, names):
                yield node, kind, replacement


def _living(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over a statement, without annotations, docstrings, and checks that only raise."""
    if isinstance(node, ast.If) and all(isinstance(s, ast.Raise) for s in node.body) and not node.orelse:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Raise):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "ctx"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _living(child)


def _values(tree: ast.FunctionDef) -> tuple[str, ...]:
    """Return the names of the arrays that a vjp is given: its inputs, its output."""
    arguments = [a.arg for a in tree.args.args]
    if arguments[:3] != ["cotangent", "output", "inputs"]:
        return ()
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.value) == "inputs":
            target = statement.targets[0]
            if isinstance(target, ast.Tuple):
                return tuple(e.id for e in target.elts if isinstance(e, ast.Name) and e.id != "_")
    return ()


_EXCHANGED: dict[type[ast.operator], tuple[type[ast.operator], str]] = {
    ast.Add: (ast.Sub, "sign"),
    ast.Sub: (ast.Add, "sign"),
    ast.Mult: (ast.Div, "operator"),
    ast.Div: (ast.Mult, "operator"),
    ast.FloorDiv: (ast.Mult, "operator"),
    ast.BitAnd: (ast.BitOr, "operator"),
    ast.BitOr: (ast.BitAnd, "operator"),
}
_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ORDERED = (ast.Sub, ast.Div, ast.Pow, ast.MatMult, ast.FloorDiv, ast.Mod)
_PYTHON = {
    "isinstance",
    "len",
    "range",
    "zip",
    "enumerate",
    "tuple",
    "list",
    "sorted",
    "product",
    "slice",
    "set",
}


def _replacements(node: ast.AST, values: tuple[str, ...]) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.BinOp):
        yield from _of_operator(node)
    elif isinstance(node, ast.AugAssign):
        yield from _of_assignment(node)
        yield "statement dropped", ast.Pass()
    elif isinstance(node, ast.Expr):
        yield "statement dropped", ast.Pass()
    elif isinstance(node, ast.UnaryOp):
        yield ("sign" if isinstance(node.op, ast.USub) else "operator"), node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _COMPARED.get(type(node.ops[0]), ()):
            yield "comparison", ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.Constant):
        yield from (("constant", ast.Constant(value)) for value in _other_constants(node.value))
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.IfExp):
        yield "branch", node.body
        yield "branch", node.orelse
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) == 2:
        yield "operands", ast.Tuple(node.elts[::-1], node.ctx)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _of_name(node, values)


def _of_operator(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    multiplied = isinstance(node.op, ast.Mult | ast.Div | ast.MatMult)
    dropped = "factor dropped" if multiplied else "term dropped"
    yield dropped, node.left
    if isinstance(node.op, ast.Sub):
        yield dropped, ast.UnaryOp(ast.USub(), node.right)
    elif not isinstance(node.op, ast.Div):
        yield dropped, node.right
    if type(node.op) in _EXCHANGED:
        other, kind = _EXCHANGED[type(node.op)]
        yield kind, ast.BinOp(node.left, other(), node.right)
    if isinstance(node.op, _ORDERED):
        yield "operands", ast.BinOp(node.right, node.op, node.left)


def _of_assignment(node: ast.AugAssign) -> Iterator[tuple[str, ast.AST]]:
    yield "overwritten", ast.Assign([node.target], node.value)
    if type(node.op) in _EXCHANGED:
        other, kind = _EXCHANGED[type(node.op)]
        yield kind, ast.AugAssign(node.target, other(), node.value)


def _other_constants(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1) if value else (1,)
    if isinstance(value, float):
        return (value + 1.0, value / 2) if value else (1.0,)
    return ()


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = ast.unparse(node.func)
    if isinstance(node.func, ast.Attribute) and not name.startswith(("np.", "math.")):
        yield "forgotten", node.func.value  # a.conj() becomes a
    elif node.args and name not in _PYTHON and not isinstance(node.args[0], ast.Starred):
        yield "forgotten", node.args[0]  # unbroadcast(da, shape) becomes da
    if name.startswith("np.") and len(node.args) == 2:
        yield "operands", ast.Call(node.func, node.args[::-1], node.keywords)
    if name.startswith("np.") and len(node.args) == 3:
        swapped = [node.args[0], node.args[2], node.args[1]]
        yield "operands", ast.Call(node.func, swapped, node.keywords)
    for keyword in node.keywords:
        others = [k for k in node.keywords if k is not keyword]
        yield "option ignored", ast.Call(node.func, node.args, others)


def _of_name(node: ast.Name, values: tuple[str, ...]) -> Iterator[tuple[str, ast.AST]]:
    if node.id == "output":
        yield "input for output", ast.parse("inputs[0]", mode="eval").body
    elif node.id in values:
        yield "output for input", ast.Name("output", ast.Load())
        for other in values:
            if other != node.id:
                yield "operands", ast.Name(other, ast.Load())


def modules() -> tuple[ModuleType, ...]:
    """Return the modules whose source is mutated."""
    found = {inspect.getmodule(f) for rule in RULES.values() for f in closure(_function(rule.vjp))}
    return tuple(sorted((m for m in found if m is not None), key=lambda m: m.__name__))
