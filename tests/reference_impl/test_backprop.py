"""The passes: right gradients along every path, nothing kept or computed that is not needed."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from random_graphs import Array, random_graph
from rule_samples import ROWS, Row
from rule_twins import TWINS

from reference_impl import (
    RULES,
    Graph,
    Like,
    Node,
    Rule,
    ValuesError,
    backward,
    evaluate_all,
    forward,
    value,
    value_and_gradients,
)

SEEDS = range(60)


def chain(operation: str, length: int) -> Graph:
    nodes = [Node(f"n{i}", operation, (f"n{i - 1}",)) for i in range(1, length + 1)]
    return Graph({"n0": (2,)}, {}, nodes, f"n{length}")


# Worked examples of the lecture


def test_product_and_sum_of_the_lecture() -> None:
    """With f = xy + z and L = (f - t)^2 at x = -2, y = 3, z = 1, t = -4: dL/dx = 2 (f - t) y = -6."""
    nodes = [
        Node("g", "multiply", ("x", "y")),
        Node("f", "add", ("g", "z")),
        Node("e", "subtract", ("f", "t")),
        Node("L", "square", ("e",)),
    ]
    graph = Graph(dict.fromkeys("xyzt", ()), {}, nodes, "L")
    loss, gradients = value_and_gradients(graph, {"x": -2.0, "y": 3.0, "z": 1.0, "t": -4.0})
    assert loss == 1
    assert gradients == {"x": -6, "y": 4, "z": -2, "t": 2}


def test_nested_functions_of_the_lecture() -> None:
    """f(x) = e^sin(x^2): f'(x) = e^sin(x^2) cos(x^2) 2x."""
    nodes = [Node("q", "square", ("x",)), Node("s", "sin", ("q",)), Node("f", "exp", ("s",))]
    x = np.linspace(-2, 2, 9)
    gradient = value_and_gradients(Graph({"x": (9,)}, {}, nodes, "f"), {"x": x})[1]["x"]
    np.testing.assert_allclose(gradient, np.exp(np.sin(x**2)) * np.cos(x**2) * 2 * x, rtol=1e-14)


def test_shared_parameter_of_the_lecture_sums_two_terms() -> None:
    """x1 = sin(w1 x0), x2 = x0 x1 w2, x3 = (x1 + x2) w1: w1 is read twice."""
    nodes = [
        Node("u", "multiply", ("w1", "x0")),
        Node("x1", "sin", ("u",)),
        Node("v", "multiply", ("x0", "x1")),
        Node("x2", "multiply", ("v", "w2")),
        Node("y", "add", ("x1", "x2")),
        Node("x3", "multiply", ("y", "w1")),
    ]
    graph = Graph({"x0": ()}, {"w1": (), "w2": ()}, nodes, "x3")
    x0, w1, w2 = 0.7, 1.3, -0.4
    gradients = value_and_gradients(graph, {"x0": x0, "w1": w1, "w2": w2})[1]
    x1 = np.sin(w1 * x0)
    through_x3 = x1 + x0 * x1 * w2
    through_x1 = (1 + x0 * w2) * w1 * np.cos(w1 * x0) * x0
    np.testing.assert_allclose(gradients["w1"], through_x3 + through_x1, rtol=1e-14)


def test_distributed_chain_rule_adds_over_all_branches() -> None:
    """For y = sum over m of g_m(x) with g_m(x) = x / (x + m) for m = 1, ..., 50."""
    nodes = []
    for m in range(1, 51):
        nodes += [Node(f"d{m}", "add", ("x", f"m{m}")), Node(f"g{m}", "divide", ("x", f"d{m}"))]
    nodes.append(Node("all", "stack", tuple(f"g{m}" for m in range(1, 51))))
    nodes.append(Node("y", "sum", ("all",)))
    graph = Graph({"x": (), **{f"m{m}": () for m in range(1, 51)}}, {}, nodes, "y")
    at = {"x": 0.6, **{f"m{m}": float(m) for m in range(1, 51)}}
    gradient = value_and_gradients(graph, at, wrt=["x"])[1]["x"]
    np.testing.assert_allclose(gradient, sum(m / (0.6 + m) ** 2 for m in range(1, 51)), rtol=1e-14)


