"""Right while everything requires grad; wrong once something is frozen."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal, positive

_row = partial(TorchFault, "subsets of requires_grad", needs="requires_grad subsets")


def linear():
    class Linear(Function):
        @staticmethod
        def forward(ctx, x, w, b):
            ctx.save_for_backward(x, w)
            return x @ w + b

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = dw = db = None
            if ctx.needs_input_grad[0]:
                dx = g @ w.T
            if ctx.needs_input_grad[1]:
                dw = x.T @ g
            if ctx.needs_input_grad[2]:
                db = g.sum(0)
            return dx, dw, db

    arguments = (normal(3, 4), normal(4, 2, seed=1), normal(2, seed=2))
    return Program(Linear.apply, arguments, lambda x, w, b: x @ w + b)


def quotient():
    class Quotient(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a / b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            da = g / b
            return (da, -da * a / b)

    return Program(Quotient.apply, (normal(3, 4), positive(3, 4, seed=1)), torch.div)


def fused():
    class FusedMultiplyAdd(Function):
        @staticmethod
        def forward(ctx, a, b, c):
            ctx.save_for_backward(a, b)
            return a * b + c

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g * b, g * a, g

    arguments = (normal(3, 4), normal(3, 4, seed=1), normal(3, 4, seed=2))
    return Program(FusedMultiplyAdd.apply, arguments, lambda a, b, c: a * b + c)


class _Adapted(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.base, self.head = nn.Linear(4, 3).double(), nn.Linear(3, 2).double()

    def forward(self, x):
        return self.head(self.base(x).tanh())


def adapted():
    class Adapted(_Adapted):
        def forward(self, x):
            hidden = self.base(x).tanh()
            trained = hidden.requires_grad
            return self.head(hidden if trained else hidden.detach())

    return Program(Adapted(), (normal(5, 4),), _Adapted())


FAULTS = (
    _row("the weight's gradient hangs on the input's", linear, "if ctx.needs_input_grad[1]:",
         "if ctx.needs_input_grad[0]:"),
    _row("nothing is done where the input is constant", linear, "dx = dw = db = None",
         "dx = dw = db = None\n            if not ctx.needs_input_grad[0]:\n"
         "                return None, None, None"),
    _row("a frozen weight takes the bias with it", linear, "if ctx.needs_input_grad[2]:",
         "if all(ctx.needs_input_grad[1:]):"),
    _row("the denominator's gradient uses the numerator's, which may be absent", quotient,
         "da = g / b", "da = g / b if ctx.needs_input_grad[0] else torch.zeros_like(g)"),
    _row("gradients that are not needed are left out of the tuple", quotient, "return (da, -da * a / b)",
         "return tuple(d for d, n in zip((da, -da * a / b), ctx.needs_input_grad) if n)"),
    _row("what is saved depends on what is needed, by the wrong index", fused, "return g * b, g * a, g",
         "return g * (b if ctx.needs_input_grad[1] else 1), g * a, g"),
    _row("the summand is doubled where it is alone", fused, "return g * b, g * a, g",
         "return g * b, g * a, g * (1 if any(ctx.needs_input_grad[:2]) else 2)"),
    _row("a frozen layer cuts the path to the input", adapted, "trained = hidden.requires_grad",
         "trained = self.base.weight.requires_grad", blame=None),
)  # fmt: skip
