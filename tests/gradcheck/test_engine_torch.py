"""The PyTorch engine computes the same functions as the reference implementation, hence gradients."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from gradcheck.engines import call_engine, conformance
from gradcheck.engines.reference import ReferenceEngine
from gradcheck.engines.torch import TorchEngine, to_tensor, twin
from reference_impl import RULES, Graph, Node

ENGINE = TorchEngine()


def one(operation, *values, **attributes):
    leaves = {f"x{i}": np.shape(value) for i, value in enumerate(values)}
    graph = Graph({}, leaves, [Node("y", operation, tuple(leaves), attributes)], "y")
    return graph, {name: np.asarray(value) for name, value in zip(leaves, values, strict=True)}


def test_it_has_every_operation_of_the_table():
    assert [operation for operation in RULES if not ENGINE.supports(operation)] == []


@pytest.mark.parametrize("requirement", conformance.requirements(ENGINE), ids=str)
def test_it_conforms(requirement):
    requirement.verify()


@pytest.mark.parametrize("operation", [name for name, rule in RULES.items() if rule.analytic])
def test_complex_gradients_are_conjugated_derivatives(operation):
    random = np.random.default_rng(1)
    for sample in conformance.SAMPLES[operation]:
        values = {
            name: value + 1j * random.uniform(0.2, 0.9, value.shape)
            for name, value in sample.values().items()
        }
        graph = sample.graph(operation)
        ours, theirs = call_engine(ENGINE, graph, values), call_engine(ReferenceEngine(), graph, values)
        np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-11)
        for name, gradient in ours.gradients.items():
            np.testing.assert_allclose(gradient, theirs.gradients[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("operation", "values", "attributes"),
    [
        ("abs", [[0.0, -1.0]], {}),
        ("relu", [[0.0, 1.0]], {}),
        ("leaky_relu", [[0.0]], {}),
        ("elu", [[0.0]], {"alpha": 0.5}),
        ("clip", [[-1.0, 0.0, 1.0]], {"minimum": -1.0, "maximum": 1.0}),
        ("maximum", [[1.0, 2.0], [1.0, 3.0]], {}),
        ("minimum", [[1.0, 2.0], [1.0, 3.0]], {}),
        ("max", [[1.0, 2.0, 2.0]], {}),
        ("min", [[[1.0, 1.0], [1.0, 1.0]]], {"axis": 1}),
        ("max_pool2d", [np.zeros((1, 1, 2, 4))], {"size": 2}),
        ("norm", [np.zeros(3)], {}),
        ("prod", [[0.0, 2.0, 3.0]], {}),
        ("prod", [[0.0, 0.0, 3.0]], {}),
        ("huber", [[1.0, 0.0], [0.0, 0.0]], {}),
        ("absolute_error", [[1.0, 2.0], [1.0, 0.0]], {}),
        ("hinge", [[1.0, 2.0], [1.0, 0.5]], {}),
        ("softplus", [[-1000.0, -30.0, 0.0, 30.0, 1000.0]], {}),
        ("sigmoid", [[-1000.0, 1000.0]], {}),
        ("softmax_cross_entropy", [[[1e4, -1e4, 0.0]]], {"labels": np.array([1])}),
    ],
)
def test_at_kinks_ties_and_extremes_it_is_what_the_reference_is(operation, values, attributes):
    graph, leaves = one(operation, *values, **attributes)
    conformance.compare(ENGINE, graph, leaves, operation)


def test_softplus_keeps_what_pytorchs_own_rounds_away():
    graph, values = one("softplus", np.array([25.0]))
    gradient = call_engine(ENGINE, graph, values).gradients["x0"]
    assert gradient == pytest.approx(1 / (1 + np.exp(-25.0)), abs=1e-15)
    assert gradient != 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_dtypes_are_kept_also_where_the_output_depends_on_nothing(dtype):
    graph = Graph({}, {"x": (2,), "w": (3,)}, [Node("y", "square", ("x",))], "y")
    answer = call_engine(ENGINE, graph, {"x": np.ones(2, dtype), "w": np.ones(3, dtype)})
    assert {answer.value.dtype, *(g.dtype for g in answer.gradients.values())} == {np.dtype(dtype)}
    assert np.array_equal(answer.gradients["w"], np.zeros(3))


def test_a_cotangent_may_be_given():
    graph, values = one("exp", np.array([0.0, 1.0]))
    _, gradients = ENGINE.value_and_gradients(graph, values, np.array([2.0, 0.0]))
    assert gradients["x0"].tolist() == [2.0, 0.0]


def test_longdouble_is_refused():
    graph, values = one("exp", np.zeros(2, np.longdouble))
    with pytest.raises(TypeError, match=r"float128|longdouble"):
        ENGINE.value_and_gradients(graph, values)


def test_the_twin_is_a_function_of_tensors_that_gradcheck_takes():
    graph = Graph(
        {"x": (2,)}, {"w": (2,)}, [Node("a", "multiply", ("x", "w")), Node("y", "tanh", ("a",))], "y"
    )
    leaves = [to_tensor(np.array([0.3, -0.2])).requires_grad_(), to_tensor(np.ones(2)).requires_grad_()]
    assert torch.autograd.gradcheck(lambda *tensors: twin(graph)(tensors), leaves)
    assert twin(graph) is twin(graph)


def test_it_can_be_sent_to_another_process():
    graph, values = one("exp", np.array([0.5]))
    sent = pickle.loads(pickle.dumps(ENGINE))
    assert call_engine(sent, graph, values).value == call_engine(ENGINE, graph, values).value
