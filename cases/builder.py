"""A graph under construction, evaluated as it grows.

A generator must know the values while it builds: whether a logarithm's operand is positive, whether two
entries tie, whether numbers grow out of proportion. So each node is computed as soon as it is added, and
what does not fit is refused (``Unsuitable``), taken back, and something else tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cases.choices import Array, Choices, Shape
from cases.clearance import is_clear
from cases.record import Case
from reference_impl import RULES, Graph, Node

# Beyond this a value is scaled down: sums of squares, products and exponentials would run away.
LARGEST = 16.0
# Entries of an array. Cases are to be many and quick; size is no mistake's hiding place here.
MOST_ENTRIES = 96


class Unsuitable(Exception):
    """What was to be added does not fit here."""


class Builder:
    """Leaves and nodes with their values, and the source of choices that decides on more of them."""

    def __init__(
        self,
        choices: Choices,
        most_entries: int = MOST_ENTRIES,
        *,
        clear: bool = True,
        analytic: bool = False,
    ) -> None:
        self.choices = choices
        self.most_entries = most_entries
        self.clear = clear  # of kinks, ties and poles
        self.analytic = analytic  # only operations that complex numbers have, too
        self.inputs: dict[str, Array] = {}
        self.parameters: dict[str, Array] = {}
        self.nodes: list[Node] = []
        self.values: dict[str, Array] = {}
        self.heads: dict[str, None] = {}  # what nothing uses yet, in order

    def constant(self, value: float) -> str:
        """Return an input that holds one number, the same one wherever the graph needs that number."""
        name = f"c{value:g}"
        return name if name in self.inputs else self.input(value, name)

    def input(self, value: Any, name: str | None = None) -> str:
        """Add an input with its value, and return its name."""
        return self._leaf(self.inputs, value, name or f"x{len(self.inputs) + 1}")

    def parameter(self, value: Any, name: str | None = None) -> str:
        """Add a parameter with its value, and return its name."""
        return self._leaf(self.parameters, value, name or f"w{len(self.parameters) + 1}")

    def _leaf(self, leaves: dict[str, Array], value: Any, name: str) -> str:
        leaves[name] = self.values[name] = np.asarray(value, dtype=np.float64)
        self.heads[name] = None
        return name

    def apply(self, operation: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node, evaluate it, and return its name.

        Raises:
            Unsuitable: where the inputs do not fit the operation, lie at a kink or close to a pole, or the
                result is too large or not finite; or the operation is not wanted.
        """
        operands = [self.values[i] for i in inputs]
        value = self._evaluated(operation, operands, attributes)
        name = name or f"v{len(self.nodes) + 1}"
        self.nodes.append(Node(name, operation, inputs, attributes))
        self.values[name] = value
        for i in inputs:
            self.heads.pop(i, None)
        self.heads[name] = None
        return name

    def _evaluated(self, operation: str, operands: list[Array], attributes: dict[str, Any]) -> Array:
        if self.analytic and not RULES[operation].analytic:
            raise Unsuitable(operation)
        if self.clear and not is_clear(operation, operands, attributes):
            raise Unsuitable(operation)
        value = np.asarray(RULES[operation].forward(*operands, **attributes))
        if value.size > self.most_entries or (value.size and not np.abs(value).max() <= 1e9):
            raise Unsuitable(operation)
        return value

    def loose_ends(self) -> list[str]:
        """Return the nodes that nothing uses yet, in order."""
        return [name for name in self.heads if name not in self.inputs and name not in self.parameters]

    def shape(self, name: str) -> Shape:
        """Return the shape of a leaf or node."""
        return self.values[name].shape

    def largest(self, name: str) -> float:
        """Return the largest magnitude in a leaf or node, 0 where it has no entries."""
        value = self.values[name]
        return float(np.abs(value).max()) if value.size else 0.0

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """Take back all that was added since, where it turns out Unsuitable."""
        counts = len(self.inputs), len(self.parameters), len(self.nodes), len(self.values)
        heads = dict(self.heads)
        try:
            yield
        except Unsuitable:
            for leaves, count in (
                (self.inputs, counts[0]),
                (self.parameters, counts[1]),
                (self.values, counts[3]),
            ):
                while len(leaves) > count:
                    leaves.popitem()
            del self.nodes[counts[2] :]
            self.heads = heads
            raise

    def case(self, name: str, output: str, family: str) -> Case:
        """Return what was built as a case. Branches that do not lead to the output stay, unused."""
        graph = Graph(
            inputs={leaf: value.shape for leaf, value in self.inputs.items()},
            parameters={leaf: value.shape for leaf, value in self.parameters.items()},
            nodes=self.nodes,
            output=output,
            allow_unused=self.loose_ends() != [output],
        )
        return Case(name, graph, {**self.inputs, **self.parameters}, family)
