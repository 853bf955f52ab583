"""order=2: the gradient of <gradient, v>, with the same error bars, kinks and blame."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import gradcheck
from gradcheck.cli import main

DOUBLE = torch.float64


def _leaf(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=DOUBLE).requires_grad_()


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(13)


class Sine(torch.autograd.Function):
    """sin(x), whose backward pass is made of operations that autograd knows."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.cos()


class Nested(torch.autograd.Function):
    """x**3, whose backward pass is a Function of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        return NestedBackward.apply(*ctx.saved_tensors, g)


class NestedBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, g):
        ctx.save_for_backward(x, g)
        return 3 * x**2 * g

    @staticmethod
    def backward(ctx, h):
        x, g = ctx.saved_tensors
        return 6 * x * g * h, 3 * x**2 * h


class WrongBackward(NestedBackward):
    @staticmethod
    def backward(ctx, h):
        x, g = ctx.saved_tensors
        return 3 * x * g * h, 3 * x**2 * h


class Wrong(Nested):
    @staticmethod
    def backward(ctx, g):
        return WrongBackward.apply(*ctx.saved_tensors, g)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (Sine.apply, [(3,)]),
        (Nested.apply, [(3,)]),
        (lambda x, w: torch.tanh(x @ w).logsumexp(-1), [(2, 3), (3, 4)]),
        (lambda x: nn.functional.layer_norm(x, (4,)), [(3, 4)]),
        (lambda a: torch.linalg.inv(a), [(3, 3)]),
        (lambda x: x @ torch.ones(3, 2, dtype=DOUBLE), [(2, 3)]),
        (lambda x: x.relu() ** 2, [(6,)]),
    ],
)
def test_right_gradients_of_gradients_pass(function: Any, given: list[tuple[int, ...]]):
    report = gradcheck.verify(function, *(_leaf(*shape) for shape in given), order=2)
    assert report.ok, str(report)
    assert "second order: inputs[0]" in report.parameters
    assert "second order: cotangents[0]" in report.parameters


def test_a_module_in_single_precision_passes():
    model = nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 1))
    report = gradcheck.verify(model, torch.randn(5, 3), order=2)
    assert report.ok, str(report)
    assert report.parameters["second order: 0.weight"].verdict == "pass"


def test_the_guilty_operation_of_second_order_is_named():
    report = gradcheck.verify(Wrong.apply, _leaf(4), order=2)
    second = report.parameters["second order: inputs[0]"]
    assert second.verdict == "fail"
    assert [d.kind for d in second.diagnoses] == ["scale"]
    assert report.parameters["inputs[0]"].verdict == "pass"
    assert report.blame.operation == "Wrong.backward"


def test_once_differentiable_is_named():
    class Once(Sine):
        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return Sine.backward(ctx, g)

    assert gradcheck.verify(Once.apply, _leaf(3)).ok
    report = gradcheck.verify(Once.apply, _leaf(3), order=2)
    assert report.verdict == "fail"
    assert "cannot be differentiated" in report.message
    assert "once_differentiable" in report.message


def test_a_first_order_fault_is_reported_as_such():
    class Halved(Sine):
        @staticmethod
        def backward(ctx, g):
            return Sine.backward(ctx, g) / 2

    report = gradcheck.verify(Halved.apply, _leaf(3), order=2)
    assert report.parameters["inputs[0]"].verdict == "fail"


@pytest.mark.parametrize("order", [1, 2])
def test_the_command_line_takes_the_order(order, tmp_path, capsys):
    file = tmp_path / "wrong_second.py"
    file.write_text(
        "import gradcheck, torch\n"
        "class Detached(torch.autograd.Function):\n"
        "    @staticmethod\n"
        "    def forward(ctx, x):\n"
        "        ctx.save_for_backward(x)\n"
        "        return x**3\n"
        "    @staticmethod\n"
        "    def backward(ctx, g):\n"
        "        (x,) = ctx.saved_tensors\n"
        "        return 3 * x.detach() ** 2 * g\n"
        "@gradcheck.target\n"
        "def cube():\n"
        "    return Detached.apply, torch.randn(3, dtype=torch.float64, requires_grad=True)\n"
    )
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(file), "--order", str(order)])
    output = capsys.readouterr().out
    assert stopped.value.code == order - 1, output
    assert ("second order" in output) == (order == 2)
