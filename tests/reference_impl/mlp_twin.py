"""The same MLP as a graph, for tests that hold the two implementations against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from reference_impl import MLP, Graph, Node

Array = np.ndarray[Any, Any]


def as_graph(net: MLP, x: Array, y: Array) -> tuple[Graph, dict[str, Array]]:
    """Return a graph with inputs x and y, parameters W1, b1, W2, ..., and output "loss"; and its values."""
    attributes: dict[str, Any] = {"reduction": net.reduction}
    targets = ("y",)
    values = {"x": x, "y": y}
    if y.dtype.kind == "i":
        attributes["labels"] = values.pop("y")
        targets = ()
    # The graph's losses take a first axis of samples, so one sample becomes a batch of one there.
    nodes, top = list(layers(net, x.ndim)), f"x{len(net.W)}"
    single = x.ndim == 1
    if single:
        nodes.append(Node("row", "reshape", (top,), {"shape": (1, -1)}))
        top = "row"
        if targets:
            nodes.append(Node("target", "reshape", ("y",), {"shape": (1, -1)}))
            targets = ("target",)
        else:
            attributes["labels"] = attributes["labels"].reshape(1)
    nodes.append(Node("loss", net.loss, (top, *targets), attributes))
    parameters = {f"W{i}": W for i, W in enumerate(net.W, 1)} | {f"b{i}": b for i, b in enumerate(net.b, 1)}
    inputs = {name: array.shape for name, array in values.items()}
    return Graph(inputs, {n: p.shape for n, p in parameters.items()}, nodes, "loss"), {**values, **parameters}


def layers(net: MLP, axes: int) -> Iterator[Node]:
    below = "x"
    for i, sigma in enumerate(net.sigma, 1):
        if axes == 1:
            yield Node(f"u{i}", "matmul", (f"W{i}", below))
        else:
            yield Node(f"V{i}", "transpose", (f"W{i}",))
            yield Node(f"u{i}", "matmul", (below, f"V{i}"))
        if sigma == "identity":
            yield Node(f"x{i}", "add", (f"u{i}", f"b{i}"))
        else:
            yield Node(f"s{i}", "add", (f"u{i}", f"b{i}"))
            yield Node(f"x{i}", sigma, (f"s{i}",))
        below = f"x{i}"
