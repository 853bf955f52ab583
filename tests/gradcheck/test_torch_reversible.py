"""Backward passes that call backward() themselves: their parameters' gradients come by way of .grad only."""

import pytest
import torch

import gradcheck


class Coupling(torch.autograd.Function):
    """Two streams, as in RevNets; the inputs are computed again from the outputs."""

    @staticmethod
    def forward(ctx, x1, x2, f, g, share):
        ctx.f, ctx.g, ctx.share = f, g, share
        with torch.no_grad():
            y1 = x1 + f(x2)
            y2 = x2 + g(y1)
        ctx.save_for_backward(y1, y2)
        return y1, y2

    @staticmethod
    def backward(ctx, u1, u2):
        y1, y2 = (saved.detach() for saved in ctx.saved_tensors)
        with torch.enable_grad():
            inner = y1.requires_grad_()
            added = ctx.g(inner)
            torch.autograd.backward(added, u2)
        x2, u1 = (y2 - added).detach(), u1 + ctx.share * inner.grad
        with torch.enable_grad():
            outer = x2.requires_grad_()
            torch.autograd.backward(ctx.f(outer), u1)
        return u1, u2 + outer.grad, None, None, None


class Reversible(torch.nn.Module):
    def __init__(self, share=1.0):
        super().__init__()
        self.share, self.into = share, torch.nn.Linear(3, 4)
        self.f = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
        self.g = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())

    def forward(self, x):
        one, other = Coupling.apply(*self.into(x).chunk(2, -1), self.f, self.g, self.share)
        return one * other


NOTE = "a backward pass calls backward() itself: gradients were read from .grad"


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def x(request):
    torch.manual_seed(0)
    return torch.randn(5, 3, dtype=request.param)


def test_a_reversible_network_is_right(x):
    report = gradcheck.verify(Reversible().to(x.dtype), x)
    assert report.ok, str(report)
    assert NOTE in report.notes
    assert len(report.parameters) == 6


def test_a_wrong_one_is_blamed_on_its_backward_pass(x):
    report = gradcheck.verify(Reversible(share=0.5).to(x.dtype), x)
    assert {name for name, p in report.parameters.items() if p.verdict == "fail"} == {
        "into.weight",
        "into.bias",
        "f.0.weight",
        "f.0.bias",
    }
    assert report.blame.operation == "Coupling.backward"
    assert "without receiving it" not in str(report)


def test_the_users_gradients_stay(x):
    model = Reversible().to(x.dtype)
    model(x).sum().backward()
    before = [(p.grad, p.grad.clone()) for p in model.parameters()]
    assert gradcheck.verify(model, x).ok
    for p, (gradient, values) in zip(model.parameters(), before, strict=True):
        assert p.grad is gradient
        assert torch.equal(gradient, values)
    model(x).sum().backward()
    assert all(
        torch.allclose(p.grad, 2 * values) for p, (_, values) in zip(model.parameters(), before, strict=True)
    )


def test_without_an_input_that_requires_grad_the_path_is_cut(x):
    torch.manual_seed(0)
    f, g = torch.nn.Linear(2, 2).to(x.dtype), torch.nn.Linear(2, 2).to(x.dtype)

    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.f, self.g, self.out = f, g, torch.nn.Linear(2, 1).to(x.dtype)

        def forward(self, x):
            one, other = Coupling.apply(x[:, :2], x[:, 1:], self.f, self.g, 1.0)
            return self.out(one * other)

    report = gradcheck.verify(Cut(), x)
    assert report.parameters["f.weight"].verdict == "fail"
    assert report.parameters["f.weight"].diagnoses[0].kind == "severed"
