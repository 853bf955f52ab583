"""Generated cases: everything in the table of operations, every kind of sharing, nothing out of bounds."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from cases import ALL_FAMILIES, Case, CaseError, generate
from cases.blocks import BLOCKS, block_of
from cases.choices import SeededChoices
from cases.clearance import is_clear
from cases.dags import FEWEST, MOST, focused
from cases.kinks import TOUCHING, kink_of
from cases.mlps import ACTIVATIONS, LOSSES
from cases.operations import ANALYTIC
from cases.plants import OPERATIONS, PLANTS
from cases.plants.losses import LOSSES as LOSS_NAMES
from gradcheck.engines.torch import TorchEngine
from reference_impl import RULES, Node, evaluate_all, value_and_gradients

SEEDS = range(500)
TORCH = TorchEngine()
LARGE_OPERANDS = {"operation", "complex"}
OVERFLOWING = {"sigmoid", "silu"}  # of complex numbers in PyTorch: NaN at a real part of -1000


@cache
def generated(family: str) -> tuple[Case, ...]:
    return tuple(generate(family, seed) for seed in SEEDS)


def operations(case: Case) -> set[str]:
    return {node.operation for node in case.graph.nodes}


def test_every_operation_has_a_way_into_a_graph():
    assert set(PLANTS) == set(RULES)


def test_every_operation_occurs_in_500_dags():
    counted = Counter(name for case in generated("dag") for name in operations(case))
    assert set(counted) == set(RULES)
    assert min(counted.values()) >= 10


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_values_and_gradients_are_finite_and_moderate(family):
    for case in generated(family)[:250]:
        value, gradients = value_and_gradients(case.graph, case.values)
        assert np.isfinite(value).all(), case.name
        for gradient in gradients.values():
            assert np.isfinite(gradient).all(), case.name
            # a scale that several large operands share has a gradient of their size
            assert np.abs(gradient).max(initial=0) < (1e6 if family in LARGE_OPERANDS else 1e5), case.name


@pytest.mark.parametrize("family", sorted(set(ALL_FAMILIES) - {"kink"}))
def test_ordinary_cases_keep_their_distance_from_kinks_and_poles(family):
    for case in generated(family)[:250]:
        values = evaluate_all(case.graph, case.values)
        for node in case.graph.nodes:
            operands = [values[name] for name in node.inputs]
            assert is_clear(node.operation, operands, node.attributes), (case.name, node.name)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_torch_agrees(family):
    for case in generated(family)[:60]:
        if not all(map(TORCH.supports, operations(case))):
            continue
        value, gradients = value_and_gradients(case.graph, case.values)
        other_value, others = TORCH.value_and_gradients(case.graph, case.values)
        if np.isnan(other_value).any():
            assert operations(case) & OVERFLOWING, case.name
            continue
        np.testing.assert_allclose(value, other_value, rtol=1e-10, atol=1e-12)
        for name, gradient in gradients.items():
            largest = np.abs(gradient).max(initial=0)
            np.testing.assert_allclose(
                gradient, others[name], rtol=1e-9, atol=1e-10 * largest + 1e-13, err_msg=case.name
            )


def test_dags_have_from_5_to_60_nodes():
    sizes = [len(case.graph.nodes) for case in generated("dag")]
    assert min(sizes) >= FEWEST
    assert max(sizes) <= MOST
    assert max(sizes) > 45


def depth(case: Case) -> int:
    below: dict[str, int] = {}
    for node in case.graph.nodes:
        below[node.name] = 1 + max(below.get(name, 0) for name in node.inputs)
    return below[case.graph.output]


def readers(case: Case) -> Counter[str]:
    return Counter(name for node in case.graph.nodes for name in node.inputs)


def reaching(case: Case) -> set[str]:
    needed = {case.graph.output}
    for node in reversed(case.graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return needed


FEATURES = {
    "fan-out": lambda case: any(readers(case)[node.name] > 1 for node in case.graph.nodes),
    "wide fan-out": lambda case: max(readers(case).values()) >= 5,
    "the same operand twice": lambda case: any(len(set(n.inputs)) < len(n.inputs) for n in case.graph.nodes),
    "a shared parameter": lambda case: any(readers(case)[name] > 1 for name in case.graph.parameters),
    "a dead branch": lambda case: any(node.name not in reaching(case) for node in case.graph.nodes),
    "an unused leaf": lambda case: any(name not in reaching(case) for name in case.values),
    "a deep chain": lambda case: depth(case) >= 20,
    "a wide sum": lambda case: any(n.operation == "stack" and len(n.inputs) > 4 for n in case.graph.nodes),
    "a zero-size axis": lambda case: any(0 in shape for shape in case.graph.shapes.values()),
    "a size-1 axis": lambda case: any(1 in shape for shape in case.graph.shapes.values()),
    "a scalar leaf": lambda case: any(value.shape == () for value in case.values.values()),
    "four axes": lambda case: any(len(shape) == 4 for shape in case.graph.shapes.values()),
    "an output that is no scalar": lambda case: case.graph.shapes[case.graph.output] != (),
    "negative values": lambda case: any((value < 0).any() for value in case.values.values()),
    "an exact zero": lambda case: any((value == 0).any() for value in case.values.values()),
    "repeated indices": lambda case: any(
        node.operation == "take" and len(set(np.ravel(i := node.attributes["indices"]))) < np.size(i)
        for node in case.graph.nodes
    ),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_dags_have_at_times(feature):
    assert sum(map(FEATURES[feature], generated("dag"))) >= 5


def test_a_non_scalar_output_has_entries():
    assert all(0 not in case.graph.shapes[case.graph.output] for case in generated("dag"))


def test_mlps_reach_every_depth_activation_loss_and_reduction():
    cases = generated("mlp")
    seen = set().union(*map(operations, cases))
    assert {*ACTIVATIONS, *LOSSES} - {"identity"} <= seen
    assert {sum(name.startswith("W") for name in case.graph.parameters) for case in cases} == set(range(1, 9))
    widths = {case.graph.parameters["W1"][0] for case in cases}
    assert {1, 2, 3} <= widths
    assert max(widths) > 50
    batches = {case.graph.inputs["x0"][0] for case in cases if len(case.graph.inputs["x0"]) == 2}
    assert {1, 2, 3} <= batches
    assert any(len(case.graph.inputs["x0"]) == 1 for case in cases)
    reductions = {node.attributes.get("reduction") for case in cases for node in case.graph.nodes[-2:]}
    assert {"mean", "sum", "none"} <= reductions


@pytest.mark.parametrize("family", ["mlp", "block", "operation", "kink", "complex"])
def test_ends_in_a_scalar(family):
    assert all(case.graph.shapes[case.graph.output] == () for case in generated(family))


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_can_be_made(kind):
    case = block_of(kind, SeededChoices("test", 1))
    assert case.name == kind
    assert len(case.graph.nodes) >= 4


def test_what_each_block_is_known_for():
    def read_twice(kind: str, name: str) -> bool:
        return readers(block_of(kind, SeededChoices("test", 3)))[name] > 1

    assert read_twice("recurrent", "W")
    assert read_twice("recurrent", "U")
    assert read_twice("auto-encoder", "W")
    assert read_twice("auto-encoder", "x")
    assert any(
        len(set(node.attributes["indices"].flat)) < node.attributes["indices"].size
        for seed in range(5)
        for node in block_of("embedding", SeededChoices("test", seed)).graph.nodes
        if node.operation == "take"
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_focused_case_contains_its_operation(operation):
    for seed in range(5):
        assert operation in operations(focused(operation, SeededChoices("test", seed)))


def test_operations_take_turns():
    cases = generated("operation")
    assert [case.name for case in cases[: len(OPERATIONS)]] == [
        f"{name} {i}" for i, name in enumerate(OPERATIONS)
    ]
    for i, case in enumerate(cases):
        applied = [n for n in case.graph.nodes if n.operation == OPERATIONS[i % len(OPERATIONS)]]
        assert len(applied) >= 4, case.name
    kinks = generated("kink")[: len(TOUCHING)]
    assert [case.graph.nodes[0].operation for case in kinks] == list(TOUCHING)


def applications(operation: str) -> list[tuple[Node, Case]]:
    turn = OPERATIONS.index(operation)
    cases = generated("operation")[turn :: len(OPERATIONS)]
    return [(node, case) for case in cases for node in case.graph.nodes if node.operation == operation]


def wider(node: Node, case: Case, k: int) -> bool:
    """Whether an operand is broadcast: the output, or the other operand's share of it, is larger."""
    shapes = [case.graph.shapes[name] for name in node.inputs]
    together = np.broadcast_shapes(*shapes)
    return together != shapes[k] and 0 not in together


