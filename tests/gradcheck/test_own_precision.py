"""How many digits survive in the user's own number format, and whose fault it is."""

from __future__ import annotations

import pytest
import torch

from gradcheck import own_precision, verify
from gradcheck.examination import Examination
from gradcheck.report.records import Verdict
from gradcheck.subjects.torch import TorchSubject


class Narrow(torch.autograd.Function):
    """Squares, whose gradient is times ``factor`` wherever it is computed in less than float64."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g * (1 if x.dtype is torch.float64 else ctx.factor), None


def kept(function, x, *more):
    with TorchSubject(function, (x, *more), double=True) as subject:
        subject.start()
        exam = Examination(subject, 0)
        return own_precision.compare(subject, exam, exam.pull())["inputs[0]"]


def leaf(dtype=torch.float32):
    return torch.linspace(0.5, 2.0, 12, dtype=dtype).requires_grad_()


@pytest.mark.parametrize(("dtype", "least", "most"), [("float32", 6, 9), ("float16", 2.5, 5)])
def test_a_right_gradient_keeps_the_digits_of_its_format(dtype, least, most):
    found = kept(torch.sin, leaf(getattr(torch, dtype)))
    assert (found.verdict, found.message) == (Verdict.PASS, "")
    assert least < found.digits < most


@pytest.mark.parametrize("factor", [1.5, -1.0, 1.02, float("nan")])
def test_a_gradient_that_is_right_in_double_precision_only_fails(factor):
    found = kept(Narrow.apply, leaf(), factor)
    assert found.verdict is Verdict.FAIL
    assert "right in float64, but the gradient computed in float32 is off by" in found.message


def test_what_a_coarse_format_may_be_off_by_a_finer_one_may_not():
    assert kept(Narrow.apply, leaf(torch.bfloat16), 1.05).verdict is Verdict.PASS
    assert kept(Narrow.apply, leaf(torch.float32), 1.05).verdict is Verdict.FAIL


def test_digits_lost_without_need_are_a_note():
    found = kept(Narrow.apply, leaf(), 1.001)
    assert found.verdict is Verdict.PASS
    assert found.message.startswith("imprecise: 3.0 digits survive in float32")


def test_digits_lost_by_rounding_the_inputs_are_no_fault():
    found = kept(lambda x: torch.sin(1e4 * x), leaf())
    assert found.verdict is Verdict.PASS
    assert found.message.startswith("ill-conditioned in float32")


def test_the_users_tensors_are_as_they_were():
    x = leaf()
    before = x.detach().clone()
    kept(torch.sin, x)
    assert x.dtype is torch.float32
    assert torch.equal(x.detach(), before)
    assert x.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("factor", [2.0, 0.0, -1.0])
def test_a_gradient_wrong_in_half_precision_only_fails(dtype, factor):
    assert kept(Narrow.apply, leaf(dtype), factor).verdict is Verdict.FAIL


def test_a_gradient_that_is_zero_has_no_digits_that_could_be_lost():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4))
    bias = verify(model, torch.randn(8, 5), variations=False).parameters["0.bias"]
    assert bias.digits is None
    assert bias.vanishes
    assert len(bias.notes) == 1
