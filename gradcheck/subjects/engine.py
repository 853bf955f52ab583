"""An engine on a case: the reference forward pass in extended precision, the engine's claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck.engines.base import Engine, call_engine

Array = npt.NDArray[Any]

_SHAKES = 3


def widened(array: Array) -> Array:
    """Return the array in the widest format of its kind that the platform computes in."""
    return array.astype(np.clongdouble if array.dtype.kind == "c" else np.longdouble)


class EngineSubject:
    """The gradients that an engine claims for a case, against the graph evaluated in ``longdouble``.

    Raises:
        EngineError: when made, where the engine raises or answers in other names or shapes.
    """

    fixed_cotangent, is_linear = True, False

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

    def rounding(self) -> dict[str, Array]:
        """Return how far roundings of the backward pass move each gradient, by leaf.

        Where terms of opposite sign cancel (what is added to all logits of a softmax has no gradient) a
        right gradient is off by roundings of the terms, of which its own size says nothing. So the
        reference goes back a few times with each number that a vjp is given off by a random rounding.
        Where a rule has a kink this is its cotangent alone, in which it is linear: no wrong choice at a kink
        is excused.
        """
        with np.errstate(all="ignore"):
            exact = self._gradients(lambda array: array)
            random = np.random.default_rng(0)
            shaken = [self._gradients(partial(_off, self.precision, random)) for _ in range(_SHAKES)]
            return {
                name: _root_mean_square([np.abs(other[name] - g) for other in shaken])
                for name, g in exact.items()
            }

    def _gradients(self, passed: Callable[[Any], Any]) -> dict[str, Array]:
        """Return the reference's gradients, what each vjp is given being changed on its way."""
        from reference_impl import RULES, value_and_gradients

        def changed(rule: Any) -> Any:
            def vjp(cotangent: Array, output: Any, inputs: Sequence[Any], **attributes: Any) -> Any:
                if not rule.kink:
                    output, inputs = passed(output), [passed(a) for a in inputs]
                return rule.vjp(passed(cotangent), output, inputs, **attributes)

            return replace(rule, vjp=vjp)

        rules = {node.operation: changed(RULES[node.operation]) for node in self.graph.nodes}
        return value_and_gradients(self.graph, self.variables, rules=rules)[1]


def _off(precision: float, random: np.random.Generator, given: Any) -> Any:
    if not hasattr(given, "ndim"):  # not read: its shape alone is left
        return given
    return given * (1 + precision * random.uniform(-1, 1, np.shape(given)))


def _root_mean_square(sizes: Sequence[Array]) -> Array:
    found: Array = np.sqrt(np.mean(np.square(sizes), axis=0)).astype(np.float64)
    return np.where(np.isfinite(found), found, 0.0)
