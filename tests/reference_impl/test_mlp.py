"""The MLP layer by layer agrees with the same MLP as a graph, with PyTorch, and with sums over samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from mlp_twin import as_graph

from reference_impl import MLP, RULES, mlp, value_and_gradients
from reference_impl.nonlinearities import ACTIVATIONS
from reference_impl.sample_losses import LOSSES

Array = np.ndarray[Any, Any]


def network(widths: tuple[int, ...], sigma: str = "tanh", loss: str = "squared_error", seed: int = 0) -> MLP:
    rng = np.random.default_rng(seed)
    net = mlp.initialise(widths, rng, sigma, loss)
    return replace(net, b=tuple(rng.standard_normal(b.shape) for b in net.b))


def data(net: MLP, samples: tuple[int, ...], seed: int = 1) -> tuple[Array, Array]:
    """Return inputs, and targets that suit the loss."""
    rng = np.random.default_rng(seed)
    shape = (*samples, net.b[-1].size)
    targets = {
        "hinge": lambda: rng.choice([-1.0, 1.0], shape),
        "binary_cross_entropy_with_logits": lambda: rng.random(shape),
        "softmax_cross_entropy": lambda: rng.integers(0, shape[-1], samples),
    }
    return rng.standard_normal((*samples, net.W[0].shape[1])), targets.get(
        net.loss, lambda: rng.standard_normal(shape)
    )()


def assert_agrees_with_graph(net: MLP, x: Array, y: Array, rtol: float = 1e-11) -> None:
    loss, gradients = mlp.loss_and_gradients(net, x, y)
    graph, values = as_graph(net, x, y)
    expected_loss, expected = value_and_gradients(graph, values)
    np.testing.assert_allclose(loss, expected_loss, rtol=rtol)
    assert gradients.x is not None
    np.testing.assert_allclose(gradients.x, expected["x"], rtol=rtol, atol=rtol)
    for i, (dW, db) in enumerate(zip(gradients.W, gradients.b, strict=True), 1):
        np.testing.assert_allclose(dW, expected[f"W{i}"], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(db, expected[f"b{i}"], rtol=rtol, atol=rtol)


def test_every_activation_and_loss_of_the_rules_is_there() -> None:
    assert {*ACTIVATIONS} - {"identity"} <= {*RULES}
    assert {"relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"} <= {*ACTIVATIONS}
    assert {name for name in RULES if "error" in name or "entropy" in name} | {"huber", "hinge"} == {*LOSSES}


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("samples", [(), (1,), (5,)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_it_equals_the_graph(sigma: str, loss: str, samples: tuple[int, ...], reduction: str) -> None:
    net = replace(network((3, 4, 2), sigma, loss), reduction=reduction)
    assert_agrees_with_graph(net, *data(net, samples))


@pytest.mark.parametrize("widths", [(1, 1), (1, 1, 1, 1), (5, 1, 3), (2, 7), (64, 33, 64, 1), (3,) * 9])
@pytest.mark.parametrize("samples", [(), (1,), (17,)])
def test_it_equals_the_graph_at_any_width_and_depth(
    widths: tuple[int, ...], samples: tuple[int, ...]
) -> None:
    net = network(widths, "sigmoid")
    assert_agrees_with_graph(net, *data(net, samples))


def test_each_layer_may_have_its_own_activation() -> None:
    net = replace(network((3, 4, 5, 4, 2)), sigma=("relu", "identity", "sin", "sigmoid"))
    assert_agrees_with_graph(net, *data(net, (6,)))


def test_target_probabilities_may_replace_class_labels() -> None:
    net = network((3, 4, 3), loss="softmax_cross_entropy")
    x, labels = data(net, (6,))
    assert_agrees_with_graph(net, x, np.random.default_rng(0).random((6, 3)))
    by_label = mlp.loss_and_gradients(net, x, labels)
    by_probability = mlp.loss_and_gradients(net, x, np.eye(3)[labels])
    assert by_label[0] == by_probability[0]
    np.testing.assert_array_equal(by_label[1].W[0], by_probability[1].W[0])


@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_activations_agree_with_the_rules_far_out_and_at_kinks(sigma: str) -> None:
    if sigma == "identity":
        return
    s = np.array([-1000.0, -30.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 30.0, 1000.0])
    x = ACTIVATIONS[sigma].sigma(s)
    rule = RULES[sigma]
    np.testing.assert_allclose(x, rule.forward(s), rtol=1e-13, atol=1e-300)
    (slope,) = rule.vjp(np.ones_like(s), rule.forward(s), [s])
    np.testing.assert_allclose(ACTIVATIONS[sigma].sigma_prime(s, x), slope, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_finite_far_out(loss: str) -> None:
    f = np.array([[-1000.0, 1000.0, 0.0]])
    t = np.array([[1.0, 0.0, 1.0]])
    assert np.isfinite(LOSSES[loss].loss(f, t)).all()
    assert np.isfinite(LOSSES[loss].dl_df(f, t)).all()


@pytest.mark.parametrize("sigma", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_single_precision_stays_so(sigma: str, loss: str) -> None:
    net = network((3, 4, 2), sigma, loss)
    net = replace(
        net, W=tuple(W.astype(np.float32) for W in net.W), b=tuple(b.astype(np.float32) for b in net.b)
    )
    x, y = data(net, (5,))
    y = y if y.dtype.kind == "i" else y.astype(np.float32)
    passed = mlp.forward(net, x.astype(np.float32))
    gradients = mlp.backward(net, passed, y)
    arrays = [*passed.s, *passed.x, *gradients.W, *gradients.b, gradients.x, mlp.losses(net, passed, y)]
    assert {array.dtype for array in arrays if array is not None} == {np.dtype(np.float32)}


def test_it_agrees_with_pytorch() -> None:
    net = network((784, 64, 32, 10), "relu", "softmax_cross_entropy")
    x, y = data(net, (20,))
    loss, gradients = mlp.loss_and_gradients(net, x, y, with_input=False)
    W, b = ([torch.tensor(p, requires_grad=True) for p in group] for group in (net.W, net.b))
    h = torch.tensor(x)
    for i in range(3):
        h = torch.nn.functional.linear(h, W[i], b[i])
        h = torch.relu(h) if i < 2 else h
    expected = torch.nn.functional.cross_entropy(h, torch.tensor(y), reduction="sum")
    expected.backward()  # type: ignore[no-untyped-call]  # torch's is untyped
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-13)
    assert gradients.x is None
    for ours, theirs in zip((*gradients.W, *gradients.b), (*W, *b), strict=True):
        assert theirs.grad is not None
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-11, atol=1e-12)


def test_the_forward_pass_is_the_lecture_s_recursion() -> None:
    net = network((3, 4, 2), "sigmoid")
    x, _ = data(net, ())
    passed = mlp.forward(net, x)
    assert len(passed.s) == 2
    assert len(passed.x) == 3
    for layer in (1, 2):
        s = [
            sum(net.W[layer - 1][j, k] * passed.x[layer - 1][k] for k in range(net.W[layer - 1].shape[1]))
            + net.b[layer - 1][j]
            for j in range(net.b[layer - 1].size)
        ]
        np.testing.assert_allclose(passed.s[layer - 1], s, rtol=1e-14)
    np.testing.assert_allclose(passed.x[1], 1 / (1 + np.exp(-passed.s[0])), rtol=1e-14)
    np.testing.assert_array_equal(passed.x[2], passed.s[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_batch_s_gradient_is_the_sum_of_the_samples(loss: str) -> None:
    net = network((3, 4, 2), "tanh", loss)
    x, y = data(net, (5,))
    passed = mlp.forward(net, x)
    each = mlp.per_sample(net, passed, y)
    batch = mlp.backward(net, passed, y)
    np.testing.assert_allclose(mlp.losses(net, passed, y).sum(), mlp.loss(net, passed, y), rtol=1e-14)
    for of_each, of_batch in zip((*each.W, *each.b), (*batch.W, *batch.b), strict=True):
        assert of_each.shape == (5, *of_batch.shape)
        np.testing.assert_allclose(of_each.sum(0), of_batch, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(each.x, batch.x, rtol=1e-12)
    for n in range(5):
        loss_n, alone = mlp.loss_and_gradients(net, x[n], y[n])
        np.testing.assert_allclose(loss_n, mlp.losses(net, passed, y)[n], rtol=1e-12)
        for of_each, of_one in zip((*each.W, *each.b, each.x), (*alone.W, *alone.b, alone.x), strict=True):
            assert of_each is not None
            np.testing.assert_allclose(of_each[n], of_one, rtol=1e-11, atol=1e-14)


def test_passes_write_into_no_array_that_they_were_given() -> None:
    net = network((3, 4, 2), "identity", "absolute_error")
    x, y = data(net, (5,))
    for array in (*net.W, *net.b, x, y):
        array.flags.writeable = False
    passed = mlp.forward(net, x)
    for array in (*passed.s, *passed.x):
        array.flags.writeable = False
    mlp.backward(net, passed, y)
    mlp.per_sample(net, passed, y)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sigma": ("tanh",)}, "as many W as b and sigma"),
        ({"W": (), "b": (), "sigma": ()}, "at least one"),
        ({"W": (np.ones((4, 3)), np.ones((2, 5)))}, "Layer 2: expected W of shape (width, 4)"),
        ({"b": (np.ones(3), np.ones(2))}, "Layer 1: expected W"),
        ({"sigma": ("tanh", "tahn")}, "Unknown activation 'tahn'. Did you mean 'tanh'?"),
        ({"loss": "squared_eror"}, "Unknown loss 'squared_eror'. Did you mean 'squared_error'"),
        ({"reduction": "none"}, "'sum' or 'mean' but got 'none'"),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused(change: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are compared below)
        replace(network((3, 4, 2)), **change)
    assert words in str(caught.value)


def test_data_that_do_not_fit_the_network_are_refused() -> None:
    net = network((3, 4, 2))
    with pytest.raises(ValueError, match=r"Expected x of shape \(..., 3\) but got \(5, 4\)"):
        mlp.forward(net, np.ones((5, 4)))
    passed = mlp.forward(net, np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"Expected targets of shape \(5, 2\) but got \(5,\)"):
        mlp.backward(net, passed, np.ones(5))
    classes = replace(net, loss="softmax_cross_entropy")
    with pytest.raises(ValueError, match=r"Expected targets of shape \(5,\) but got \(4,\)"):
        mlp.loss(classes, passed, np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="Expected classes from 0 to 1 but got 0 to 2"):
        mlp.loss(classes, passed, np.array([0, 1, 2, 0, 1]))
    with pytest.raises(ValueError, match="Expected a batch but got one sample"):
        mlp.per_sample(net, mlp.forward(net, np.ones(3)), np.ones(2))
