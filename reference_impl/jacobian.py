"""Jacobians of any value of a graph with respect to any other, row by row from vector-Jacobian products.

The slides write the derivative of a = phi(b) as [da/db] = J_phi^T, with one row for each entry of b and one
column for each entry of a; so here, whatever the shapes: b's axes first, then a's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reference_impl.backprop import Values, backward, forward
from reference_impl.graph import Graph
from reference_impl.rules import RULES, Rule
from reference_impl.rules.rule import Array


def jacobian(graph: Graph, values: Values, of: str, wrt: str, rules: Mapping[str, Rule] = RULES) -> Array:
    """Return J^T, the derivative of each entry of ``of`` with respect to each entry of ``wrt``.

    Both name any leaf or node. Costs one forward pass, and one backward pass for each entry of ``of``.

    Returns:
        An array of shape wrt.shape + of.shape, zero where no path leads from ``wrt`` to ``of``.

    Raises:
        ValuesError: where a value or a name does not fit the graph.
    """
    passed = forward(graph, values, rules, wrt=[wrt], output=of)
    one_hot = np.zeros(passed.output.shape, passed.output.dtype)
    flat = one_hot.reshape(-1)
    columns = []
    for j in range(flat.size):
        flat[j] = 1
        # In complex arithmetic a vjp multiplies by the conjugate of the derivative.
        columns.append(backward(passed, one_hot, retain=True)[wrt].conj())
        flat[j] = 0
    shape = graph.shapes[wrt] + graph.shapes[of]
    return np.stack(columns, axis=-1).reshape(shape) if columns else np.zeros(shape, one_hot.dtype)
