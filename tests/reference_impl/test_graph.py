"""A graph is refused with a reason when it is built, or else it is right and never changes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from reference_impl import (
    Cycle,
    DuplicateName,
    Graph,
    GraphError,
    MissingName,
    Node,
    ShapeMismatch,
    UnknownOperation,
    UnusedValue,
    WrongArity,
    WrongAttribute,
    value_and_gradients,
)

X = {"x": (3, 4)}


def two_layers(order: tuple[int, ...] = (0, 1, 2, 3)) -> Graph:
    nodes = [
        Node("u", "matmul", ("x", "w")),
        Node("s", "add", ("u", "b")),
        Node("h", "tanh", ("s",)),
        Node("loss", "sum", ("h",), {"axis": (0, 1)}),
    ]
    return Graph(X, {"w": (4, 2), "b": (2,)}, [nodes[i] for i in order], "loss")


def test_nodes_keep_an_order_that_is_one_and_are_sorted_into_one_otherwise() -> None:
    assert [node.name for node in two_layers().nodes] == ["u", "s", "h", "loss"]
    assert [node.name for node in two_layers((3, 1, 0, 2)).nodes] == ["u", "s", "h", "loss"]


def test_an_order_that_is_one_is_kept_where_there_are_several() -> None:
    nodes = [Node(f"a{i}", "sin", ("x",)) for i in range(5)]
    nodes.append(Node("y", "add", ("a4", "a0")))
    graph = Graph({"x": ()}, {}, nodes, "y", allow_unused=True)
    assert graph.nodes == tuple(nodes)


def test_shapes_and_leaves_are_known_by_name() -> None:
    graph = two_layers()
    assert dict(graph.leaves) == {"x": (3, 4), "w": (4, 2), "b": (2,)}
    assert list(graph.leaves) == ["x", "w", "b"]
    assert dict(graph.shapes) == {**graph.leaves, "u": (3, 2), "s": (3, 2), "h": (3, 2), "loss": ()}


@pytest.mark.parametrize(
    ("error", "words", "nodes"),
    [
        (UnknownOperation, "Did you mean 'tanh'?", [Node("h", "tanhh", ("x",))]),
        (WrongArity, "Expected 1 input for tanh but got 2", [Node("h", "tanh", ("x", "x"))]),
        (ShapeMismatch, "shape (3, 4) and (3, 4)", [Node("h", "matmul", ("x", "x"))]),
        (WrongAttribute, "Did you mean 'axis'?", [Node("h", "sum", ("x",), {"axes": 0})]),
        (MissingName, "'xx', which does not exist. Did you mean 'x'?", [Node("h", "sin", ("xx",))]),
        (Cycle, "h reads h", [Node("h", "add", ("x", "h"))]),
        (
            Cycle,
            "h reads b reads c reads h",
            [Node("h", "add", ("x", "b")), Node("b", "sin", ("c",)), Node("c", "sin", ("h",))],
        ),
        (DuplicateName, "Two nodes", [Node("h", "sin", ("x",)), Node("h", "cos", ("x",))]),
        (UnusedValue, "does not reach the output 'out'", [Node("h", "sin", ("x",))]),
    ],
)
def test_each_mistake_has_its_own_error_naming_the_node(
    error: type[GraphError], words: str, nodes: list[Node]
) -> None:
    output = Node("out", "cos", ("x",)) if error is UnusedValue else Node("out", "cos", ("h",))
    with pytest.raises(error) as caught:
        Graph(X, {}, [*nodes, output], "out")
    assert type(caught.value) is error
    assert "'h'" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (DuplicateName, "'x' is both an input and a parameter", (X, X, [], "x")),
        (DuplicateName, "A leaf and a node are called 'x'", (X, {}, [Node("x", "sin", ("x",))], "x")),
        (MissingName, "Unknown output 'loss'", (X, {}, [Node("los", "sin", ("x",))], "loss")),
        (GraphError, "leaf 'x' but got (-1,)", ({"x": (-1,)}, {}, [], "x")),
        (GraphError, "leaf 'x' but got (2.5,)", ({"x": (2.5,)}, {}, [], "x")),
        (GraphError, "leaf 'x' but got 3", ({"x": 3}, {}, [], "x")),
    ],
)
def test_leaves_and_output_are_checked_too(error: type[GraphError], words: str, arguments: Any) -> None:
    with pytest.raises(error) as caught:
        Graph(*arguments)
    assert words in str(caught.value)


def test_unused_nodes_are_fine_where_allowed_and_unused_leaves_always() -> None:
    nodes = [Node("h", "sin", ("x",)), Node("dead", "cos", ("h",))]
    assert Graph({"x": (), "idle": (2,)}, {}, nodes, "h", allow_unused=True).shapes["dead"] == ()
    assert Graph({"x": (), "idle": (2,)}, {}, nodes[:1], "h").leaves["idle"] == (2,)


def test_a_graph_may_be_a_leaf_alone() -> None:
    assert Graph({"x": (2,)}, {}, [], "x").nodes == ()


def test_nothing_can_be_changed() -> None:
    graph = two_layers()
    with pytest.raises(FrozenInstanceError):
        graph.output = "h"  # type: ignore[misc]  # that this is an error is what is tested
    for mapping in (graph.inputs, graph.parameters, graph.shapes, graph.leaves, graph.nodes[3].attributes):
        with pytest.raises(TypeError):
            mapping["w"] = ()  # type: ignore[index]  # that this is an error is what is tested


def test_attributes_are_copies_that_cannot_be_written_into() -> None:
    indices, pairs = np.array([0, 1]), [[0, 1], [2, 3]]
    node = Node("h", "take", ["x"], {"indices": indices, "pairs": pairs, "axis": np.int64(1)})  # type: ignore[arg-type]  # a list, as a careless caller would
    indices[0] = 7
    pairs[0][0] = 7
    assert node.attributes["indices"].tolist() == [0, 1]
    assert node.attributes["pairs"] == ((0, 1), (2, 3))
    assert type(node.attributes["axis"]) is int
    assert node.inputs == ("x",)
    with pytest.raises(ValueError, match="read-only"):
        node.attributes["indices"][0] = 1


def test_equality_is_by_content() -> None:
    assert two_layers() == two_layers((3, 1, 0, 2))
    assert hash(two_layers()) == hash(two_layers((3, 1, 0, 2)))
    take = [Node("h", "take", ("x",), {"indices": np.array(i)}) for i in ([0, 1], [0, 1], [0, 2])]
    assert take[0] == take[1]
    assert hash(take[0]) == hash(take[1])
    assert take[0] != take[2]
    assert take[0] != "h"
    assert two_layers() != Graph(X, {}, [Node("loss", "sum", ("x",))], "loss")
    assert two_layers() != "graph"


@pytest.mark.parametrize("copied", [lambda g: pickle.loads(pickle.dumps(g)), copy.deepcopy, copy.copy])
def test_a_graph_travels_to_another_process_and_back(copied: Any) -> None:
    nodes = [Node("h", "take", ("x",), {"indices": np.array([0, 0, 2])}), Node("y", "sum", ("h",))]
    graph = Graph(X, {}, nodes, "y")
    value_and_gradients(graph, {"x": np.ones((3, 4))})
    twin = copied(graph)
    assert twin == graph
    assert not twin.nodes[0].attributes["indices"].flags.writeable
    assert twin.shapes == graph.shapes


def test_a_node_reads_as_a_formula() -> None:
    assert str(Node("y", "sum", ("x",), {"axis": 0})) == "y = sum(x, axis=0)"


def test_a_chain_of_100000_nodes_can_be_built_in_any_order() -> None:
    nodes = [Node(f"n{i}", "sin", (f"n{i - 1}",)) for i in range(1, 100_001)]
    graph = Graph({"n0": (2,)}, {}, nodes[::-1], "n100000")
    assert [node.name for node in graph.nodes[:3]] == ["n1", "n2", "n3"]
    assert graph.shapes["n100000"] == (2,)
    with pytest.raises(Cycle):
        Graph({}, {}, [*nodes, Node("n0", "cos", ("n100000",))], "n100000")


def test_a_cycle_is_named_without_what_only_leads_to_it() -> None:
    nodes = [
        Node("start", "add", ("a", "b")),
        Node("b", "add", ("x", "a")),
        Node("a", "sin", ("c",)),
        Node("c", "sin", ("a",)),
    ]
    with pytest.raises(Cycle) as caught:
        Graph(X, {}, nodes, "start")
    assert "depends on itself: a reads c reads a." in str(caught.value)


def test_wide_sharing_takes_no_time_either() -> None:
    """Each node reads the two before it: there are 2^1000 paths, and 1,000 nodes."""
    nodes = [Node(f"n{i}", "add", (f"n{i - 1}", f"n{i - 2}")) for i in range(2, 1000)]
    graph = Graph({"n0": (), "n1": ()}, {}, nodes[::-1], "n999")
    assert len(graph.nodes) == 998
