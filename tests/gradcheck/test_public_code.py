"""Kinds of code that public repositories are full of, each right and with a fault."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import Function

import gradcheck

DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(0)


def _leaf(*shape: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


def _turned(factor: float):
    class Turned(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w, len(x) * torch.linalg.slogdet(w)[1]

        @staticmethod
        def backward(ctx, g, gd):
            x, w = ctx.saved_tensors
            return factor * g @ w.mT, x.mT @ g + gd * len(x) * torch.linalg.inv(w).mT

    return Turned.apply


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_output_that_is_but_rounding_hides_no_other(dtype):
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=dtype))[0].contiguous().requires_grad_()
    report = gradcheck.verify(_turned(1.0), _leaf(3, 4, dtype=dtype), rotation)
    assert report.ok, str(report)
    report = gradcheck.verify(_turned(1.01), _leaf(3, 4, dtype=dtype), rotation)
    assert [p.verdict.value for p in report.parameters.values()] == ["fail", "pass"]


def _settled(step, start, tolerance):
    for _ in range(300):
        new = step(start)
        if (new - start).norm() < tolerance * (1 + new.norm()):
            return new
        start = new
    return start


class Equilibrium(nn.Module):
    """A fixed point whose gradient is solved for in a hook, as it is taught; ``factor`` is a mistake."""

    def __init__(self, tolerance: float, factor: float = 1.0) -> None:
        super().__init__()
        self.w = nn.Parameter(0.2 * torch.randn(5, 5, dtype=DOUBLE))
        self.tolerance, self.factor = tolerance, factor

    def step(self, z, x):
        return torch.tanh(z @ self.w + x)

    def forward(self, x):
        with torch.no_grad():
            z = _settled(lambda z: self.step(z, x), torch.zeros_like(x), self.tolerance)
        z = self.step(z, x)
        at = z.detach().requires_grad_()
        again = self.step(at, x)

        def solve(g):
            def step(y):
                return self.factor * torch.autograd.grad(again, at, y, retain_graph=True)[0] + g

            return _settled(step, g, self.tolerance)

        z.register_hook(solve)
        return z


@pytest.mark.parametrize("tolerance", [1e-10, 1e-6])
def test_a_solution_with_a_hook_is_as_right_as_its_tolerance(tolerance):
    report = gradcheck.verify(Equilibrium(tolerance), _leaf(3, 5))
    assert report.ok, str(report)


def test_a_hook_that_solves_for_something_else_is_blamed():
    report = gradcheck.verify(Equilibrium(1e-10, 0.8), _leaf(3, 5))
    assert report.verdict == "fail"
    assert any("solve" in blame.operation for blame in report.blames)


def _pooled(factor: float):
    class Pooled(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x @ x.mT

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return (factor * (g + g.mT) @ x).float()

    return Pooled.apply


def test_a_gradient_rounded_to_single_precision_is_imprecise_under_every_circumstance():
    report = gradcheck.verify(_pooled(1.0), _leaf(2, 3, 4))
    assert report.ok, str(report)
    assert "single-precision rounding" in str(report)
    assert gradcheck.verify(_pooled(1.001), _leaf(2, 3, 4)).verdict == "fail"


class Scaled(Function):
    @staticmethod
    def forward(ctx, x, w, factor):
        ctx.save_for_backward(x, w)
        ctx.factor = factor
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return None if ctx.factor is None else ctx.factor * g * w, (g * x).sum(0), None


class First(nn.Module):
    def __init__(self, factor) -> None:
        super().__init__()
        self.w, self.factor = nn.Parameter(torch.randn(4, dtype=DOUBLE)), factor

    def forward(self, x):
        return Scaled.apply(x, self.w, self.factor)


@pytest.mark.parametrize("factor", [1.0, 0.0, None])
def test_inputs_without_a_gradient_are_none_of_the_first_layers_faults(factor):
    report = gradcheck.verify(First(factor), torch.randn(3, 4, dtype=DOUBLE))
    assert report.ok, str(report)


def test_a_wrong_gradient_of_inputs_that_nobody_asked_for_is_found_in_a_first_layer():
    report = gradcheck.verify(First(1.5), torch.randn(3, 4, dtype=DOUBLE))
    (found,) = [v for v in report.variations if v.verdict == "fail"]
    assert found.name == "requires_grad subsets"
    assert "where inputs require grad, too, the gradient of inputs[0] is wrong" in found.message
    assert found.message.endswith("Scaled.backward")


class Recomputed(Function):
    @staticmethod
    def forward(ctx, module, x, *parameters):
        ctx.module, ctx.state = module, torch.get_rng_state()
        ctx.save_for_backward(x)
        return module(x)

    @classmethod
    def gradients(cls, ctx, g):
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = ctx.module(x)
        return (None, *torch.autograd.grad(y, [x, *ctx.module.parameters()], g))

    @classmethod
    def backward(cls, ctx, g):
        now = torch.get_rng_state()
        torch.set_rng_state(ctx.state)
        try:
            return cls.gradients(ctx, g)
        finally:
            torch.set_rng_state(now)


class DrawnAnew(Recomputed):
    @classmethod
    def backward(cls, ctx, g):
        return cls.gradients(ctx, g)


class Checkpointed(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 4)).double()
        self.function = function

    def forward(self, x):
        return self.function.apply(self.layers, x, *self.layers.parameters())


def test_a_backward_pass_that_refuses_frozen_parameters_is_not_wrong_and_says_so():
    report = gradcheck.verify(Checkpointed(Recomputed), _leaf(5, 4))
    assert report.ok, str(report)
    (subsets,) = [v for v in report.variations if v.name == "requires_grad subsets"]
    assert "does not require grad: is it meant to work there?" in subsets.message


def test_random_numbers_drawn_anew_in_a_backward_pass_are_remarked():
    report = gradcheck.verify(Checkpointed(DrawnAnew), _leaf(5, 4))
    assert report.verdict == "fail"
    assert any("the backward pass draws random numbers" in note for note in report.notes)


def _attention(keep: float, factor: float = 1.0):
    class Attention(Function):
        @staticmethod
        def forward(ctx, q, k, v):
            s = q @ k.mT
            e = torch.exp(s - s.amax(-1, keepdim=True))
            p = e / (e.sum(-1, keepdim=True) + keep)
            ctx.save_for_backward(q, k, v, p, p @ v)
            return p @ v

        @staticmethod
        def backward(ctx, g):
            q, k, v, p, o = ctx.saved_tensors
            d = p * (g @ v.mT - (g * o).sum(-1, keepdim=True))
            return d @ k, factor * d.mT @ q, p.mT @ g

    return Attention.apply


def test_what_keeps_a_softmax_from_zero_is_not_held_against_it_where_it_saturates():
    given = (_leaf(2, 5, 4), _leaf(2, 5, 4), _leaf(2, 5, 4))
    report = gradcheck.verify(_attention(1e-10), *given)
    assert report.ok, str(report)
    assert gradcheck.verify(_attention(1e-10, 1.001), *given).verdict == "fail"
    assert gradcheck.verify(_attention(1e-4), *given).verdict == "fail"


class Sign(Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, g):
        return g


def test_a_surrogate_gradient_is_told_how_it_is_declared():
    report = gradcheck.verify(Sign.apply, _leaf(3, 4))
    assert report.verdict == "fail"
    assert any("allow={'inputs[0]': 'straight-through'}" in note for note in report.notes)
    declared = gradcheck.verify(Sign.apply, _leaf(3, 4), allow={"inputs[0]": "straight-through"})
    assert declared.ok
    assert not any("move in steps" in note for note in declared.notes)


def test_what_outputs_do_not_feel_moves_in_no_steps():
    def centred(x, b):
        y = x + b
        return y - y.mean(0).detach()

    report = gradcheck.verify(centred, _leaf(5, 3), _leaf(3))
    assert report.verdict == "fail"
    assert not any("move in steps" in note for note in report.notes)


class Derived(Function):
    """Differentiates inside, and leaves at once where nobody asks: other calls without grad than with it."""

    @staticmethod
    def forward(ctx, x, factor):
        wanted = x.requires_grad
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = torch.logaddexp(torch.zeros_like(x), x - 4)
            if not wanted:
                return y.detach()
            y.backward(torch.ones_like(y))
            ctx.save_for_backward(factor * x.grad)
            return y.detach()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0], None


def test_a_forward_pass_that_makes_other_calls_without_grad_is_searched_all_the_same():
    report = gradcheck.verify(Derived.apply, _leaf(3, 4), 1.0)
    assert report.ok, str(report)
    report = gradcheck.verify(Derived.apply, _leaf(3, 4), 1.01)
    assert report.verdict == "fail"
    assert report.blame is not None
    assert report.blame.operation == "Derived.backward"
    assert not any("could not be searched" in note for note in report.notes)


@pytest.mark.parametrize(("off", "verdict"), [(5e-10, "pass"), (5e-9, "fail")])
def test_next_to_nothing_in_one_entry_passes_and_is_told(off, verdict):
    slopes = torch.tensor([1.0, 0.0, -0.5], dtype=DOUBLE)

    class Linear(Function):
        @staticmethod
        def forward(ctx, x):
            return x * slopes

        @staticmethod
        def backward(ctx, g):
            return g * (slopes + off * torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE))

    report = gradcheck.verify(Linear.apply, _leaf(3), effort="every", variations=False)
    assert report.verdict == verdict, str(report)
    assert ("imprecise: off by" in str(report)) == (verdict == "pass")
    strict = gradcheck.verify(Linear.apply, _leaf(3), effort="every", variations=False, rtol=1e-6)
    assert strict.verdict == "fail", str(strict)
