"""The reference backpropagation as an engine; other rules may be given, to plant a fault or try one out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from reference_impl import Graph, value_and_gradients
from reference_impl.rules import RULES, Rule

Array = npt.NDArray[Any]


class ReferenceEngine:
    """Backpropagation in NumPy, by the rules given (``reference_impl.RULES`` where none are)."""

    complex_numbers = True

    def __init__(self, rules: Mapping[str, Rule] = RULES, name: str = "reference") -> None:
        self.rules = rules
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _engine, (None if self.rules is RULES else dict(self.rules), self.name)

    def supports(self, operation: str) -> bool:
        """Whether there is a rule for the operation."""
        return operation in self.rules

    def value_and_gradients(
        self, graph: Graph, values: Mapping[str, Array], cotangent: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Return the output's value and each leaf's gradient; ``cotangent`` is ones where none is given."""
        value, gradients = value_and_gradients(graph, values, cotangent=cotangent, rules=self.rules)
        return np.asarray(value), gradients


def _engine(rules: Mapping[str, Rule] | None, name: str) -> ReferenceEngine:
    """Make an engine in another process; the rules of the table are there already."""
    return ReferenceEngine(RULES if rules is None else rules, name)


engine = ReferenceEngine()
