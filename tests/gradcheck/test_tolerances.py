"""Iterations that stop at a tolerance: their gradients are right as far as they can be."""

import pytest
import torch

import gradcheck


class FixedPoint(torch.autograd.Function):
    """z = tanh(z W^T + x), iterated until it moves by less than ``tolerance``; ``factor`` is a mistake."""

    @staticmethod
    def forward(ctx, x, w, tolerance, factor):
        z = torch.zeros_like(x)
        for _ in range(500):
            new = torch.tanh(z @ w.T + x)
            if (new - z).abs().max() < tolerance:
                break
            z = new
        ctx.save_for_backward(z, w)
        ctx.factor = factor
        return z

    @staticmethod
    def backward(ctx, g):
        z, w = ctx.saved_tensors
        d = 1 - z**2
        system = torch.eye(len(w), dtype=w.dtype) - (d[:, :, None] * w).mT
        u = torch.linalg.solve(system, g[..., None])[..., 0] * d
        return ctx.factor * u, u.T @ z, None, None


class Plain(torch.autograd.Function):
    """A few steps of the same, always as many."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return torch.tanh(torch.sin(x) + torch.cos(x * 2))

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        y = torch.tanh(torch.sin(x) + torch.cos(x * 2))
        return ctx.factor * g * (1 - y * y) * (torch.cos(x) - 2 * torch.sin(2 * x)), None


def _given(dtype=torch.float64, strength=0.25):
    torch.manual_seed(0)
    x = torch.randn(3, 4, dtype=dtype, requires_grad=True)
    return x, (torch.randn(4, 4, dtype=dtype) * strength).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("strength", [0.25, 0.4])
def test_what_an_iteration_leaves_out_is_no_fault(dtype, strength):
    report = gradcheck.verify(FixedPoint.apply, *_given(dtype, strength), 1e-6, 1.0)
    assert report.ok, report
    assert any("iterates until" in note for result in report.parameters.values() for note in result.notes)


def test_a_factor_beside_an_iteration_is_one():
    report = gradcheck.verify(FixedPoint.apply, *_given(), 1e-6, 1.05, variations=False)
    assert report.verdict is gradcheck.Verdict.FAIL
    assert report.blame.operation == "FixedPoint.backward"


def test_what_a_tolerance_hides_is_left_open():
    report = gradcheck.verify(FixedPoint.apply, *_given(), 1e-6, 1.002, variations=False)
    assert report.verdict is gradcheck.Verdict.INCONCLUSIVE
    assert "let it iterate further, or give rtol" in report.parameters["inputs[0]"].message


def test_a_tight_tolerance_has_no_need_of_it():
    report = gradcheck.verify(FixedPoint.apply, *_given(), 1e-14, 1.0, variations=False)
    assert report.ok
    assert not any("iterates" in note for result in report.parameters.values() for note in result.notes)


def test_the_same_error_without_an_iteration_fails():
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck.verify(Plain.apply, x, 1.0).ok
    assert gradcheck.verify(Plain.apply, x, 1.00002, variations=False).verdict is gradcheck.Verdict.FAIL
