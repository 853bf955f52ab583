"""The computations that ``reference_speed`` times: in our layers, as our graphs, and in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from reference_impl import MLP, Graph, Node, mlp

Array = npt.NDArray[Any]
Leaves = dict[str, Array]
Passes = Callable[[], dict[str, Array]]  # forward and backward; returns the gradients


def classifier(widths: tuple[int, ...], batch: int, sigma: str = "relu") -> tuple[MLP, Array, Array]:
    """Return a network with softmax cross-entropy summed over samples, and random data for it."""
    rng = np.random.default_rng(0)
    net = mlp.initialise(widths, rng, sigma, "softmax_cross_entropy")
    return net, rng.standard_normal((batch, widths[0])), rng.integers(0, widths[-1], batch)


def as_graph(net: MLP, x: Array, y: Array) -> tuple[Graph, Leaves]:
    """Return the same network as a graph, and its leaves' values."""
    nodes, below = [], "x"
    for i, sigma in enumerate(net.sigma, 1):
        nodes.append(Node(f"V{i}", "transpose", (f"W{i}",)))
        nodes.append(Node(f"u{i}", "matmul", (below, f"V{i}")))
        nodes.append(Node(f"s{i}", "add", (f"u{i}", f"b{i}")))
        below = f"s{i}"
        if sigma != "identity":
            nodes.append(Node(f"x{i}", sigma, (below,)))
            below = f"x{i}"
    nodes.append(Node("loss", net.loss, (below,), {"labels": y, "reduction": net.reduction}))
    parameters = {f"W{i}": W for i, W in enumerate(net.W, 1)} | {f"b{i}": b for i, b in enumerate(net.b, 1)}
    shapes = {name: array.shape for name, array in parameters.items()}
    return Graph({"x": x.shape}, shapes, nodes, "loss"), {"x": x, **parameters}


class TorchClassifier:
    """The same ReLU network in PyTorch, its passes one by one."""

    def __init__(self, net: MLP, x: Array, y: Array) -> None:
        self.W = [torch.tensor(W, requires_grad=True) for W in net.W]
        self.b = [torch.tensor(b, requires_grad=True) for b in net.b]
        self.x, self.y = torch.tensor(x), torch.tensor(y)

    def forward(self) -> torch.Tensor:
        """Return the loss."""
        h = self.x
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True), 1):
            h = torch.nn.functional.linear(h, W, b)
            h = torch.relu(h) if i < len(self.W) else h
        return torch.nn.functional.cross_entropy(h, self.y, reduction="sum")

    def both(self) -> dict[str, Array]:
        """Return the gradients by the graph's names."""
        for parameter in (*self.W, *self.b):
            parameter.grad = None
        self.forward().backward()  # type: ignore[no-untyped-call]  # torch's is untyped
        named = {f"W{i}": W for i, W in enumerate(self.W, 1)} | {f"b{i}": b for i, b in enumerate(self.b, 1)}
        return {name: leaf.grad.numpy() for name, leaf in named.items() if leaf.grad is not None}


TORCH: Mapping[str, Callable[..., torch.Tensor]] = {
    "multiply": torch.mul,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
    "add": torch.add,
    "subtract": torch.sub,
    "maximum": torch.maximum,
    "mean": torch.mean,
}


def residual_chain(blocks: int) -> tuple[Graph, Leaves]:
    """Return a graph of 3 operations for each block, h <- join(h, sigma(h w)), on 4 by 4 arrays."""
    nodes, h = [], "x"
    kinds = zip(
        cycle(["tanh", "sin", "sigmoid", "softplus"]), cycle(["add", "subtract", "maximum"]), strict=True
    )
    for i, (sigma, join) in zip(range(blocks), kinds, strict=False):
        nodes.append(Node(f"u{i}", "multiply", (h, "w")))
        nodes.append(Node(f"v{i}", sigma, (f"u{i}",)))
        nodes.append(Node(f"h{i}", join, (h, f"v{i}")))
        h = f"h{i}"
    nodes.append(Node("loss", "mean", (h,)))
    rng = np.random.default_rng(0)
    values = {"x": rng.standard_normal((4, 4)), "w": 0.1 * rng.standard_normal((4, 4))}
    return Graph({"x": (4, 4)}, {"w": (4, 4)}, nodes, "loss"), values


def in_torch(graph: Graph, values: Leaves) -> Passes:
    """Return both passes over the graph in PyTorch's eager mode."""
    steps = [(node.name, TORCH[node.operation], node.inputs) for node in graph.nodes]

    def both() -> dict[str, Array]:
        leaves = {name: torch.from_numpy(array).requires_grad_() for name, array in values.items()}
        known = dict(leaves)
        for name, function, inputs in steps:
            known[name] = function(*[known[i] for i in inputs])
        known[graph.output].backward()  # type: ignore[no-untyped-call]  # torch's is untyped
        return {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}

    return both
