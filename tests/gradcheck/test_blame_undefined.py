"""NaN from a root, a logarithm or a quotient that a mask hides is blamed on the root, not on nothing."""

import pytest
import torch

import gradcheck


def _root(x):
    return torch.where(x > 0, x.sqrt(), torch.zeros_like(x))


def _quotient(x):
    near = x.abs() < 0.7
    return torch.where(near, x, x / (x.abs() - 0.7).clamp(min=0))


@pytest.mark.parametrize(
    ("function", "operation", "line"),
    [(_root, "Tensor.sqrt", 10), (_quotient, "torch.div", 15)],
)
def test_the_operation_that_has_no_slope_is_blamed(function, operation, line):
    x = torch.tensor([-1.0, 0.3, 0.9, 2.0], dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(function, x)
    assert report.verdict == "fail"
    assert report.blame.operation == operation
    assert report.blame.location.endswith(f"test_blame_undefined.py:{line}")
    assert "hides the value, not the gradient" in report.blame.message
    assert report.parameters["inputs[0]"].diagnoses[0].kind == "non-finite"


def test_a_logarithm_of_the_right_argument_is_not_blamed():
    x = torch.tensor([-1.0, 0.3, 0.9, 2.0], dtype=torch.float64, requires_grad=True)
    safe = gradcheck.verify(lambda x: torch.where(x > 0.5, torch.where(x > 0.5, x, 1.0).log(), x), x)
    assert safe.ok


def test_a_checkpoint_that_draws_anew_is_told_from_one_that_keeps_too_little():
    class Checkpoint(torch.autograd.Function):
        @staticmethod
        def forward(ctx, function, x):
            ctx.function = function
            ctx.save_for_backward(x)
            with torch.no_grad():
                return function(x)

        @staticmethod
        def backward(ctx, g):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            with torch.enable_grad():
                y = ctx.function(x)
            return None, *torch.autograd.grad(y, x, g)

    def block(x):
        return torch.nn.functional.dropout(x.tanh(), 0.4)

    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(lambda x: Checkpoint.apply(block, x), x)
    assert report.verdict == "fail"
    assert report.blame.operation == "Checkpoint.backward"
    assert "draws random numbers again in its backward pass" in report.blame.message


def test_a_root_of_zero_whose_infinite_slope_others_spoil_is_blamed_itself():
    def distances(x):
        apart = (x[:, None] - x[None]).pow(2).sum(-1)
        return apart.sqrt().sum()

    def safe(x):
        return ((x[:, None] - x[None]).pow(2).sum(-1) + 1e-6).sqrt().sum()

    x = torch.tensor([[0.1, 0.4], [-1.0, 2.0], [0.7, 0.3]], dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(distances, x)
    assert report.verdict == "fail"
    assert report.blame.operation == "Tensor.sqrt"
    assert report.blame.message.startswith("its slope is infinite at this input")
    assert gradcheck.verify(safe, x).ok
