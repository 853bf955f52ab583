"""Jacobians have the slides' shapes and the entries that calculus, PyTorch and the passes give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_graphs import Array, random_graph

from reference_impl import Graph, Node, ValuesError, evaluate_all, jacobian, value, value_and_gradients


def layer() -> tuple[Graph, dict[str, Array]]:
    """One sample through one layer: s = W x + b, y = tanh(s)."""
    nodes = [Node("u", "matmul", ("W", "x")), Node("s", "add", ("u", "b")), Node("y", "tanh", ("s",))]
    rng = np.random.default_rng(0)
    graph = Graph({"x": (3,)}, {"W": (2, 3), "b": (2,)}, nodes, "y")
    return graph, {name: rng.standard_normal(shape) for name, shape in graph.leaves.items()}


def test_entries_and_shapes_are_the_slides_transposed_jacobian() -> None:
    """[ds/dx] = J^T has a row for each x_j and a column for each s_i, so it is W^T."""
    graph, values = layer()
    np.testing.assert_allclose(jacobian(graph, values, "s", "x"), values["W"].T, rtol=1e-15)
    np.testing.assert_array_equal(jacobian(graph, values, "s", "b"), np.eye(2))
    slopes = 1 - value(graph, values) ** 2
    np.testing.assert_allclose(jacobian(graph, values, "y", "s"), np.diag(slopes), rtol=1e-15)
    np.testing.assert_allclose(jacobian(graph, values, "y", "x"), values["W"].T * slopes, rtol=1e-14)


def test_with_respect_to_a_matrix_it_has_the_matrix_s_axes_first() -> None:
    """ds_i / dW_jk = x_k where i = j, else 0."""
    graph, values = layer()
    expected = np.einsum("ij,k->jki", np.eye(2), values["x"])
    found = jacobian(graph, values, "s", "W")
    assert found.shape == (2, 3, 2)
    np.testing.assert_array_equal(found, expected)


def test_the_chain_rule_multiplies_transposed_jacobians() -> None:
    graph, values = layer()
    product = jacobian(graph, values, "s", "x") @ jacobian(graph, values, "y", "s")
    np.testing.assert_allclose(jacobian(graph, values, "y", "x"), product, rtol=1e-14)


def test_leaves_zeros_and_scalars() -> None:
    graph, values = layer()
    np.testing.assert_array_equal(jacobian(graph, values, "x", "x"), np.eye(3))
    np.testing.assert_array_equal(jacobian(graph, values, "u", "b"), np.zeros((2, 2)))
    np.testing.assert_array_equal(jacobian(graph, values, "s", "y"), np.zeros((2, 2)))
    scalar = Graph({"x": ()}, {}, [Node("y", "square", ("x",))], "y")
    assert jacobian(scalar, {"x": 3.0}, "y", "x") == 6
    empty = Graph({"x": (0, 2)}, {"w": (3,)}, [Node("y", "sin", ("x",))], "y")
    assert jacobian(empty, {"x": np.ones((0, 2)), "w": np.ones(3)}, "y", "w").shape == (3, 0, 2)


def test_a_complex_jacobian_is_the_derivative_itself() -> None:
    graph = Graph({"z": (2,)}, {}, [Node("y", "exp", ("z",))], "y")
    z = np.array([0.3 + 0.4j, -1j])
    np.testing.assert_allclose(jacobian(graph, {"z": z}, "y", "z"), np.diag(np.exp(z)), rtol=1e-15)


@pytest.mark.parametrize("seed", range(12))
def test_rows_and_columns_are_dual(seed: int) -> None:
    """<J v, w> = <v, J^T w>, with J v also by central differences, and J^T w by the passes."""
    graph, values = random_graph(seed)
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((3, 4))
    gradients = value_and_gradients(graph, values, cotangent=w)[1]
    for name, shape in graph.leaves.items():
        v = rng.standard_normal(shape)
        columns = jacobian(graph, values, graph.output, name)
        assert columns.shape == (*shape, 3, 4)
        jv = np.tensordot(v, columns, axes=len(shape))
        np.testing.assert_allclose((jv * w).sum(), (v * gradients[name]).sum(), rtol=1e-10, atol=1e-10)
        h = 1e-6
        ahead, behind = (value(graph, {**values, name: values[name] + t * v}) for t in (h, -h))
        np.testing.assert_allclose(jv, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_between_two_inner_nodes_it_is_that_of_the_graph_between_them(seed: int) -> None:
    graph, values = random_graph(seed)
    known = evaluate_all(graph, values)
    start, end = graph.nodes[len(graph.nodes) // 3].name, graph.nodes[-2].name
    rest = [node for node in graph.nodes if node.name != start]
    between = Graph({**graph.leaves, start: graph.shapes[start]}, {}, rest, end, allow_unused=True)
    expected = jacobian(between, {**values, start: known[start]}, end, start)
    np.testing.assert_allclose(jacobian(graph, values, end, start), expected, rtol=1e-12, atol=1e-14)


def test_it_agrees_with_pytorch() -> None:
    graph, values = layer()
    W, b = torch.tensor(values["W"]), torch.tensor(values["b"])
    expected = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]  # torch's is untyped
        lambda W: torch.tanh(W @ torch.tensor(values["x"]) + b), W
    )
    found = np.moveaxis(jacobian(graph, values, "y", "W"), -1, 0)  # theirs has the output's axes first
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-13)


def test_unknown_names_are_refused() -> None:
    graph, values = layer()
    for of, wrt in (("ss", "x"), ("s", "xx")):
        with pytest.raises(ValuesError, match="Did you mean"):
            jacobian(graph, values, of, wrt)
