"""Which operation of a graph an engine gets wrong: each node alone, at the inputs that it has in the case.

By the chain rule a gradient is right if every operation's vjp is right where it is applied, and shares are
added over all paths. So each node becomes a case of its own, with a random cotangent, and whatever the
engine gets wrong there it gets wrong in the case. Where all nodes are right alone, adding up is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cases import Case
from gradcheck.engines.base import Engine, call_engine
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.torch import TorchEngine
from gradcheck.engines.weighting import can_weigh, random_cotangent, weighted
from gradcheck.errors import EngineError
from gradcheck.report.records import Blame, Call, Report, Verdict
from gradcheck.verification import verify_case
from reference_impl import Graph, Node, evaluate_all

ADDING_UP = "adding up over paths"

_AGREES = 1e-9  # relative: two implementations that agree so well need no finite differences


def blame_nodes(
    case: Case, engine: Engine, options: Mapping[str, Any] | None = None
) -> tuple[tuple[Blame, ...], tuple[Call, ...]]:
    """Return the operations at fault, each once, and every node with its verdict (None: not to be had).

    ``options`` are those of ``verify_case``.
    """
    verdicts: dict[str, Verdict | None] = {}
    blames: dict[str, Blame] = {}
    for node, alone in node_cases(case, engine):
        message = _fault(alone, engine, dict(options or {}), verdicts)
        if message and node.operation not in blames:
            blames[node.operation] = Blame(node.operation, None, f"node {node.name!r}: {message}")
    if not blames and all(verdict is Verdict.PASS for verdict in verdicts.values()):
        shared = ", ".join(_read_twice(case.graph)) or "none is read twice"
        message = f"every node is right alone, so what is wrong is how shares are added up ({shared})"
        blames[ADDING_UP] = Blame(ADDING_UP, None, message)
    calls = tuple(
        Call(node.name, node.operation, None, node.inputs, verdicts.get(node.name))
        for node in case.graph.nodes
    )
    return tuple(blames.values()), calls


def node_cases(case: Case, engine: Engine) -> Iterator[tuple[Node, Case]]:
    """Yield each node with the case of it alone, from the output back; its name is the node's."""
    with np.errstate(all="ignore"):
        values = evaluate_all(case.graph, case.values)
    weigh = can_weigh(engine)
    for number, node in enumerate(reversed(case.graph.nodes)):
        names = tuple(dict.fromkeys(node.inputs))
        if not all(np.isfinite(values[name]).all() for name in names):
            continue
        graph = Graph({}, {name: case.graph.shapes[name] for name in names}, [node], node.name)
        leaves = {name: values[name] for name in names}
        if weigh:
            graph, cotangent = weighted(graph)
            drawn = random_cotangent(graph.leaves[cotangent], number)
            leaves[cotangent] = drawn.astype(values[node.name].dtype)
        yield node, Case(node.name, graph, leaves, case.family, case.seed)


def _fault(alone: Case, engine: Engine, options: dict[str, Any], verdicts: dict[str, Verdict | None]) -> str:
    """Return what is wrong with one node alone, "" where nothing is; its verdict is entered."""
    verdicts[alone.name] = None
    try:
        if _agrees(alone, engine):
            verdicts[alone.name] = Verdict.PASS
            return ""
        report = verify_case(alone, engine, **options)
    except EngineError as error:
        verdicts[alone.name] = Verdict.FAIL
        return str(error)
    verdicts[alone.name] = report.verdict
    return _said(report) if report.verdict is Verdict.FAIL else ""


def _agrees(case: Case, engine: Engine) -> bool:
    """Whether another implementation, not the one under test, gives the same value and gradients."""
    other: Engine = ReferenceEngine() if isinstance(engine, TorchEngine) else TorchEngine()
    found = call_engine(engine, case.graph, case.values, finite=False)
    expected = call_engine(other, case.graph, case.values, finite=False)
    pairs = [(found.value, expected.value)]
    pairs += [(found.gradients[name], expected.gradients[name]) for name in case.graph.leaves]
    return all(
        np.allclose(ours, theirs, rtol=_AGREES, atol=_AGREES * float(np.abs(theirs).max(initial=0)))
        for ours, theirs in pairs
    )


def _said(report: Report) -> str:
    """Return what a failing report says of its worst parameter, in one sentence."""
    failing = [result for result in report.parameters.values() if result.verdict is Verdict.FAIL]
    compared = [c for result in failing for c in result.comparisons.values() if c.verdict is Verdict.FAIL]
    if not compared:
        return report.message or "its value is wrong"
    worst = max(compared, key=lambda c: c.abs_error)
    name = next(result.name for result in failing if worst in result.comparisons.values())
    place = f" at {list(worst.index)}" if worst.index else ""
    return (
        f"the gradient for {name!r}{place} is {worst.claimed:.9g}, by {worst.witness} {worst.expected:.9g} "
        f"+- {worst.uncertainty:.2g}"
    )


def _read_twice(graph: Graph) -> list[str]:
    read = [name for node in graph.nodes for name in node.inputs]
    return [name for name in graph.shapes if read.count(name) > 1]
