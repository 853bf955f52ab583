"""Gradient descent lowers the loss, by the same steps on an MLP and on the same MLP as a graph."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from mlp_twin import as_graph

from reference_impl import Graph, Node, ValuesError, descend, descend_mlp, mlp


def test_on_a_parabola_each_step_shrinks_the_error_by_the_same_factor() -> None:
    """With l = (w - t)^2 a step is w - t <- (1 - 2 eta) (w - t)."""
    graph = Graph({"t": ()}, {"w": ()}, [Node("l", "squared_error", ("w", "t"))], "l")
    end = descend(graph, {"t": 3.0, "w": 5.0}, eta=0.1, steps=4)
    np.testing.assert_allclose(end.values["w"] - 3.0, 2 * 0.8**4, rtol=1e-14)
    np.testing.assert_allclose(end.losses, [4 * 0.64**k for k in range(5)], rtol=1e-14)
    assert end.values["t"] == 3.0


def test_the_loss_of_an_mlp_falls_at_every_step_and_the_graph_takes_the_same_ones() -> None:
    rng = np.random.default_rng(0)
    net = replace(mlp.initialise((2, 8, 8, 1), rng), reduction="mean")
    x = rng.uniform(-1, 1, (64, 2))
    y = np.sin(3 * x[:, :1]) * x[:, 1:]
    trained, losses = descend_mlp(net, x, y, eta=0.1, steps=60)
    assert len(losses) == 61
    assert all(after < before for before, after in pairwise(losses))
    graph, values = as_graph(net, x, y)
    end = descend(graph, values, eta=0.1, steps=60)
    np.testing.assert_allclose(end.losses, losses, rtol=1e-9)
    np.testing.assert_allclose(end.values["W1"], trained.W[0], rtol=1e-9)
    np.testing.assert_array_equal(values["W1"], net.W[0])


def test_exclusive_or_is_learned() -> None:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    net = mlp.initialise((2, 4, 1), np.random.default_rng(1), loss="binary_cross_entropy_with_logits")
    trained, losses = descend_mlp(net, x, y, eta=0.5, steps=500)
    assert losses[-1] < 0.1 < losses[0]
    np.testing.assert_array_equal(mlp.forward(trained, x).x[-1] > 0, y > 0)


def test_no_step_leaves_everything_as_it_was() -> None:
    net = mlp.initialise((2, 1), np.random.default_rng(0))
    same, losses = descend_mlp(net, np.ones((3, 2)), np.ones((3, 1)), eta=1.0, steps=0)
    assert same is net
    assert len(losses) == 1


def test_only_a_scalar_can_be_descended() -> None:
    graph = Graph({}, {"w": (2,)}, [Node("y", "square", ("w",))], "y")
    with pytest.raises(ValuesError, match=r"Expected a scalar loss but 'y' has shape \(2,\)"):
        descend(graph, {"w": np.ones(2)}, eta=0.1, steps=1)
