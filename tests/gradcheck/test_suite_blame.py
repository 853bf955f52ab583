"""In a failing case the operation at fault is named, and no other."""

from __future__ import annotations

import numpy as np
import pytest
from suite_engines import Forgetful, Raising, with_vjp

from cases import Case, generate, lecture_cases
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.torch import TorchEngine
from gradcheck.report.records import Verdict
from gradcheck.suite.blame import ADDING_UP, blame_nodes
from reference_impl import Graph, Node


def chain():
    nodes = [
        Node("s", "matmul", ("x", "W")),
        Node("h", "tanh", ("s",)),
        Node("p", "softmax", ("h",)),
        Node("q", "multiply", ("p", "h")),
        Node("y", "sum", ("q",)),
    ]
    graph = Graph({"x": (3, 2)}, {"W": (2, 4)}, nodes, "y")
    random = np.random.default_rng(0)
    return Case("chain", graph, {name: random.normal(size=shape) for name, shape in graph.leaves.items()})


@pytest.mark.parametrize("operation", ["matmul", "tanh", "softmax", "multiply", "sum"])
def test_the_operation_whose_vjp_is_wrong_is_blamed_and_no_other(operation):
    engine = with_vjp(operation, lambda cotangents: tuple(1.001 * c for c in cotangents))
    blames, trace = blame_nodes(chain(), engine)
    assert [blame.operation for blame in blames] == [operation]
    wrong = next(node.name for node in chain().graph.nodes if node.operation == operation)
    assert blames[0].message.startswith(f"node {wrong!r}: the gradient for ")
    assert {call.id: call.verdict for call in trace} == {
        name: Verdict.FAIL if name == wrong else Verdict.PASS for name in ("s", "h", "p", "q", "y")
    }


def test_two_wrong_operations_are_both_blamed():
    engine = with_vjp("tanh", lambda cotangents: (-cotangents[0],))
    rules = with_vjp("matmul", lambda cotangents: (cotangents[0], 2 * cotangents[1])).rules
    blames, _ = blame_nodes(chain(), ReferenceEngine({**engine.rules, "matmul": rules["matmul"]}))
    assert {blame.operation for blame in blames} == {"tanh", "matmul"}


@pytest.mark.parametrize("engine", [ReferenceEngine(), TorchEngine()])
@pytest.mark.parametrize("family", ["mlp", "dag", "block", "kink"])
def test_on_right_engines_every_node_passes(engine, family):
    blames, trace = blame_nodes(generate(family, 3), engine)
    assert {call.verdict for call in trace} <= {Verdict.PASS, None}
    assert {blame.operation for blame in blames} <= {ADDING_UP}


def test_where_every_node_is_right_alone_adding_up_is_blamed_with_what_is_read_twice():
    shared = next(case for case in lecture_cases() if "shared" in case.name)
    blames, _ = blame_nodes(shared, Forgetful())
    assert [blame.operation for blame in blames] == [ADDING_UP]
    assert "w1" in blames[0].message


def test_an_engine_that_raises_on_one_operation_is_blamed_for_that():
    blames, _ = blame_nodes(chain(), Raising("tanh"))
    assert [blame.operation for blame in blames] == ["tanh"]
    assert "raised RuntimeError: not today" in blames[0].message
