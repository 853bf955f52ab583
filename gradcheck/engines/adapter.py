"""The base of an adapter: somebody else's library becomes an engine by a table and one method.

A subclass gives ``name``, ``operations`` (our operation's name: a function of the library's arrays, with the
node's attributes by keyword) and ``differentiate``: how leaves are made of NumPy arrays, and how gradients
are read. With a ``language`` it can also print any graph as a program in the library's own words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcheck.engines.attributes import with_arrays
from gradcheck.engines.base import UnsupportedError
from gradcheck.engines.snippets import Language, program

if TYPE_CHECKING:
    from reference_impl import Graph

Array = npt.NDArray[Any]
Leaves = Mapping[str, Any]


class Adapter(ABC):
    """An engine made of a table of functions; what the table lacks is unsupported."""

    name: str
    operations: Mapping[str, Callable[..., Any]]
    language: Language | None = None
    complex_numbers: bool = False

    @abstractmethod
    def differentiate(
        self, function: Callable[[Leaves], Any], leaves: Mapping[str, Array]
    ) -> tuple[Any, Mapping[str, Any]]:
        """Return ``function``'s value and the gradient of the sum of its elements.

        ``function`` takes the library's own arrays by leaf name and returns one. ``leaves`` are writable
        NumPy arrays of their own. A gradient may be None where the output does not depend on the leaf.
        """

    def supports(self, operation: str) -> bool:
        """Whether the table has a row for the operation."""
        return operation in self.operations

    def value_and_gradients(
        self, graph: Graph, values: Mapping[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        """Evaluate the graph with the table's functions, and differentiate it."""
        leaves = {name: np.array(values[name], order="C") for name in graph.leaves}
        value, gradients = self.differentiate(partial(self.evaluate, graph), leaves)
        return np.asarray(value), {
            name: _dense(gradients.get(name), like=leaf) for name, leaf in leaves.items()
        }

    def evaluate(self, graph: Graph, leaves: Leaves) -> Any:
        """Return the graph's output, from leaves that are the library's arrays."""
        known = dict(leaves)
        for node in graph.nodes:
            inputs = [known[name] for name in node.inputs]
            try:
                known[node.name] = self.operations[node.operation](*inputs, **with_arrays(node.attributes))
            except NotImplementedError as error:
                raise UnsupportedError(f"{self.name}: {node.operation}: {error}", node.operation) from error
        return known[graph.output]

    def snippet(self, graph: Graph, values: Mapping[str, Array]) -> str | None:
        """Return a program in the library's own words that prints each leaf's gradient."""
        if self.language is None:
            return None
        return program(self.language, self.operations, graph, values)


def _dense(gradient: Any, like: Array) -> Array:
    return np.zeros_like(like) if gradient is None else np.asarray(gradient)
