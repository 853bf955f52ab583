"""Random graphs for tests of the passes: fan-out, broadcasting, the same operand twice, dead ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference_impl import Graph, Node

Array = np.ndarray[Any, Any]
LEAVES = {"x": (3, 4), "t": (), "w": (4, 4), "b": (4,), "c": (3, 1)}

UNARY: list[tuple[str, dict[str, Any]]] = [
    ("tanh", {}),
    ("sin", {}),
    ("sigmoid", {}),
    ("softplus", {}),
    ("negative", {}),
    ("leaky_relu", {"negative_slope": 0.2}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": -1}),
    ("cumsum", {"axis": 1}),
    ("mean", {"axis": 0, "keepdims": True}),
    ("sum", {"axis": 1, "keepdims": True}),
    ("max", {"axis": 1, "keepdims": True}),
    ("slice", {"slices": ((None, None, -1),)}),
    ("take", {"indices": np.array([0, 2, 0]), "axis": 0}),
    ("clip", {"minimum": -0.7, "maximum": 0.9}),
    ("dropout", {"mask": np.array([[True, False, True, True]] * 3), "rate": 0.25}),
]
BINARY = ["add", "subtract", "multiply", "maximum"]


class Growing:
    """A graph being drawn, node by node; every value but w broadcasts to (3, 4)."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.names = [name for name in LEAVES if name != "w"]

    def pick(self) -> str:
        """Choose an operand, one of the last few more often than not."""
        recent = self.names[-6:] if self.rng.random() < 0.7 else self.names
        return recent[self.rng.integers(len(recent))]

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        self.names.append(f"n{len(self.nodes)}")
        self.nodes.append(Node(self.names[-1], operation, inputs, attributes))
        return self.names[-1]

    def grow(self) -> None:
        """Add two operands, one operation of a full-sized array, or a layer with the shared weights."""
        kind = self.rng.integers(3)
        if kind == 0:
            self.add(BINARY[self.rng.integers(len(BINARY))], self.pick(), self.pick())
        elif kind == 1:
            operation, attributes = UNARY[self.rng.integers(len(UNARY))]
            self.add(operation, self.add("add", self.pick(), "x"), **attributes)
        else:
            full = self.add("add", self.add("add", self.pick(), "c"), "b")
            self.add("tanh", self.add("matmul", full, "w"))


def random_graph(seed: int, steps: int = 10) -> tuple[Graph, dict[str, Array]]:
    """Return a graph with an output of shape (3, 4), and its leaves' values."""
    growing = Growing(seed)
    for _ in range(steps):
        growing.grow()
    output = growing.add("add", growing.names[-1], growing.add("sin", "x"))
    parameters = {name: LEAVES[name] for name in ("w", "b", "c")}
    graph = Graph({"x": (3, 4), "t": ()}, parameters, growing.nodes, output, allow_unused=True)
    return graph, {name: growing.rng.standard_normal(shape) for name, shape in LEAVES.items()}
