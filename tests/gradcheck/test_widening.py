"""Casts to narrower formats inside a forward pass: verified with wide numbers in their place."""

import numpy as np
import pytest
import torch
from torch import nn

import gradcheck


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(5)


class RmsNorm(torch.autograd.Function):
    """In float32 whatever it is given, as kernels are; ``factor`` belongs to the term through the mean."""

    @staticmethod
    def forward(ctx, x, w, factor, narrow):
        wide = x.to(narrow)
        r = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        ctx.save_for_backward(x, w, r)
        ctx.factor, ctx.narrow = factor, narrow
        return (wide * r).to(x.dtype) * w

    @staticmethod
    def backward(ctx, g):
        x, w, r = ctx.saved_tensors
        y, h = x.to(ctx.narrow) * r, g.to(ctx.narrow) * w.to(ctx.narrow)
        along = ctx.factor * (h * y).mean(-1, keepdim=True)
        gw = (g.to(ctx.narrow) * y).sum(tuple(range(g.ndim - 1)))
        return (r * (h - y * along)).to(x.dtype), gw.to(w.dtype), None, None


def _norm(dtype: torch.dtype, factor: float = 1.0, narrow: torch.dtype = torch.float32) -> gradcheck.Report:
    x, w = (torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((3, 4, 16), (16,)))
    return gradcheck.verify(RmsNorm.apply, x, w, factor, narrow)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_kernel_that_sums_in_float32_is_right(dtype):
    report = _norm(dtype)
    assert report.ok, str(report)
    bars = [p.comparisons["finite differences"].uncertainty for p in report.parameters.values()]
    assert max(bars) < 1e-8


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("factor", [0.0, 1.0001])
def test_and_a_wrong_one_is_wrong(dtype, factor):
    assert _norm(dtype, factor).parameters["inputs[0]"].verdict == "fail"


def test_the_report_says_so_and_keeps_the_digits_of_the_user():
    report = _norm(torch.float64)
    assert any("computes in narrower formats inside" in note for note in report.notes)
    assert 5 < report.parameters["inputs[0]"].digits < 9


class Llama(nn.Module):
    """Casts by name, by keyword and by the dtype of another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(8) + 0.5)
        self.mix = nn.Linear(8, 8)

    def forward(self, x):
        wide = x.float()
        normed = self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).type_as(x)
        mask = torch.full((4, 4), torch.finfo(x.dtype).min, dtype=x.dtype).triu(1)
        scores = normed @ self.mix(normed).mT + mask
        return scores.softmax(-1, dtype=torch.float32).to(x.dtype) @ normed


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_modules_that_cast(dtype):
    report = gradcheck.verify(Llama().to(dtype), torch.randn(2, 4, 8, dtype=dtype))
    assert report.ok, str(report)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cast", [torch.Tensor.bfloat16, torch.Tensor.half])
def test_an_output_that_is_cast_at_a_point_that_the_narrow_format_holds(dtype, cast):
    report = gradcheck.verify(lambda x: cast(x) * 2, torch.ones(3, dtype=dtype, requires_grad=True))
    assert report.ok, str(report)


def test_what_is_only_saved_in_half_precision_is_still_seen():
    class Compressed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x.half())
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].to(g.dtype).cos()

    report = gradcheck.verify(Compressed.apply, torch.randn(6, dtype=torch.float64, requires_grad=True))
    assert report.verdict == "fail"


def test_formats_that_do_not_mix_with_float64_run_wide():
    def function(x):
        return torch.eye(3, dtype=torch.float32) @ x.float()

    report = gradcheck.verify(function, torch.randn(3, 2, requires_grad=True))
    assert report.ok, str(report)
    assert not any("does not run in float64" in note for note in report.notes)


class Kernel(torch.autograd.Function):
    """The same where no cast can be seen: computed by other code, in float32."""

    @staticmethod
    def _narrow(*tensors):
        return [t.detach().numpy().astype(np.float32) for t in tensors]

    @staticmethod
    def forward(ctx, x, w, factor):
        (a,) = Kernel._narrow(x)
        r = 1 / np.sqrt((a * a).mean(-1, keepdims=True) + np.float32(1e-6))
        ctx.save_for_backward(x, w)
        ctx.r, ctx.factor = r, np.float32(factor)
        return torch.from_numpy(a * r).to(x.dtype) * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        a, u, b = Kernel._narrow(x, g, w)
        y, h = a * ctx.r, u * b
        gx = ctx.r * (h - ctx.factor * y * (h * y).mean(-1, keepdims=True))
        gw = (u * y).sum(tuple(range(u.ndim - 1)))
        return torch.from_numpy(gx).to(x.dtype), torch.from_numpy(np.asarray(gw)).to(w.dtype), None


@pytest.mark.filterwarnings("ignore:Mean of empty", "ignore:invalid value")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (0.0, "fail"), (1.1, "fail")])
def test_a_kernel_whose_casts_are_hidden_is_measured(dtype, factor, verdict):
    x, w = (torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((5, 8), (8,)))
    report = gradcheck.verify(Kernel.apply, x, w, factor)
    assert report.verdict == verdict, str(report)
    assert any("computes in float32 inside" in note for note in report.notes)


def test_everything_is_put_back():
    _norm(torch.float64)
    assert torch.ones(1, dtype=torch.float64).float().dtype is torch.float32
    assert torch.get_default_dtype() is torch.float32


class Dropped(torch.nn.Module):
    """A layer that computes its loss in float32, as language models do, and drops entries before."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(6, 8)

    def forward(self, x):
        kept = torch.nn.functional.dropout(self.layer(x), 0.3)
        return torch.log_softmax(kept.float(), -1).square().mean()


def test_what_is_dropped_is_the_same_in_every_run():
    report = gradcheck.verify(Dropped(), torch.randn(5, 6))
    assert report.ok, str(report)
    assert report.cost.forward_evaluations < 100


class Bias(torch.autograd.Function):
    """Sums the gradient of the bias in float32, as many kernels do for narrower formats."""

    @staticmethod
    def forward(ctx, x, b, factor):
        ctx.factor = factor
        return x + b

    @staticmethod
    def backward(ctx, g):
        return g, (ctx.factor * g.float().sum(0)).to(g.dtype), None


class Saved(torch.autograd.Function):
    """Saves its result in float32, whatever it is computed in."""

    @staticmethod
    def forward(ctx, x, b, factor):
        y = torch.tanh(x + b)
        ctx.factor = factor
        ctx.save_for_backward(y.to(torch.float32))
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        gx = ctx.factor * g * (1 - y * y).to(g.dtype)
        return gx, gx.sum(0), None


@pytest.mark.parametrize("function", [Bias, Saved])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_casts_that_only_gradients_feel_are_no_fault(function, dtype):
    x, b = (torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((6, 4), (4,)))
    report = gradcheck.verify(function.apply, x, b, 1.0)
    assert report.ok, report


@pytest.mark.parametrize("function", [Bias, Saved])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_wrong_factor_beside_such_casts_is_one(function, dtype):
    x, b = (torch.randn(shape, dtype=dtype).requires_grad_() for shape in ((6, 4), (4,)))
    assert not gradcheck.verify(function.apply, x, b, 1.01, variations=False).ok