# Against PyTorch, and against the rules alone


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_agree_with_pytorch(seed: int) -> None:
    graph, values = random_graph(seed)
    cotangent = np.random.default_rng(seed).standard_normal((3, 4))
    output, gradients = value_and_gradients(graph, values, cotangent=cotangent)
    known = {name: torch.tensor(array, requires_grad=True) for name, array in values.items()}
    leaves = dict(known)
    for node in graph.nodes:
        if node.operation == "slice":  # torch has no negative steps
            known[node.name] = known[node.inputs[0]].flip(0)
        else:
            operands = [known[name] for name in node.inputs]
            known[node.name] = TWINS[node.operation](*operands, **writable(node.attributes))
    known[graph.output].backward(torch.tensor(cotangent))  # type: ignore[no-untyped-call]  # torch's is untyped
    np.testing.assert_allclose(output, known[graph.output].detach(), rtol=1e-12, atol=1e-12)
    for name, leaf in leaves.items():
        expected = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-11, atol=1e-11, err_msg=name)


def writable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Copy arrays: torch warns of read-only ones."""
    return {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in attributes.items()}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_graph_of_one_node_is_its_rule(row: Row) -> None:
    """So each vjp gets all that it reads, though everything else is let go of."""
    inputs, rule = row.inputs(np.float64), RULES[row.operation]
    leaves = {f"a{i}": a for i, a in enumerate(inputs)}
    graph = Graph(
        {name: a.shape for name, a in leaves.items()},
        {},
        [Node("y", row.operation, tuple(leaves), row.attributes)],
        "y",
    )
    expected = np.asarray(rule.forward(*inputs, **row.attributes))
    cotangent = np.random.default_rng(1).standard_normal(expected.shape)
    output, gradients = value_and_gradients(graph, leaves, cotangent=cotangent)
    np.testing.assert_array_equal(output, expected)
    vjps = rule.vjp(cotangent, expected, inputs, **row.attributes)
    for name, expected_gradient in zip(leaves, vjps, strict=True):
        np.testing.assert_array_equal(gradients[name], expected_gradient)


# Laws


@pytest.mark.parametrize("seed", SEEDS[:15])
def test_a_permuted_order_of_nodes_changes_nothing(seed: int) -> None:
    graph, values = random_graph(seed)
    rng = np.random.default_rng(seed)
    shuffled = [graph.nodes[i] for i in rng.permutation(len(graph.nodes))]
    twin = Graph(graph.inputs, graph.parameters, shuffled, graph.output, allow_unused=True)
    output, gradients = value_and_gradients(graph, values)
    other_output, other_gradients = value_and_gradients(twin, values)
    np.testing.assert_array_equal(output, other_output)
    for name in gradients:
        np.testing.assert_allclose(gradients[name], other_gradients[name], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("seed", SEEDS[:15])
def test_the_backward_pass_is_linear_in_the_cotangent(seed: int) -> None:
    graph, values = random_graph(seed)
    u, v = np.random.default_rng(seed).standard_normal((2, 3, 4))
    both, of_u, of_v = (value_and_gradients(graph, values, cotangent=c)[1] for c in (2 * u - v, u, v))
    for name in both:
        np.testing.assert_allclose(both[name], 2 * of_u[name] - of_v[name], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", SEEDS[:15])
def test_a_gradient_with_respect_to_a_node_is_that_of_the_graph_cut_there(seed: int) -> None:
    graph, values = random_graph(seed)
    known = evaluate_all(graph, values)
    for cut in graph.nodes[:: max(1, len(graph.nodes) // 5)]:
        rest = [node for node in graph.nodes if node.name != cut.name]
        leaves = {**graph.leaves, cut.name: graph.shapes[cut.name]}
        if cut.name == graph.output:
            continue
        twin = Graph(leaves, {}, rest, graph.output, allow_unused=True)
        expected = value_and_gradients(twin, {**values, cut.name: known[cut.name]})[1][cut.name]
        actual = value_and_gradients(graph, values, wrt=[cut.name])[1]
        assert list(actual) == [cut.name]
        np.testing.assert_allclose(actual[cut.name], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_what_is_asked_for_does_not_change_what_it_is(seed: int) -> None:
    graph, values = random_graph(seed)
    everything = value_and_gradients(graph, values, wrt=graph.shapes)[1]
    assert list(everything) == list(graph.shapes)
    for name, gradient in everything.items():
        alone = value_and_gradients(graph, values, wrt=[name])[1][name]
        np.testing.assert_array_equal(alone, gradient)
        assert gradient.shape == graph.shapes[name]
    np.testing.assert_array_equal(everything[graph.output], np.ones((3, 4)))


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_values_are_the_same_by_every_way(seed: int) -> None:
    graph, values = random_graph(seed)
    everything = evaluate_all(graph, values)
    assert list(everything) == list(graph.shapes)
    assert all(everything[name].shape == shape for name, shape in graph.shapes.items())
    np.testing.assert_array_equal(value(graph, values), everything[graph.output])
    np.testing.assert_array_equal(forward(graph, values).output, everything[graph.output])


# Particular graphs


def test_the_same_operand_twice_adds_twice() -> None:
    graph = Graph({"x": (2,)}, {}, [Node("y", "multiply", ("x", "x"))], "y")
    gradients = value_and_gradients(graph, {"x": [3.0, -1.0]})[1]
    np.testing.assert_array_equal(gradients["x"], [6.0, -2.0])
    thrice = Graph({"x": (2,)}, {}, [Node("y", "concatenate", ("x", "x", "x"))], "y")
    np.testing.assert_array_equal(value_and_gradients(thrice, {"x": [3.0, -1.0]})[1]["x"], [3.0, 3.0])


def test_what_does_not_reach_the_output_gets_zeros() -> None:
    nodes = [Node("y", "sin", ("x",)), Node("dead", "log", ("w",))]
    graph = Graph({"x": ()}, {"w": (2,), "idle": (2, 3)}, nodes, "y", allow_unused=True)
    values = {"x": np.float32(0.5), "w": np.full(2, -1.0, np.float32), "idle": np.ones((2, 3))}
    gradients = value_and_gradients(graph, values, wrt=["w", "idle", "dead", "x"])[1]
    assert {name: (g.shape, g.dtype) for name, g in gradients.items()} == {
        "w": ((2,), np.float32),
        "idle": ((2, 3), np.float64),
        "dead": ((2,), np.float32),
        "x": ((), np.float32),
    }
    assert not any(gradients[name].any() for name in ("w", "idle", "dead"))


def test_an_output_that_is_a_leaf_hands_on_the_cotangent() -> None:
    graph = Graph({"x": (2,)}, {"w": ()}, [], "x")
    x, cotangent = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    output, gradients = value_and_gradients(graph, {"x": x, "w": 1.0}, cotangent=cotangent)
    np.testing.assert_array_equal(output, x)
    np.testing.assert_array_equal(gradients["x"], cotangent)
    assert gradients["w"] == 0
    assert not np.shares_memory(output, x)
    assert not np.shares_memory(gradients["x"], cotangent)


def test_a_chain_of_100000_nodes_passes_forward_and_back() -> None:
    graph = chain("negative", 100_000)
    output, gradients = value_and_gradients(graph, {"n0": [1.0, -2.0]})
    np.testing.assert_array_equal(output, [1.0, -2.0])
    np.testing.assert_array_equal(gradients["n0"], [1.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, np.complex64, np.complex128])
def test_the_dtype_is_kept_throughout(dtype: Any) -> None:
    nodes = [Node("u", "matmul", ("x", "w")), Node("h", "tanh", ("u",)), Node("y", "mean", ("h",))]
    graph = Graph({"x": (2, 3)}, {"w": (3, 2)}, nodes, "y")
    values = {"x": np.full((2, 3), 0.5, dtype), "w": np.full((3, 2), -0.25, dtype)}
    output, gradients = value_and_gradients(graph, values, cotangent=np.float64(2.0))
    assert {output.dtype, *(g.dtype for g in gradients.values())} == {np.dtype(dtype)}


def test_each_gradient_has_its_leaf_s_dtype_where_they_differ() -> None:
    graph = Graph({"x": (2,)}, {"z": (2,)}, [Node("y", "multiply", ("x", "z"))], "y")
    gradients = value_and_gradients(graph, {"x": np.ones(2, np.float32), "z": np.array([1 + 2j, 3j])})[1]
    np.testing.assert_array_equal(gradients["x"], np.array([1, 0], np.float32))
    assert gradients["x"].dtype == np.float32
    assert gradients["z"].dtype == np.complex128


def test_whole_numbers_are_taken_as_float64() -> None:
    graph = Graph({"x": ()}, {}, [Node("y", "square", ("x",))], "y")
    output, gradients = value_and_gradients(graph, {"x": 3}, cotangent=2)
    assert (output, gradients["x"]) == (9.0, 12.0)
    assert gradients["x"].dtype == np.float64


def test_a_complex_gradient_is_conjugated_as_pytorch_s() -> None:
    graph = Graph({"z": (2,)}, {}, [Node("y", "exp", ("z",))], "y")
    z, cotangent = np.array([0.3 + 0.4j, -1j]), np.array([1 - 2j, 0.5j])
    gradients = value_and_gradients(graph, {"z": z}, cotangent=cotangent)[1]
    leaf = torch.tensor(z, requires_grad=True)
    torch.exp(leaf).backward(torch.tensor(cotangent))  # type: ignore[no-untyped-call]  # torch's is untyped
    assert leaf.grad is not None
    np.testing.assert_allclose(gradients["z"], leaf.grad.numpy(), rtol=1e-14)


# The caller's arrays


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_no_array_of_the_caller_s_is_written_into_or_handed_back(seed: int) -> None:
    graph, values = random_graph(seed)
    for array in values.values():
        array.flags.writeable = False
    cotangent = np.ones((3, 4))
    cotangent.flags.writeable = False
    output, gradients = value_and_gradients(graph, values, cotangent=cotangent, wrt=graph.shapes)
    handed = [output, *gradients.values()]
    assert all(array.flags.writeable for array in handed)
    given = [*values.values(), cotangent]
    assert not any(np.shares_memory(a, b) for a in handed for b in given)
    assert not any(np.shares_memory(a, b) for i, a in enumerate(handed) for b in handed[:i])


def test_memory_layout_changes_nothing() -> None:
    graph, values = random_graph(3)
    strided = {name: np.repeat(a[..., None], 2, axis=-1)[..., 0] for name, a in values.items()}
    turned = {name: np.asfortranarray(a).reshape(a.shape) for name, a in values.items()}
    expected = value_and_gradients(graph, values)[1]
    for other in (strided, turned):
        for name, gradient in value_and_gradients(graph, other)[1].items():
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-13, atol=1e-13)


def test_a_forward_pass_can_be_gone_back_through_once_or_as_often_as_retained() -> None:
    graph, values = random_graph(1)
    expected = value_and_gradients(graph, values)[1]
    passed = forward(graph, values)
    for retain in (True, True, False):
        for name, gradient in backward(passed, retain=retain).items():
            np.testing.assert_array_equal(gradient, expected[name])
    with pytest.raises(ValuesError, match="already gone back through"):
        backward(passed)


# What is kept, and what is computed


def spied(operation: str, made: list[weakref.ref[Array]]) -> dict[str, Rule]:
    """Return the rules with one whose outputs and cotangents can be seen to die."""
    rule = RULES[operation]

    def seen(array: Array) -> Array:
        made.append(weakref.ref(array))
        return array

    def vjp(cotangent: Array, output: Any, inputs: Any) -> tuple[Array, ...]:
        return tuple(seen(np.array(share)) for share in rule.vjp(cotangent, output, inputs))

    return {**RULES, operation: replace(rule, forward=lambda *a: seen(rule.forward(*a)), vjp=vjp)}


def alive(made: list[weakref.ref[Array]]) -> int:
    return sum(reference() is not None for reference in made)


class Counting(dict[str, Rule]):
    """Rules whose every call notes how many of the arrays made so far are still there."""

    def __init__(self, operation: str, made: list[weakref.ref[Array]]) -> None:
        super().__init__(spied(operation, made))
        self.counts: list[int] = []
        rule = self[operation]

        def counted(function: Any) -> Any:
            def call(*arguments: Any) -> Any:
                self.counts.append(alive(made))
                return function(*arguments)

            return call

        self[operation] = replace(rule, forward=counted(rule.forward), vjp=counted(rule.vjp))


def test_the_value_alone_keeps_one_array_at_a_time() -> None:
    made: list[weakref.ref[Array]] = []
    rules = Counting("exp", made)
    value(chain("exp", 3), {"n0": np.full(2, -1.0)}, rules)
    value(chain("exp", 3), {"n0": np.full(2, -1.0)}, rules)
    assert rules.counts == [0, 1, 1] * 2


def test_values_that_no_vjp_reads_are_let_go_of_going_forward() -> None:
    made: list[weakref.ref[Array]] = []
    rules = Counting("negative", made)
    value_and_gradients(chain("negative", 6), {"n0": np.ones(2)}, rules=rules)
    forward_counts, backward_counts = rules.counts[:6], rules.counts[6:]
    assert forward_counts == [0, 1, 1, 1, 1, 1]
    assert max(backward_counts) <= 2  # the output, and the one cotangent


def test_values_that_vjps_read_are_let_go_of_going_back() -> None:
    made: list[weakref.ref[Array]] = []
    rules = Counting("sin", made)
    value_and_gradients(chain("sin", 6), {"n0": np.ones(2)}, rules=rules)
    forward_counts, backward_counts = rules.counts[:6], rules.counts[6:]
    assert forward_counts == [0, 1, 2, 3, 4, 5]
    # n1, ..., n5 and the output; then one value fewer at each step, and beside them one cotangent.
    assert backward_counts == [6, 6, 5, 4, 3, 2]
    del rules
    assert alive(made) == 0


def test_what_no_vjp_reads_reaches_it_as_its_shape_and_dtype() -> None:
    met: list[Any] = []
    rule = RULES["tanh"]

    def vjp(cotangent: Array, output: Any, inputs: Any) -> tuple[Array, ...]:
        met.extend([output, *inputs])
        return rule.vjp(cotangent, output, inputs)

    rules = {**RULES, "tanh": replace(rule, vjp=vjp)}
    graph = Graph({"x": (2,)}, {}, [Node("s", "add", ("x", "x")), Node("y", "tanh", ("s",))], "y")
    value_and_gradients(graph, {"x": np.ones(2, np.float32)}, rules=rules)
    assert isinstance(met[0], np.ndarray)
    assert met[1] == Like((2,), np.dtype(np.float32))


def test_branches_that_lead_to_nothing_asked_for_are_not_gone_back_along() -> None:
    calls: list[str] = []

    def noted(rule: Rule) -> Rule:
        def vjp(*arguments: Any, **attributes: Any) -> tuple[Array, ...]:
            calls.append(rule.name)
            return rule.vjp(*arguments, **attributes)

        def compute(*arguments: Any, **attributes: Any) -> Any:
            calls.append(f"{rule.name} forward")
            return rule.forward(*arguments, **attributes)

        return replace(rule, vjp=vjp, forward=compute)

    nodes = [
        Node("p", "sin", ("x",)),
        Node("q", "cos", ("w",)),
        Node("y", "multiply", ("p", "q")),
        Node("dead", "log", ("x",)),
    ]
    graph = Graph({"x": ()}, {"w": ()}, nodes, "y", allow_unused=True)
    rules = {name: noted(rule) for name, rule in RULES.items()}
    value_and_gradients(graph, {"x": -1.0, "w": 1.0}, wrt=["w"], rules=rules)
    assert calls == ["sin forward", "cos forward", "multiply forward", "multiply", "cos"]


def test_other_rules_are_used_where_given_and_noticed_where_changed() -> None:
    graph = Graph({"x": ()}, {}, [Node("y", "sin", ("x",))], "y")
    rules = dict(RULES)
    for slope in (2.0, 3.0):
        rules["sin"] = replace(RULES["sin"], vjp=lambda c, y, inputs, slope=slope: (slope * c,))
        assert value_and_gradients(graph, {"x": 0.0}, rules=rules)[1]["x"] == slope
    assert value_and_gradients(graph, {"x": 0.0})[1]["x"] == 1


def test_many_different_questions_to_one_graph_are_not_all_remembered() -> None:
    graph = chain("sin", 70)
    for name in graph.shapes:
        value_and_gradients(graph, {"n0": np.ones(2)}, wrt=[name])
    assert len(graph.memo) <= 64


# Refusals


@pytest.mark.parametrize(
    ("values", "arguments", "words"),
    [
        ({"x": np.ones(2)}, {}, "Leaf 'weight' has no value. Give it an array of shape (2,)"),
        ({"x": np.ones(2), "weight": np.ones(2), "weigth": 1.0}, {}, "'weigth'. Did you mean 'weight'"),
        ({"x": np.ones(3), "weight": np.ones(2)}, {}, "Expected shape (2,) for leaf 'x' but got (3,)"),
        ({"x": ["a", "b"], "weight": np.ones(2)}, {}, "Expected numbers for leaf 'x'"),
        ({"x": [1.0, [2.0]], "weight": np.ones(2)}, {}, "Expected an array for leaf 'x'"),
        ({"x": np.ones(2), "weight": np.ones(2)}, {"wrt": ["weigh"]}, "'weigh'. Did you mean 'weight'"),
        ({"x": np.ones(2), "weight": np.ones(2)}, {"cotangent": np.ones(3)}, "shape (2,) but got (3,)"),
        ({"x": np.ones(2), "weight": np.ones(2)}, {"cotangent": [1j, 1]}, "dtype float64 but got complex128"),
        ({"x": np.ones(2), "weight": np.ones(2)}, {"rules": {}}, "none for 'multiply'"),
    ],
)
def test_what_does_not_fit_the_graph_is_refused_by_name(values: Any, arguments: Any, words: str) -> None:
    graph = Graph({"x": (2,)}, {"weight": (2,)}, [Node("y", "multiply", ("x", "weight"))], "y")
    with pytest.raises(ValuesError) as caught:
        value_and_gradients(graph, values, **arguments)
    assert words in str(caught.value)


def test_every_way_to_evaluate_refuses_a_table_that_lacks_a_rule() -> None:
    graph = Graph({"x": ()}, {}, [Node("y", "sin", ("x",))], "y")
    for evaluate in (value, evaluate_all, forward):
        with pytest.raises(ValuesError, match=r"none for 'sin'\. Did you mean 'min'"):
            evaluate(graph, {"x": 1.0}, {"min": RULES["min"]})


def test_an_error_inside_a_rule_names_the_node() -> None:
    def refuse(*arguments: Any) -> Any:
        raise ArithmeticError("no")

    graph = Graph({"x": ()}, {}, [Node("h", "cos", ("x",)), Node("y", "sin", ("h",))], "y")
    failing = [replace(RULES["sin"], forward=refuse), replace(RULES["sin"], vjp=refuse)]
    for rule, way in zip(failing, ("forward", "backward"), strict=True):
        with pytest.raises(ArithmeticError) as caught:
            value_and_gradients(graph, {"x": 1.0}, rules={**RULES, "sin": rule})
        assert caught.value.__notes__ == [f"In node 'y' (sin), going {way}."]
    with pytest.raises(ArithmeticError) as caught:
        evaluate_all(graph, {"x": 1.0}, {**RULES, "sin": failing[0]})
    assert caught.value.__notes__ == ["In node 'y' (sin), going forward."]
