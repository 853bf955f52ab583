"""Backward passes that are right once and wrong when they are differentiated."""

from collections.abc import Iterator

import pytest
import torch
from blame_lines import line
from torch.autograd.function import once_differentiable
from torch.nn import functional

from gradcheck.blame import find_blame


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class Detached(Cube):
    @staticmethod
    def backward(ctx, g):  # detached
        (x,) = ctx.saved_tensors
        return 3 * x.detach() ** 2 * g


class Once(Cube):
    @staticmethod
    @once_differentiable
    def backward(ctx, g):  # once
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class DetachedCotangent(Cube):
    @staticmethod
    def backward(ctx, g):  # detached cotangent
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g.detach()


WRONG = [(Detached, "detached"), (Once, "once"), (DetachedCotangent, "detached cotangent")]


@pytest.mark.parametrize(("function", "marker"), WRONG)
def test_a_backward_that_is_wrong_only_in_second_order_is_blamed_there(function, marker):
    x = torch.randn(5, requires_grad=True)
    run = lambda: [function.apply(x.sin()).exp()]  # noqa: E731 - the same run twice
    assert find_blame(run, {"x": x}).all_calls_right
    (blame,) = find_blame(run, {"x": x}, order=2).blames
    assert blame.operation == f"{function.__name__}.backward"
    assert blame.location == line(marker)
    assert "second order" in blame.message


def test_a_run_that_differentiates_inside_is_verified_in_second_order():
    x = torch.randn(5, requires_grad=True)

    def run():
        y = Detached.apply(x)
        (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return [g.square().sum()]

    (blame,) = find_blame(run, {"x": x}).blames
    assert blame.location == line("detached")


def test_a_gradient_without_a_graph_is_a_cut():
    x = torch.randn(5, requires_grad=True)

    def run():
        y = x**3
        (g,) = torch.autograd.grad(y.sum(), x, retain_graph=True)  # no graph
        return [y * g]

    (blame,) = find_blame(run, {"x": x}).blames
    assert (blame.operation, blame.location) == ("torch.autograd.grad", line("no graph"))


def model(x):
    hidden = functional.layer_norm(torch.tanh(x @ x.mT), (4,))
    weights = functional.softmax(hidden, -1)
    return (functional.gelu(weights @ x) + Cube.apply(x)).logsumexp(-1)


def test_correct_operations_are_right_in_second_order():
    x = torch.randn(4, 4, requires_grad=True)
    result = find_blame(lambda: [model(x)], {"x": x}, order=2)
    assert result.blames == ()
    assert result.all_calls_right


def test_relu_is_right_in_second_order_at_its_kink():
    x = torch.tensor([0.0, 1.0, -1.0], requires_grad=True)
    assert find_blame(lambda: [torch.relu(x) * x], {"x": x}, order=2).blames == ()
