"""A random cotangent for engines that take none: the output is multiplied by a leaf and summed.

Under a cotangent of ones a softmax, a layer norm or a normalised anything hides its mistakes, so what an
engine is asked for is the gradient of <u, y>. Its own ``multiply`` and ``sum`` do that, and are trusted to
only after they have been tried alone.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from gradcheck.engines.base import Engine, call_engine
from gradcheck.engines.samples import SAMPLES
from gradcheck.errors import EngineError
from reference_impl import Graph, Node, value_and_gradients

Array = npt.NDArray[Any]

NEEDED = ("multiply", "sum")

_found: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # by engine


def can_weigh(engine: Engine) -> bool:
    """Whether the engine has the operations that a cotangent is given by, and gets them right."""
    try:
        known = _found.get(engine)
        if known is None:
            known = _found[engine] = _try(engine)
    except TypeError:  # an engine that cannot be a key is tried each time
        return _try(engine)
    return known


def _try(engine: Engine) -> bool:
    if not all(engine.supports(operation) for operation in NEEDED):
        return False
    tried = ((operation, sample) for operation in NEEDED for sample in SAMPLES[operation])
    return all(_is_right(engine, sample.graph(operation), sample.values()) for operation, sample in tried)


def _is_right(engine: Engine, graph: Graph, values: dict[str, Array]) -> bool:
    try:
        answer = call_engine(engine, graph, values)
    except EngineError:
        return False
    value, gradients = value_and_gradients(graph, values)
    found = [(answer.value, value), *((answer.gradients[name], gradients[name]) for name in gradients)]
    return all(np.allclose(ours, right, rtol=1e-9, atol=1e-9) for ours, right in found)


def weighted(graph: Graph) -> tuple[Graph, str]:
    """Return the graph of <u, y> for a graph of y, and the name of its new input u."""
    cotangent, product, total = (_unused(graph, name) for name in ("cotangent", "weighted", "total"))
    nodes = [
        *graph.nodes,
        Node(product, "multiply", (graph.output, cotangent)),
        Node(total, "sum", (product,)),
    ]
    inputs = {**graph.inputs, cotangent: graph.shapes[graph.output]}
    return Graph(inputs, graph.parameters, nodes, total, graph.allow_unused), cotangent


def random_cotangent(shape: tuple[int, ...], seed: int) -> Array:
    """Draw entries of both signs, none near zero, so that none goes unseen."""
    random = np.random.default_rng([seed, 0xC07])
    signed: Array = random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape)
    return signed


def _unused(graph: Graph, name: str) -> str:
    while name in graph.shapes:
        name += "_"
    return name
