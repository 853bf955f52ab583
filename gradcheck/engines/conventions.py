"""Whether a gradient that is no subgradient of the whole follows from right choices at single kinks.

Finite differences see the sum of all kinks. Where some count positive and some negative, what the chain rule
makes of a subgradient of each need not be a subgradient of the sum: with relu'(0) = 0 the gradient of
relu(b) - relu(-b) = b at 0 is 0. That is no fault of a backward pass. So each operation is judged alone, and
one output at a time, where any number between the one-sided derivatives is right; and the chain rule is
applied to the engine's own vjps. A claim that is what comes out has nothing wrong in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck.engines.base import Engine, call_engine
from gradcheck.engines.weighting import can_weigh, weighted
from gradcheck.errors import EngineError
from reference_impl import RULES, Graph, Node, evaluate_all

Array = npt.NDArray[Any]
IsRight = Callable[[Any], bool]  # of a case: whether the engine's gradients of it are right

_AGREES = 1e-9  # relative to the largest entry
_MOST_OUTPUTS = 256  # of all nodes whose vjp is not that of the other implementation


def kinks_explain(
    case: Any, engine: Engine, other: Engine, claimed: Mapping[str, Array], is_right: IsRight
) -> str:
    """Return an operation at whose kinks the engine makes a right choice, "" where that explains nothing.

    Args:
        case: on which the claim is in doubt.
        engine: whose claim it is.
        other: another implementation: a vjp on which both agree is right.
        claimed: the gradients claimed, by leaf.
        is_right: judges cases of one operation with one output, by finite differences.
    """
    kinked = [node.operation for node in case.graph.nodes if RULES[node.operation].kink]
    if not kinked or not can_weigh(engine) or not can_weigh(other):
        return ""
    try:
        with np.errstate(all="ignore"):
            values = evaluate_all(case.graph, case.values)
            shares = _shares(case.graph, engine, values)
            follows = all(_alike(claimed[name], shares[name]) for name in case.graph.leaves)
            right = follows and _each_right(case, engine, other, values, shares, is_right)
            return kinked[0] if right else ""
    except EngineError:
        return ""


def _shares(graph: Graph, engine: Engine, values: Mapping[str, Array]) -> dict[str, Array]:
    """Return every cotangent as the chain rule makes it of the engine's vjps of single operations."""
    shares = {name: np.zeros(value.shape, value.dtype) for name, value in values.items()}
    shares[graph.output] = np.ones_like(values[graph.output])
    for node in reversed(graph.nodes):
        if shares[node.name].any():
            for name, share in _pulled_back(node, engine, values, shares[node.name]).items():
                shares[name] = shares[name] + share
    return shares


def _each_right(
    case: Any,
    engine: Engine,
    other: Engine,
    values: Mapping[str, Array],
    shares: Mapping[str, Array],
    is_right: IsRight,
) -> bool:
    """Whether every operation is right under the cotangent that it gets.

    It is where both implementations agree, or where it adds up what is right for each output alone.
    """
    tried = 0
    for node in case.graph.nodes:
        u = shares[node.name]
        ours, theirs = (_pulled_back(node, one, values, u) for one in (engine, other))
        if all(_alike(ours[name], theirs[name]) for name in ours):
            continue
        tried += int(np.count_nonzero(u))
        if tried > _MOST_OUTPUTS or not _adds_up(node, engine, values, u, ours):
            return False
        if not all(map(is_right, _single_outputs(case, node, values, u))):
            return False
    return True


def _adds_up(
    node: Node, engine: Engine, values: Mapping[str, Array], u: Array, found: Mapping[str, Array]
) -> bool:
    """Whether a vjp is that of its outputs one at a time, each as much as it counts."""
    total = {name: np.zeros_like(share) for name, share in found.items()}
    for i, one in _units(u):
        for name, share in _pulled_back(node, engine, values, one).items():
            total[name] = total[name] + u.flat[i] * share
    return all(_alike(found[name], total[name]) for name in found)


def _units(u: Array) -> Iterator[tuple[int, Array]]:
    for i in map(int, np.flatnonzero(u)):
        one = np.zeros_like(u)
        one.flat[i] = 1
        yield i, one


def _single_outputs(case: Any, node: Node, values: Mapping[str, Array], u: Array) -> Iterator[Any]:
    for _, one in _units(u):
        graph, leaves, _ = _alone(node, values, one)
        yield replace(case, name=f"{node.operation} alone", graph=graph, values=leaves, known={})


def _pulled_back(node: Node, engine: Engine, values: Mapping[str, Array], u: Array) -> dict[str, Array]:
    graph, leaves, names = _alone(node, values, u)
    found = call_engine(engine, graph, leaves).gradients
    return {name: found[name] for name in names}


def _alone(
    node: Node, values: Mapping[str, Array], u: Array
) -> tuple[Graph, dict[str, Array], tuple[str, ...]]:
    """Return the graph of <u, one node>, the values of its leaves, and those that are the node's inputs."""
    names = tuple(dict.fromkeys(node.inputs))
    bare = Graph({}, {name: values[name].shape for name in names}, [node], node.name)
    graph, cotangent = weighted(bare)
    return graph, {**{name: values[name] for name in names}, cotangent: u}, names


def _alike(one: Array, other: Array) -> bool:
    largest = float(np.abs(other).max(initial=0))
    return bool(np.allclose(one, other, rtol=_AGREES, atol=_AGREES * largest + 1e-13))
