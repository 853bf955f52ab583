"""What an engine lacks is computed for it, and what remains is a case with the same values in it."""

from __future__ import annotations

import numpy as np
import pytest
from suite_engines import Only

from cases import Case, generate
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.suite.parts import supported_part
from reference_impl import RULES, Graph, Node, evaluate_all

#   x -- exp -- a -- sin -- b -- exp -- c -- add -- y
#                                 b ------------/
GRAPH = Graph(
    {"x": (3,)},
    {"w": (3,)},
    [
        Node("a", "exp", ("x",)),
        Node("b", "sin", ("a",)),
        Node("c", "exp", ("b",)),
        Node("y", "add", ("c", "b")),
    ],
    "y",
)
CASE = Case("mine", GRAPH, {"x": np.array([0.1, 0.2, 0.3]), "w": np.ones(3)}, "dag", 7)


def test_a_case_that_the_engine_has_all_of_is_left_as_it_is():
    assert supported_part(CASE, ReferenceEngine()) is CASE


def test_the_value_of_what_it_lacks_becomes_a_leaf():
    part = supported_part(CASE, Only("exp", "add"))
    assert [node.name for node in part.graph.nodes] == ["c", "y"]
    assert list(part.values) == ["b"]
    assert np.array_equal(part.values["b"], np.sin(np.exp(CASE.values["x"])))
    assert (part.family, part.seed, part.name) == ("dag", 7, "part of mine")


def test_the_largest_part_is_taken_wherever_it_ends():
    part = supported_part(CASE, Only("exp", "sin"))
    assert [node.name for node in part.graph.nodes] == ["a", "b", "c"]
    assert part.graph.inputs == {"x": (3,)}


def test_an_engine_that_can_weigh_is_given_a_random_cotangent():
    part = supported_part(CASE, Only("exp", "multiply", "sum"))
    assert [node.operation for node in part.graph.nodes][-2:] == ["multiply", "sum"]
    assert part.graph.shapes[part.graph.output] == ()


def test_where_it_has_nothing_there_is_no_part():
    assert supported_part(CASE, Only("log")) is None


@pytest.mark.parametrize("seed", range(10))
def test_the_values_within_a_part_are_those_of_the_whole(seed):
    case = generate("dag", seed)
    lacking = sorted({node.operation for node in case.graph.nodes})[::3]
    part = supported_part(case, Only(*(RULES.keys() - set(lacking))))
    if part is None:
        assert not {node.operation for node in case.graph.nodes} - set(lacking)
        return
    whole, found = evaluate_all(case.graph, case.values), evaluate_all(part.graph, part.values)
    shared = set(whole) & set(found)
    assert len(shared) > 1
    assert all(np.array_equal(whole[name], found[name]) for name in shared)
