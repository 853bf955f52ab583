"""Of a case whose operations an engine lacks in part, the largest part that it has.

A young engine has ten operations, and hardly a generated graph makes do with those. So what it lacks is
computed for it: the values of those nodes become leaves, and one graph is left that ends in the node that
most of what remains leads to.
"""

from __future__ import annotations

import numpy as np

from cases import Case
from gradcheck.engines.base import Engine
from gradcheck.engines.weighting import can_weigh, random_cotangent, weighted
from reference_impl import Graph, Node, evaluate_all


def supported_part(case: Case, engine: Engine) -> Case | None:
    """Return the case itself where the engine has all of it, None where it has no operation of it."""
    kept = [node for node in case.graph.nodes if engine.supports(node.operation)]
    if len(kept) == len(case.graph.nodes):
        return case
    if not kept:
        return None
    nodes = _leading_to_one(kept)
    names = {node.name for node in nodes}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name not in names)
    with np.errstate(all="ignore"):
        values = evaluate_all(case.graph, case.values)
    if not all(np.isfinite(values[name]).all() for name in read):
        return None
    shapes = case.graph.shapes
    inputs = {name: shape for name, shape in case.graph.inputs.items() if name in read}
    parameters = {name: shapes[name] for name in read if name not in inputs}
    graph = Graph(inputs, parameters, nodes, nodes[-1].name)
    leaves = {name: values[name] for name in graph.leaves}
    if graph.shapes[graph.output] and can_weigh(engine):
        graph, cotangent = weighted(graph)
        drawn = random_cotangent(graph.leaves[cotangent], case.seed or 0)
        leaves[cotangent] = drawn.astype(values[nodes[-1].name].dtype)
    return Case(f"part of {case.name}", graph, leaves, case.family, case.seed)


def _leading_to_one(kept: list[Node]) -> list[Node]:
    """Return the nodes that lead to the one that most lead to, itself last."""
    behind: dict[str, frozenset[str]] = {}
    for node in kept:
        sources = [behind[name] for name in node.inputs if name in behind]
        behind[node.name] = frozenset({node.name}).union(*sources)
    most = max(behind.values(), key=len)
    return [node for node in kept if node.name in most]
