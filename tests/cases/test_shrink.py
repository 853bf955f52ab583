"""Shrinking: small, still failing, the same every time, within its budget."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from types import MappingProxyType

import numpy as np
import pytest

from cases import Case, from_json, generate, shrink, to_json
from cases.clearance import is_clear
from cases.simplify import complexity
from reference_impl import RULES, Graph, Node, evaluate_all, value_and_gradients


def wrong(operation: str, vjp) -> MappingProxyType:
    rule = replace(RULES[operation], vjp=vjp, keeps_inputs=None, keeps_output=True)
    return MappingProxyType({**RULES, operation: rule})


def fails_with(rules):
    def still_fails(case: Case) -> bool:
        _, right = value_and_gradients(case.graph, case.values)
        _, claimed = value_and_gradients(case.graph, case.values, rules=rules)
        return any(not np.allclose(claimed[name], right[name], rtol=1e-7, atol=1e-9) for name in right)

    return still_fails


def failing(still_fails, family: str, count: int = 2) -> list[Case]:
    generated = (generate(family, seed) for seed in range(300))
    found = list(islice(filter(still_fails, generated), count))
    assert len(found) == count
    return found


HALF_TAKE = wrong("take", lambda c, y, x, **a: tuple(s / 2 for s in RULES["take"].vjp(c, y, x, **a)))
NO_MEAN = wrong("softmax", lambda c, y, x, **a: (c * y,))
SWAPPED = wrong(
    "divide",
    lambda c, y, x: (
        RULES["divide"].vjp(c, y, x)[::-1]
        if np.shape(x[0]) == np.shape(x[1])
        else RULES["divide"].vjp(c, y, x)
    ),
)
ONLY_BATCHED = wrong(
    "matmul", lambda c, y, x: tuple(s * (2 if x[0].ndim == 3 else 1) for s in RULES["matmul"].vjp(c, y, x))
)


@pytest.mark.parametrize(
    ("rules", "family", "operation"),
    [
        (HALF_TAKE, "dag", "take"),
        (NO_MEAN, "block", "softmax"),
        (SWAPPED, "dag", "divide"),
        (ONLY_BATCHED, "block", "matmul"),
    ],
)
def test_a_wrong_rule_is_left_alone_with_its_operands(rules, family, operation):
    still_fails = fails_with(rules)
    for case in failing(still_fails, family):
        smallest = shrink(case, still_fails)
        assert still_fails(smallest)
        assert [node.operation for node in smallest.graph.nodes] == [operation]
        assert all(value.size <= 4 for value in smallest.values.values())


def test_values_become_simple():
    still_fails = fails_with(HALF_TAKE)
    smallest = shrink(failing(still_fails, "dag", 1)[0], still_fails)
    assert all(np.isin(value, (0.0, 0.5, 1.0)).all() for value in smallest.values.values())


def test_shrinking_is_deterministic():
    still_fails = fails_with(NO_MEAN)
    case = failing(still_fails, "block", 1)[0]
    assert to_json(shrink(case, still_fails)) == to_json(shrink(case, still_fails))


def test_the_budget_is_kept_and_the_best_so_far_returned():
    still_fails = fails_with(HALF_TAKE)
    case = failing(still_fails, "dag", 1)[0]
    for budget in (0, 1, 5, 20):
        asked = []
        smallest = shrink(case, lambda c, asked=asked: asked.append(c) or still_fails(c), budget)
        assert len(asked) <= budget
        assert still_fails(smallest)
    assert shrink(case, still_fails, 0) is case


def test_each_simplification_is_one():
    still_fails = fails_with(NO_MEAN)
    case = failing(still_fails, "block", 1)[0]
    asked: list[Case] = []
    shrink(case, lambda c: asked.append(c) or still_fails(c))
    assert all(complexity(tried) < complexity(case) for tried in asked)


def test_what_needs_two_operations_keeps_both():
    def still_fails(case: Case) -> bool:
        names = {node.operation for node in case.graph.nodes}
        return {"tanh", "matmul"} <= names

    case = failing(still_fails, "block", 1)[0]
    smallest = shrink(case, still_fails)
    assert sorted(node.operation for node in smallest.graph.nodes) == ["matmul", "tanh"]


def test_what_only_an_unread_leaf_shows_keeps_that_leaf():
    def still_fails(case: Case) -> bool:
        read = {name for node in case.graph.nodes for name in node.inputs}
        return any(name not in read for name in case.graph.leaves)

    case = failing(still_fails, "dag", 1)[0]
    smallest = shrink(case, still_fails)
    assert still_fails(smallest)
    assert len(smallest.graph.nodes) == 1
    assert len(smallest.values) == 2


def test_a_case_away_from_kinks_stays_away():
    def still_fails(case: Case) -> bool:
        return any(node.operation == "relu" for node in case.graph.nodes)

    for case in failing(still_fails, "mlp"):
        smallest = shrink(case, still_fails)
        values = evaluate_all(smallest.graph, smallest.values)
        for node in smallest.graph.nodes:
            assert is_clear(node.operation, [values[name] for name in node.inputs], node.attributes)


def test_a_case_at_a_kink_may_stay_at_it():
    def still_fails(case: Case) -> bool:
        values = evaluate_all(case.graph, case.values)
        return any(
            node.operation == "abs" and (values[node.inputs[0]] == 0).any() for node in case.graph.nodes
        )

    smallest = shrink(failing(still_fails, "kink", 1)[0], still_fails)
    assert [node.operation for node in smallest.graph.nodes] == ["abs"]


def test_values_that_are_not_finite_are_never_tried():
    graph = Graph({"x": ()}, {}, [Node("u", "exp", ("x",)), Node("y", "reciprocal", ("u",))], "y")
    seen = []
    shrink(Case("far", graph, {"x": 300.0}), lambda case: seen.append(case) or False)
    for case in seen:
        assert all(np.isfinite(value).all() for value in evaluate_all(case.graph, case.values).values())


def test_sizes_shrink_together_with_masks_and_indices():
    mask = np.array([[True, False, True, True]] * 3)
    nodes = [
        Node("d", "dropout", ("x",), {"mask": mask}),
        Node("t", "take", ("d",), {"indices": np.array([3, 0, 3]), "axis": 1}),
    ]
    graph = Graph({"x": (3, 4)}, {}, nodes, "t")

    def still_fails(case: Case) -> bool:
        return len(case.graph.nodes) == 2

    smallest = shrink(Case("sizes", graph, {"x": np.arange(12.0).reshape(3, 4)}), still_fails)
    assert smallest.values["x"].shape == (1, 1)
    assert from_json(to_json(smallest)).graph == smallest.graph


def test_the_dtype_stays():
    graph = Graph({"x": (3,)}, {}, [Node("u", "sin", ("x",)), Node("y", "sum", ("u",))], "y")
    case = Case("single", graph, {"x": np.ones(3, np.float32) / 3})
    smallest = shrink(case, lambda c: any(node.operation == "sin" for node in c.graph.nodes))
    assert smallest.values["x"].dtype == np.float32
