"""What a pass over a graph has to do, worked out once: the steps, and when each value is last needed.

A step refers to values by position in one list (leaves first, then nodes), with the rule looked up and the
attributes bound, so that the passes are loops with nothing left to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from reference_impl.graph import Graph, Node
from reference_impl.rules import RULES, Rule

Positions = tuple[int, ...]

_MOST_PLANS = 64  # remembered for each graph


class Forward(NamedTuple):
    """Compute ``output`` from ``inputs``; ``drop`` are the values that nothing will read any more."""

    compute: Callable[..., Any]
    inputs: Positions
    output: int
    drop: Positions


class Backward(NamedTuple):
    """Turn the cotangent of ``output`` into those of ``inputs``.

    ``targets`` are the inputs' positions with None for those whose cotangent nobody asked for; ``drop`` are
    the values that no later vjp reads.
    """

    vjp: Callable[..., Sequence[Any]]
    inputs: Positions
    output: int
    targets: tuple[int | None, ...]
    drop: Positions


@dataclass(frozen=True)
class Plan:
    """The steps from the leaves to ``output``, and back to ``wrt``; ``size`` counts the values.

    ``dropped_output`` says whether no vjp reads the output itself. ``labels`` name each value's node.
    """

    size: int
    forward: tuple[Forward, ...]
    backward: tuple[Backward, ...]
    output: int
    wrt: Positions
    keeps_output: bool
    labels: tuple[str, ...]


def plan(graph: Graph, output: str, wrt: tuple[str, ...], rules: Mapping[str, Rule]) -> Plan:
    """Return the plan for computing ``output`` and, unless ``wrt`` is empty, going back to its values."""
    if rules is not RULES:
        return _plan(graph, output, wrt, rules)
    known = graph.memo.get((output, wrt))
    if known is None:
        if len(graph.memo) >= _MOST_PLANS:
            graph.memo.clear()
        known = graph.memo[output, wrt] = _plan(graph, output, wrt, rules)
    return known


def _plan(graph: Graph, output: str, wrt: tuple[str, ...], rules: Mapping[str, Rule]) -> Plan:
    position = {name: i for i, name in enumerate(graph.shapes)}
    nodes = _ancestors(graph.nodes, output)
    reached = _reached(nodes, wrt)
    backward_nodes = [node for node in reversed(nodes) if not reached.isdisjoint(node.inputs)]
    if output not in reached:
        backward_nodes = []
    kept = {name for node in backward_nodes for name in _read_by_vjp(node, rules)}
    return Plan(
        len(position),
        tuple(_forward_steps(nodes, kept | {output}, position, rules)),
        tuple(_backward_steps(backward_nodes, reached, position, rules)),
        position[output],
        tuple(position[name] for name in wrt),
        output in kept,
        tuple(graph.leaves) + tuple(f"node {node.name!r} ({node.operation})" for node in graph.nodes),
    )


def _ancestors(nodes: Sequence[Node], output: str) -> list[Node]:
    needed = {output}
    found = []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            found.append(node)
    return found[::-1]


def _reached(nodes: Sequence[Node], wrt: tuple[str, ...]) -> set[str]:
    """Return the names of the values that depend on those asked for, these included."""
    reached = set(wrt)
    for node in nodes:
        if not reached.isdisjoint(node.inputs):
            reached.add(node.name)
    return reached


def _read_by_vjp(node: Node, rules: Mapping[str, Rule]) -> list[str]:
    rule = rules[node.operation]
    read = (
        list(node.inputs)
        if rule.keeps_inputs is None
        else [node.inputs[i] for i in rule.keeps_inputs if i < len(node.inputs)]
    )
    return [*read, node.name] if rule.keeps_output else read


def _bound(function: Callable[..., Any], node: Node) -> Callable[..., Any]:
    return partial(function, **node.attributes) if node.attributes else function


def _forward_steps(
    nodes: Sequence[Node], kept: set[str], position: Mapping[str, int], rules: Mapping[str, Rule]
) -> list[Forward]:
    steps = []
    seen = set(kept)
    for node in reversed(nodes):
        last_read = {name for name in (*node.inputs, node.name) if name not in seen}
        seen |= last_read
        steps.append(
            Forward(
                _bound(rules[node.operation].forward, node),
                tuple(position[name] for name in node.inputs),
                position[node.name],
                tuple(position[name] for name in last_read),
            )
        )
    return steps[::-1]


def _backward_steps(
    nodes: Sequence[Node], reached: set[str], position: Mapping[str, int], rules: Mapping[str, Rule]
) -> list[Backward]:
    steps = []
    seen: set[str] = set()
    for node in reversed(nodes):
        last_read = {name for name in _read_by_vjp(node, rules) if name not in seen}
        seen |= last_read
        steps.append(
            Backward(
                _bound(rules[node.operation].vjp, node),
                tuple(position[name] for name in node.inputs),
                position[node.name],
                tuple(position[name] if name in reached else None for name in node.inputs),
                tuple(position[name] for name in last_read),
            )
        )
    return steps[::-1]
