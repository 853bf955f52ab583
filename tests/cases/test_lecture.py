"""The lecture's examples: what the engines compute is what the slides say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cases import lecture_cases
from cases.lecture import distributed_chain_rule, mlp_of_two_layers, shared_weight, xy_plus_z
from reference_impl import value, value_and_gradients

CASES = lecture_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_known_gradients_are_those_of_backpropagation(case):
    _, gradients = value_and_gradients(case.graph, case.values, wrt=case.known)
    for name, known in case.known.items():
        np.testing.assert_allclose(gradients[name], known, rtol=1e-13, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_leaf_has_a_known_gradient(case):
    assert set(case.values) <= set(case.known)
    assert case.family == "lecture"


def test_the_example_of_the_slides_in_its_own_numbers():
    case = xy_plus_z()
    assert {name: float(x) for name, x in case.values.items()} == {"x": -2, "y": 3, "z": 1, "t": -4}
    assert value(case.graph, case.values) == 1.0
    assert {name: float(case.known[name]) for name in "xyztgf"} == {
        "x": -6.0,
        "y": 4.0,
        "z": -2.0,
        "t": 2.0,
        "g": -2.0,
        "f": -2.0,
    }


def test_the_chain_rule_of_the_slides():
    case = next(case for case in CASES if case.name.startswith("e^sin(x^2) at x = 0.5"))
    assert case.known["x"] == pytest.approx(math.exp(math.sin(0.25)) * math.cos(0.25) * 1.0)


@pytest.mark.parametrize("branches", [1, 2, 3, 5, 10])
def test_the_distributed_chain_rule_has_as_many_branches_as_it_says(branches):
    graph = distributed_chain_rule(branches).graph
    assert sum(node.operation == "sin" for node in graph.nodes) == branches
    assert sum("x" in node.inputs for node in graph.nodes) == branches


def test_the_loss_of_an_mlp_is_the_sum_over_its_samples():
    one, five = mlp_of_two_layers(1), mlp_of_two_layers(5)
    assert one.values["x0"].shape == (1, 2)
    assert five.values["x0"].shape == (5, 2)
    assert np.linalg.norm(five.known["W1"]) > np.linalg.norm(one.known["W1"])


def test_the_shared_weight_is_used_by_two_nodes():
    case = shared_weight()
    assert sum("w1" in node.inputs for node in case.graph.nodes) == 2
    assert value(case.graph, case.values) == 58.0


def test_names_are_different():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
