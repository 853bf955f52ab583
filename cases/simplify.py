"""The ways to make a case simpler: each yields candidates, the boldest first, and none that is no graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from cases.choices import Array, Shape
from cases.operands import scattered
from cases.record import Case
from reference_impl import RULES, Graph, GraphError, Node, evaluate_all

SIMPLE = (0.0, 1.0, 0.5)
_MOST_SINGLE_ENTRIES = 12


def complexity(case: Case) -> tuple[int, ...]:
    """Return what is to become smaller: nodes, then leaves, entries, attributes, and unround numbers."""
    return (
        len(case.graph.nodes),
        len(case.values),
        sum(value.size for value in case.values.values()),
        sum(len(node.attributes) for node in case.graph.nodes),
        sum(_roughness(value) for value in case.values.values()),
    )


def _roughness(value: Array) -> int:
    """Count what there is to read: nothing for 0, one for 1, more for fractions."""
    plain = np.array(value, dtype=np.complex128)
    marks = (plain != 0).astype(int) + (plain != 1) * (plain != 0)
    marks += 2 * (plain != np.round(2 * plain) / 2) + 4 * (plain != np.round(plain, 1))
    return int(marks.sum())


def alone(case: Case) -> Iterator[Case]:
    """Yield each node by itself, its inputs made leaves; then each under a weighted sum."""
    values = _evaluated(case)
    for weighted in (False, True):
        for node in case.graph.nodes:
            ending = _weighted(node, values, case) if weighted else ([node], {})
            if ending:
                nodes, weights = ending
                yield from _rebuilt(case, nodes, nodes[-1].name, values | weights)


def ending_early(case: Case) -> Iterator[Case]:
    """Yield the graphs that end at each node, the first node first; then those under a weighted sum."""
    values = _evaluated(case)
    nodes = case.graph.nodes
    for node in nodes:
        yield from _rebuilt(case, nodes, node.name, values)
    for node in nodes:
        ending = _weighted(node, values, case)
        if ending:
            yield from _rebuilt(case, [*nodes, *ending[0][1:]], ending[0][-1].name, values | ending[1])


def _weighted(
    node: Node, values: Mapping[str, Array], case: Case
) -> tuple[list[Node], dict[str, Array]] | None:
    """Return a node followed by the sum of its entries with different weights."""
    shape = values[node.name].shape
    taken = case.graph.shapes
    if not shape or {"weights", "weighted", "total"} & taken.keys():
        return None
    product = Node("weighted", "multiply", (node.name, "weights"))
    return [node, product, Node("total", "sum", ("weighted",))], {"weights": scattered(shape, 0)}


def held(case: Case) -> Iterator[Case]:
    """Yield the graphs in which one node is a leaf that holds its value, nodes near the output first."""
    values = _evaluated(case)
    for node in reversed(case.graph.nodes):
        if node.name != case.graph.output:
            rest = [other for other in case.graph.nodes if other is not node]
            yield from _rebuilt(case, rest, case.graph.output, values)


def shortcuts(case: Case) -> Iterator[Case]:
    """Yield the graphs that lack one node: what read it reads one of its inputs of the same shape instead."""
    shapes = case.graph.shapes
    for node in reversed(case.graph.nodes):
        for source in dict.fromkeys(node.inputs):
            if shapes[source] == shapes[node.name]:
                rest = [_reading(other, node.name, source) for other in case.graph.nodes if other is not node]
                output = source if node.name == case.graph.output else case.graph.output
                yield from _rebuilt(case, rest, output, case.values)


def _reading(node: Node, old: str, new: str) -> Node:
    inputs = tuple(new if name == old else name for name in node.inputs)
    return Node(node.name, node.operation, inputs, node.attributes)


def fewer_inputs(case: Case) -> Iterator[Case]:
    """Yield the graphs in which a node lacks one attribute, or one input that it can do without."""
    for i, node in enumerate(case.graph.nodes):
        for name in node.attributes:
            rest = {key: value for key, value in node.attributes.items() if key != name}
            yield from _with_node(case, i, Node(node.name, node.operation, node.inputs, rest))
        if len(node.inputs) > RULES[node.operation].arity[0]:
            for k in range(len(node.inputs)):
                inputs = node.inputs[:k] + node.inputs[k + 1 :]
                yield from _with_node(case, i, Node(node.name, node.operation, inputs, node.attributes))


def _with_node(case: Case, i: int, node: Node) -> Iterator[Case]:
    nodes = [*case.graph.nodes[:i], node, *case.graph.nodes[i + 1 :]]
    yield from _rebuilt(case, nodes, case.graph.output, case.values)


def smaller_axes(case: Case) -> Iterator[Case]:
    """Yield the cases in which all axes of one length are shorter, then those with one leaf's axis so."""
    lengths = sorted({n for value in case.values.values() for n in value.shape if n > 1}, reverse=True)
    for n in lengths:
        for m in sorted({1, 2, n // 2, n - 1} - {n, 0}):
            values = {name: _cut(value, n, m) for name, value in case.values.items()}
            nodes = [_cut_node(node, n, m) for node in case.graph.nodes]
            yield from _rebuilt(case, nodes, case.graph.output, values)
    for name, value in case.values.items():
        for axis, n in enumerate(value.shape):
            if n > 1:
                first = value.take(np.arange(1), axis)
                yield from _rebuilt(case, case.graph.nodes, case.graph.output, {**case.values, name: first})


def _cut(value: Array, n: int, m: int) -> Array:
    return value[tuple(slice(m) if length == n else slice(None) for length in value.shape)]


def _cut_node(node: Node, n: int, m: int) -> Node:
    attributes = {name: _cut_attribute(name, value, n, m) for name, value in node.attributes.items()}
    return Node(node.name, node.operation, node.inputs, attributes)


def _cut_attribute(name: str, value: Any, n: int, m: int) -> Any:
    """Masks lose entries with the axis they belong to, indices are wrapped round, stated lengths follow."""
    if isinstance(value, np.ndarray):
        cut = np.asarray(_cut(value, n, m))
        return cut if cut.dtype == bool else np.asarray(cut % m)
    if name == "shape":
        return tuple(m if length == n else length for length in value)
    return value


def simpler_values(case: Case) -> Iterator[Case]:
    """Yield the cases with one leaf all 0, all 1, all 0.5 or rounded, then with one entry so."""
    for name, value in case.values.items():
        rounded = (np.round(value), np.round(2 * value) / 2, np.round(value, 1))
        for new in chain((np.full_like(value, simple) for simple in SIMPLE), rounded):
            yield _with_value(case, name, new)
        if 1 < value.size <= _MOST_SINGLE_ENTRIES:
            for i in range(value.size):
                for entry in (*SIMPLE, *(new.flat[i] for new in rounded)):
                    changed = value.copy()
                    changed.flat[i] = entry
                    yield _with_value(case, name, changed)


def without_unread(case: Case) -> Iterator[Case]:
    """Yield the cases without one of the leaves that nothing reads."""
    for name in _unread(case):
        inputs = {leaf: shape for leaf, shape in case.graph.inputs.items() if leaf != name}
        parameters = {leaf: shape for leaf, shape in case.graph.parameters.items() if leaf != name}
        nodes, output = case.graph.nodes, case.graph.output
        graph = Graph(inputs, parameters, nodes, output, case.graph.allow_unused)
        values = {leaf: case.values[leaf] for leaf in graph.leaves}
        yield Case(case.name, graph, values, case.family, case.seed)


def _with_value(case: Case, name: str, value: Array) -> Case:
    return Case(case.name, case.graph, {**case.values, name: value}, case.family, case.seed)


def _evaluated(case: Case) -> dict[str, Array]:
    with np.errstate(all="ignore"):
        return evaluate_all(case.graph, case.values)


def _rebuilt(case: Case, nodes: Iterable[Node], output: str, values: Mapping[str, Array]) -> Iterator[Case]:
    """Yield the case that these nodes make, if they make one: those that lead to the output.

    A name that no node computes any more becomes an input. A leaf that was unread stays: it may be the point.
    """
    kept = _leading_to(output, list(nodes))
    computed = {node.name for node in kept}
    read = dict.fromkeys(chain([output], *(node.inputs for node in kept)))
    wanted = [name for name in read if name not in computed] + _unread(case)
    old = case.graph.parameters
    parameters: dict[str, Shape] = {name: values[name].shape for name in old if name in wanted}
    inputs = {name: values[name].shape for name in [*case.graph.inputs, *wanted] if name in wanted}
    inputs = {name: shape for name, shape in inputs.items() if name not in parameters}
    try:
        graph = Graph(inputs, parameters, kept, output)
    except (GraphError, TypeError):
        return
    shape = graph.shapes[output]
    if kept and 0 not in shape:
        yield Case(case.name, graph, {name: values[name] for name in graph.leaves}, case.family, case.seed)


def _unread(case: Case) -> list[str]:
    read = {case.graph.output, *chain.from_iterable(node.inputs for node in case.graph.nodes)}
    return [name for name in case.values if name not in read]


def _leading_to(output: str, nodes: list[Node]) -> list[Node]:
    needed, kept = {output}, []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]
