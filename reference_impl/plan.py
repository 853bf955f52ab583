"""What a pass over a graph has to do, worked out once: the steps, and when each value is last needed.

A step refers to values by position in one list (leaves first, then nodes), with the rule looked up and the
attributes bound, so that the passes are loops with nothing left to decide. A value that is no longer read
is let go of at once: its entry in the list becomes ``Like`` where a vjp will still want to know its shape,
and None where it will not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from reference_impl.errors import ValuesError, did_you_mean
from reference_impl.graph import Graph, Node
from reference_impl.rules import RULES, Rule

Positions = tuple[int, ...]
Rules = Mapping[str, Rule]

_MOST_PLANS = 64  # remembered for each graph


class Forward(NamedTuple):
    """Compute ``output`` from ``inputs``; then ``shrink`` to Like, and ``drop``, what is not read again."""

    compute: Callable[..., Any]
    inputs: Positions
    output: int
    shrink: Positions
    drop: Positions


class Backward(NamedTuple):
    """Turn the cotangent of ``output`` into those of ``inputs``; then shrink and drop as going forward.

    ``targets`` are the inputs' positions, with None for those whose cotangent leads to nothing asked for.
    """

    vjp: Callable[..., Sequence[Any]]
    inputs: Positions
    output: int
    targets: tuple[int | None, ...]
    shrink: Positions
    drop: Positions


@dataclass(frozen=True)
class Plan:
    """The steps from the leaves to ``output``, and back to ``wrt``.

    ``keeps_output`` says whether some vjp reads the output itself. ``labels`` name each value's node, for
    errors; there are as many values as labels.
    """

    forward: tuple[Forward, ...]
    backward: tuple[Backward, ...]
    output: int
    wrt: Positions
    keeps_output: bool
    labels: tuple[str, ...]


def plan(graph: Graph, output: str, wrt: tuple[str, ...], rules: Rules) -> Plan:
    """Return the plan for computing ``output`` and, unless ``wrt`` is empty, going back to its values.

    Raises:
        ValuesError: where there is no rule for one of the graph's operations.
    """
    key = output, wrt, None if rules is RULES else rules_used(graph, rules)
    known: Plan | None = graph.memo.get(key)
    if known is None:
        if len(graph.memo) >= _MOST_PLANS:
            graph.memo.clear()
        known = graph.memo[key] = _plan(graph, output, wrt, rules)
    return known


def rules_used(graph: Graph, rules: Rules) -> tuple[Rule, ...]:
    """Return the rule for each of the graph's operations.

    Raises:
        ValuesError: where there is none for one of them.
    """
    operations = dict.fromkeys(node.operation for node in graph.nodes)
    for operation in operations:
        if operation not in rules:
            raise ValuesError(f"The rules given have none for {operation!r}.{did_you_mean(operation, rules)}")
    return tuple(rules[operation] for operation in operations)


def _plan(graph: Graph, output: str, wrt: tuple[str, ...], rules: Rules) -> Plan:
    position = {name: i for i, name in enumerate(graph.shapes)}
    nodes = _ancestors(graph.nodes, output)
    reached = _reached(nodes, wrt)
    going_back = [n for n in reversed(nodes) if not reached.isdisjoint(n.inputs)] if output in reached else []
    mentioned = {name for node in going_back for name in _mentioned(node)}
    kept = {name for node in going_back for name in _read(node, rules)}
    return Plan(
        tuple(_forward_steps(nodes, kept | {output}, mentioned, position, rules)),
        tuple(_backward_steps(going_back, reached, position, rules)),
        position[output],
        tuple(position[name] for name in wrt),
        output in kept,
        (*graph.leaves, *(f"node {node.name!r} ({node.operation})" for node in graph.nodes)),
    )


def _ancestors(nodes: Sequence[Node], output: str) -> list[Node]:
    needed = {output}
    found = []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            found.append(node)
    return found[::-1]


def _reached(nodes: Sequence[Node], wrt: Iterable[str]) -> set[str]:
    """Return the names of the values that depend on those asked for, these included."""
    reached = set(wrt)
    for node in nodes:
        if not reached.isdisjoint(node.inputs):
            reached.add(node.name)
    return reached


def _mentioned(node: Node) -> tuple[str, ...]:
    return (*node.inputs, node.name)


def _read(node: Node, rules: Rules) -> tuple[str, ...]:
    """Return the names of the values that the node's vjp reads."""
    rule = rules[node.operation]
    read = node.inputs
    if rule.keeps_inputs is not None:
        read = tuple(node.inputs[i] for i in rule.keeps_inputs if i < len(node.inputs))
    return (*read, node.name) if rule.keeps_output else read


def _last(uses: Sequence[Sequence[str]], still_used: AbstractSet[str]) -> list[tuple[str, ...]]:
    """Return for each step those of its names that no later step uses, nor anything after the last."""
    seen = set(still_used)
    found = []
    for names in reversed(uses):
        last = tuple([name for name in dict.fromkeys(names) if name not in seen])
        seen.update(last)
        found.append(last)
    return found[::-1]


def _forward_steps(
    nodes: Sequence[Node],
    kept: AbstractSet[str],
    mentioned: AbstractSet[str],
    position: Mapping[str, int],
    rules: Rules,
) -> Iterable[Forward]:
    for node, gone in zip(nodes, _last([_mentioned(node) for node in nodes], kept), strict=True):
        yield Forward(
            _bound(rules[node.operation].forward, node),
            tuple([position[name] for name in node.inputs]),
            position[node.name],
            tuple([position[name] for name in gone if name in mentioned]),
            tuple([position[name] for name in gone if name not in mentioned]),
        )


def _backward_steps(
    nodes: Sequence[Node], reached: AbstractSet[str], position: Mapping[str, int], rules: Rules
) -> Iterable[Backward]:
    last_read = _last([_read(node, rules) for node in nodes], frozenset())
    last_mentioned = _last([_mentioned(node) for node in nodes], frozenset())
    for node, unread, gone in zip(nodes, last_read, last_mentioned, strict=True):
        yield Backward(
            _bound(rules[node.operation].vjp, node),
            tuple([position[name] for name in node.inputs]),
            position[node.name],
            tuple([position[name] if name in reached else None for name in node.inputs]),
            tuple([position[name] for name in unread if name not in gone]),
            tuple([position[name] for name in gone]),
        )


def _bound(function: Callable[..., Any], node: Node) -> Callable[..., Any]:
    return partial(function, **node.attributes) if node.attributes else function
