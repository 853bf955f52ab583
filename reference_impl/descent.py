"""Gradient descent: W <- W - eta dl/dW and b <- b - eta dl/db, again and again, and the loss falls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reference_impl.backprop import Values, leaf_values, value, value_and_gradients
from reference_impl.errors import ValuesError
from reference_impl.graph import Graph
from reference_impl.mlp import MLP, forward, loss, loss_and_gradients
from reference_impl.rules.rule import Array


@dataclass(frozen=True, eq=False)
class Descent:
    """Where gradient descent over a graph ended: its leaves' ``values``, and the loss before each step.

    ``losses`` has one entry more than there were steps: the last is the loss at ``values``.
    """

    values: Mapping[str, Array]
    losses: tuple[float, ...]


def descend(graph: Graph, values: Values, eta: float, steps: int) -> Descent:
    """Take gradient steps of size ``eta`` in the graph's parameters; its inputs stay as they are.

    Args:
        graph: ends in a scalar, the loss.
        values: an array for each leaf; none of them is changed.
        eta: the step size (learning rate).
        steps: how many steps to take.

    Raises:
        ValuesError: where the output is not a scalar, or a value does not fit.
    """
    if graph.shapes[graph.output]:
        raise ValuesError(
            f"Expected a scalar loss but {graph.output!r} has shape {graph.shapes[graph.output]}."
        )
    at = leaf_values(graph, values)
    losses = []
    for _ in range(steps):
        here, gradients = value_and_gradients(graph, at, wrt=graph.parameters)
        losses.append(float(here))
        at.update({name: at[name] - eta * gradient for name, gradient in gradients.items()})
    return Descent(at, (*losses, float(value(graph, at))))


def descend_mlp(
    mlp: MLP, x: npt.ArrayLike, y: npt.ArrayLike, eta: float, steps: int
) -> tuple[MLP, tuple[float, ...]]:
    """Take gradient steps of size ``eta`` in an MLP's weights and biases, on one batch.

    Returns:
        The MLP after ``steps`` steps, and the loss before each step and after the last.
    """
    at = []
    for _ in range(steps):
        here, gradients = loss_and_gradients(mlp, x, y, with_input=False)
        at.append(here)
        mlp = replace(mlp, W=_step(mlp.W, gradients.W, eta), b=_step(mlp.b, gradients.b, eta))
    return mlp, (*at, loss(mlp, forward(mlp, x), y))


def _step(parameters: Iterable[Array], gradients: Iterable[Array], eta: float) -> tuple[Array, ...]:
    return tuple(np.subtract(p, eta * g) for p, g in zip(parameters, gradients, strict=True))
