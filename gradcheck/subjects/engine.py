"""An engine on a case: the reference forward pass in extended precision, the engine's claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck.engines.base import Engine, call_engine

Array = npt.NDArray[Any]


def widened(array: Array) -> Array:
    """Return the array in the widest format of its kind that the platform computes in."""
    return array.astype(np.clongdouble if array.dtype.kind == "c" else np.longdouble)


class EngineSubject:
    """The gradients that an engine claims for a case, against the graph evaluated in ``longdouble``.

    Raises:
        EngineError: when made, where the engine raises or answers in other names or shapes.
    """

    fixed_cotangent = True

    def __init__(self, case: Any, engine: Engine) -> None:
        self.name = f"{case.name} by {engine.name}"
        self.graph = case.graph
        self.variables: Mapping[str, Array] = {name: widened(value) for name, value in case.values.items()}
        self.answer = call_engine(engine, case.graph, case.values, finite=False)
        self.precision = max(float(np.finfo(value.dtype).eps) for value in case.values.values())
        self.epsilon = float(np.finfo(np.longdouble).eps)

    def evaluate(self, values: Mapping[str, Array]) -> list[Array]:
        """Return the graph's output with the named leaves replaced."""
        from reference_impl import value

        with np.errstate(all="ignore"):  # points outside the domain are expected, and dropped
            return [np.asarray(value(self.graph, {**self.variables, **values}))]

    def pull_back(self, cotangents: Sequence[Array | None] | None) -> dict[str, Array | None]:
        """Return what the engine claimed for the sum of the output."""
        return dict(self.answer.gradients)