BROADCASTING = [
    *("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where"),
    *(name for name in LOSS_NAMES if name != "softmax_cross_entropy"),
]


@pytest.mark.parametrize("operation", BROADCASTING)
@pytest.mark.parametrize("k", [0, 1])
def test_either_operand_is_broadcast(operation, k):
    assert any(wider(node, case, k) for node, case in applications(operation))


REDUCING = ["sum", "mean", "prod", "max", "min", "logsumexp", "norm"]
ALONG = ["softmax", "log_softmax", "cumsum", "concatenate", "stack", "take"]


@pytest.mark.parametrize("operation", REDUCING + ALONG)
def test_axes_are_counted_from_either_end(operation):
    attributes = [n.attributes for n, _ in applications(operation) if "axis" in n.attributes]
    found = [given["axis"] for given in attributes]
    assert any(isinstance(axis, int) and axis < 0 for axis in found)
    assert any(isinstance(axis, int) and axis >= 0 for axis in found)
    if operation in REDUCING:
        assert any(axis is None for axis in found)
        assert any(isinstance(axis, tuple) for axis in found)
        assert {given["keepdims"] for given in attributes} == {False, True}


@pytest.mark.parametrize("operation", ["add", "prod", "sum", "square", "reshape", "concatenate"])
def test_axes_of_size_0_occur(operation):
    shapes = [[case.graph.shapes[name] for name in node.inputs] for node, case in applications(operation)]
    assert any(0 in shape for operands in shapes for shape in operands)


