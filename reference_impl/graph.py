"""The computation as data: a directed acyclic graph of named operations, checked once, when it is built.

A graph says what is computed from what, and with which shapes, but holds no values: those come with each
pass. So it never changes, can be compared, hashed and sent to another process, and a pass over it has
nothing left to check but the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from types import MappingProxyType
from typing import Any

import numpy as np

from reference_impl.errors import Cycle, DuplicateName, GraphError, MissingName, UnusedValue, did_you_mean
from reference_impl.shapes import Shape, infer_shape

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: ``name`` = ``operation``(``inputs``, ``attributes``).

    ``inputs`` are names of leaves or other nodes; the same one may come twice. Of ``attributes`` a copy is
    kept that cannot be written into: arrays read-only, lists as tuples.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        frozen = {name: _frozen(value) for name, value in self.attributes.items()}
        object.__setattr__(self, "attributes", MappingProxyType(frozen) if frozen else _NONE)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Node) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        attributes = [f"{name}={value!r}" for name, value in self.attributes.items()]
        return f"{self.name} = {self.operation}({', '.join([*self.inputs, *attributes])})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Node, (self.name, self.operation, self.inputs, dict(self.attributes))

    def _key(self) -> tuple[Any, ...]:
        compared = {(name, _comparable(value)) for name, value in self.attributes.items()}
        return self.name, self.operation, self.inputs, frozenset(compared)


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
        return value
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def _comparable(value: Any) -> Any:
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


@dataclass(frozen=True, eq=False)
class Graph:
    """A directed acyclic graph of operations over named leaves, ending in one output.

    Two graphs are equal where their leaves, their nodes, in the same order, and their output are.

    Attributes:
        inputs: name and shape of each leaf that is data.
        parameters: name and shape of each leaf that is learned. Leaves may go unused.
        nodes: given in any order; kept in an order in which each follows what it reads, and unchanged
            where they already were in one.
        output: the name of the node (or leaf) that the computation ends in, of any shape.
        allow_unused: whether there may be nodes whose value does not reach the output.
        leaves: name and shape of each leaf: the inputs, then the parameters.
        shapes: name and shape of every value: the leaves, then the nodes.
        memo: what passes over the graph work out once and use again; no part of what the graph is.

    Raises:
        GraphError: where it is not such a graph; a subclass for each reason, the sentence naming the node.
    """

    inputs: Mapping[str, Shape]
    parameters: Mapping[str, Shape]
    nodes: Sequence[Node]
    output: str
    allow_unused: bool = False
    leaves: Mapping[str, Shape] = field(init=False, repr=False)
    shapes: Mapping[str, Shape] = field(init=False, repr=False)
    memo: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        leaves: dict[str, Shape] = {}
        for kind in ("inputs", "parameters"):
            declared = {name: _shape(name, shape) for name, shape in getattr(self, kind).items()}
            for name in declared.keys() & leaves.keys():
                raise DuplicateName(f"{name!r} is both an input and a parameter. Rename one of them.")
            leaves |= declared
            object.__setattr__(self, kind, MappingProxyType(declared))
        object.__setattr__(self, "leaves", MappingProxyType(leaves))
        nodes = in_order(leaves, self.nodes)
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "shapes", MappingProxyType(_shapes(leaves, nodes)))
        if self.output not in self.shapes:
            raise MissingName(f"Unknown output {self.output!r}.{did_you_mean(self.output, self.shapes)}")
        if not self.allow_unused:
            _check_used(nodes, self.output)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.output, tuple(node.name for node in self.nodes)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph, (dict(self.inputs), dict(self.parameters), self.nodes, self.output, self.allow_unused)

    def _key(self) -> tuple[Any, ...]:
        return dict(self.inputs), dict(self.parameters), self.nodes, self.output, self.allow_unused


def _shape(name: str, shape: Iterable[int]) -> Shape:
    try:
        sizes = tuple(index(n) for n in shape)
    except TypeError:
        sizes = (-1,)
    if any(n < 0 for n in sizes):
        raise GraphError(f"Expected a tuple of sizes, each at least 0, for leaf {name!r} but got {shape!r}.")
    return sizes


def in_order(leaves: Iterable[str], nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Sort nodes so that each follows what it reads, depth first, without recursion.

    Raises:
        DuplicateName, MissingName, Cycle: where there is no such order.
    """
    pending = _by_name(leaves, nodes)
    known = {*leaves, *pending}
    placed = set(leaves)
    path: dict[str, None] = {}  # being followed, in order: reaching one of these again closes a cycle
    order: list[Node] = []
    for root in pending.values():
        stack = [root]
        while stack:
            node = stack[-1]
            awaited = [name for name in node.inputs if name not in placed]
            if node.name in placed:
                stack.pop()
            elif awaited:
                _check_known(node, awaited, known)
                path[node.name] = None
                if not path.keys().isdisjoint(awaited):
                    raise _cycle(list(path), awaited)
                stack.extend(pending[name] for name in reversed(awaited))
            else:
                placed.add(node.name)
                path.pop(node.name, None)
                order.append(stack.pop())
    return tuple(order)


def _by_name(leaves: Iterable[str], nodes: Iterable[Node]) -> dict[str, Node]:
    named: dict[str, Node] = {}
    for node in nodes:
        if node.name in named or node.name in leaves:
            other = "two nodes" if node.name in named else "a leaf and a node"
            raise DuplicateName(f"{other.capitalize()} are called {node.name!r}. Rename one of them.")
        named[node.name] = node
    return named


def _check_known(node: Node, names: Iterable[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise MissingName(
                f"Node {node.name!r} reads {name!r}, which does not exist.{did_you_mean(name, known)}"
            )


def _cycle(path: list[str], awaited: list[str]) -> Cycle:
    start = next(name for name in awaited if name in path)
    loop = [*path[path.index(start) :], start]
    return Cycle(f"Node {start!r} depends on itself: {' reads '.join(loop)}. Break the cycle at one of them.")


def _shapes(leaves: Mapping[str, Shape], nodes: Iterable[Node]) -> dict[str, Shape]:
    shapes = dict(leaves)
    for node in nodes:
        try:
            shapes[node.name] = infer_shape(
                node.operation, [shapes[name] for name in node.inputs], node.attributes
            )
        except GraphError as error:
            raise type(error)(f"Node {node.name!r}: {error}") from error
    return shapes


def _check_used(nodes: Sequence[Node], output: str) -> None:
    used = {output}
    for node in reversed(nodes):
        if node.name not in used:
            raise UnusedValue(
                f"Node {node.name!r} does not reach the output {output!r}. "
                "Remove it, or build the graph with allow_unused=True."
            )
        used.update(node.inputs)
