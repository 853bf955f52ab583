"""Leaves that a callable is not given and does not own: verified where the outputs' graph ends in them."""

import functools

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import gradcheck

DOUBLE = torch.float64


def product(factor):
    """Return w * x, whose gradient for w is ``factor`` times the true one."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * w, factor * g * x

    return Product.apply


class Holder:
    def __init__(self, w):
        self.w = w


class Listed(torch.nn.Module):
    def __init__(self, call, w):
        super().__init__()
        self.call, self.ws, self.v = call, [w], torch.nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.call(x * self.v, self.ws[0])


class Outer(torch.nn.Module):
    def __init__(self, call, w):
        super().__init__()
        self.inner = Listed(call, w)

    def twice(self, x):
        return 2 * self.inner(x)


def cases(call, dtype):
    w, x = (torch.randn(4, dtype=dtype).requires_grad_() for _ in range(2))
    parameter = torch.nn.Parameter(torch.randn(4, dtype=dtype))
    return {
        "w": (lambda x: call(x, w), (x,)),
        "parameter": (lambda x: call(x, parameter), (x,)),
        "inputs[1].w": (lambda x, held: call(x, held.w), (x, Holder(w))),
        "ws[0]": (Listed(call, w).to(dtype), (x,)),
        "inner.ws[0]": (Outer(call, w).to(dtype).twice, (x,)),
        "keyword": (functools.partial(lambda x, keyword: call(x, keyword), keyword=w), (x,)),
    }


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", list(cases(product(1), DOUBLE)))
def test_a_wrong_gradient_of_a_leaf_found_elsewhere_is_named(name, dtype):
    function, args = cases(product(2), dtype)[name]
    report = gradcheck.verify(function, *args)
    assert report.parameters[name].verdict is gradcheck.Verdict.FAIL
    assert report.parameters["inputs[0]"].verdict is gradcheck.Verdict.PASS
    assert any(note.endswith(f"ends there: {name}") for note in report.notes)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", list(cases(product(1), DOUBLE)))
def test_a_right_one_passes_and_is_left_as_it_was(name, dtype):
    function, args = cases(product(1), dtype)[name]
    report = gradcheck.verify(function, *args)
    assert report.ok, report
    assert name in report.parameters


def test_a_leaf_keeps_its_values_and_has_no_grad_afterwards():
    w, x = (torch.randn(3).requires_grad_() for _ in range(2))
    before = w.detach().clone()
    assert gradcheck.verify(lambda x: (x * w).sin(), x).ok
    assert torch.equal(w, before)
    assert w.dtype is torch.float32
    assert w.grad is None
    assert w.requires_grad


def test_parameters_of_a_module_in_a_closure_are_verified_beside_an_input():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    report = gradcheck.verify(lambda x: model(x).tanh(), torch.randn(4, 3, requires_grad=True))
    assert report.ok
    assert set(report.parameters) == {"inputs[0]", "model.weight", "model.bias"}


def test_a_teacher_that_gets_no_gradient_is_not_asked_for_one():
    torch.manual_seed(0)
    teacher = torch.nn.Linear(3, 2)

    def loss(x):
        with torch.no_grad():
            target = teacher(torch.ones(4, 3))
        return ((x - target) ** 2).mean()

    report = gradcheck.verify(loss, torch.randn(4, 2, requires_grad=True))
    assert report.ok
    assert set(report.parameters) == {"inputs[0]"}


def test_leaves_that_a_run_makes_are_its_own_affair():
    def penalty(x):
        inner = torch.ones(3, dtype=DOUBLE, requires_grad=True)
        return (x * inner).sum() + inner.sum()

    report = gradcheck.verify(penalty, torch.randn(3, dtype=DOUBLE, requires_grad=True))
    assert report.ok
    assert set(report.parameters) == {"inputs[0]"}
    assert not report.notes


def test_two_leaves_of_one_name_are_both_kept():
    w = torch.randn(3, dtype=DOUBLE, requires_grad=True)
    pair = [torch.randn(3, dtype=DOUBLE, requires_grad=True) for _ in range(2)]
    report = gradcheck.verify(
        lambda x: x * w * pair[0] * pair[1], torch.randn(3, dtype=DOUBLE, requires_grad=True)
    )
    assert report.ok
    assert set(report.parameters) == {"inputs[0]", "w", "pair[0]", "pair[1]"}


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_reentrant_checkpoint_hides_is_said(reentrant):
    linear = torch.nn.Linear(3, 3).double()

    def inner(x):
        return linear(x).tanh()

    report = gradcheck.verify(
        lambda x: checkpoint(inner, x, use_reentrant=reentrant),
        torch.randn(3, dtype=torch.float64, requires_grad=True),
        variations=False,
    )
    assert report.ok
    assert any("reentrant checkpoint hides" in note for note in report.notes) == reentrant
    assert (len(report.parameters) > 1) != reentrant