OVERFLOW = ["softmax", "log_softmax", "logsumexp", "softmax_cross_entropy", "sigmoid", "silu", "elu"]


@pytest.mark.parametrize("operation", OVERFLOW)
def test_operands_are_so_large_that_their_exponential_overflows(operation):
    largest = 0.0
    for node, case in applications(operation):
        largest = max(largest, np.abs(evaluate_all(case.graph, case.values)[node.inputs[0]]).max(initial=0))
    assert largest > 900


def test_complex_cases_are_complex_and_take_turns():
    cases = generated("complex")
    assert [c.name for c in cases[: len(ANALYTIC)]] == [f"complex {n} {i}" for i, n in enumerate(ANALYTIC)]
    for case in cases:
        assert {value.dtype.name for value in case.values.values()} == {"complex128"}, case.name
        assert all(RULES[name].analytic for name in operations(case)), case.name
        assert any(value.imag.any() for value in case.values.values()), case.name


@pytest.mark.parametrize("operation", sorted(set(TOUCHING) - {"huber", "prod", "norm"}))
def test_a_case_of_kinks_lies_at_one(operation):
    case = kink_of(operation, SeededChoices("test", 0))
    values = evaluate_all(case.graph, case.values)
    node = case.graph.nodes[0]
    touching = [
        not is_clear(operation, [values[name] for name in node.inputs], node.attributes) for node in [node]
    ]
    assert node.operation == operation
    assert touching == [True]


def test_every_rule_with_a_kink_is_visited():
    with_kink = {name for name, rule in RULES.items() if rule.kink}
    assert with_kink - set(TOUCHING) <= {"power"}  # its kink ends the domain of the exponent


def test_an_unknown_family_gets_a_suggestion():
    with pytest.raises(CaseError, match=r"got 'dags'; did you mean 'dag'\.$"):
        generate("dags", 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(CaseError, match=r"seed=-1; use a positive number\.$"):
        generate("dag", -1)


def test_a_generated_case_says_how_it_was_made():
    case = generate("mlp", 12)
    assert (case.name, case.family, case.seed) == ("mlp 12", "mlp", 12)
