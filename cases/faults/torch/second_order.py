"""Right in first order; differentiated again, a constant."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "second order only", needs="second order", options=MappingProxyType({"order": 2}))


def sine():
    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            slope = x.cos()
            return g * slope

    return Program(Sine.apply, (normal(3, 4),), torch.sin)


def product():
    class Product(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

    return Program(Product.apply, (normal(3, 4), normal(3, 4, seed=1)), torch.mul)


def nested():
    class SineBackward(Function):
        @staticmethod
        def forward(ctx, g, x):
            ctx.save_for_backward(g, x)
            return g * x.cos()

        @staticmethod
        def backward(ctx, h):
            g, x = ctx.saved_tensors
            return h * x.cos(), -h * g * x.sin()

    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return SineBackward.apply(g, x)

    return Program(Sine.apply, (normal(3, 4),), torch.sin)


def hyperbolic():
    class Hyperbolic(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.tanh()
            ctx.save_for_backward(y)
            ctx.y = y.detach()
            return y

        @staticmethod
        def backward(ctx, g):
            y = ctx.saved_tensors[0]
            return g * (1 - y * y)

    return Program(Hyperbolic.apply, (normal(3, 4),), torch.tanh)


FAULTS = (
    _row("the input is detached", sine, "x.cos()", "x.detach().cos()"),
    _row("the slope is computed by NumPy", sine, "x.cos()",
         "torch.from_numpy(__import__('numpy').cos(x.detach().numpy()))"),
    _row("the slope is computed without grad", sine, "slope = x.cos()", "slope = x.data.cos()"),
    _row("the cotangent is detached", sine, "g * slope", "g.detach() * slope"),
    _row("the backward pass is differentiable once", sine, "        @staticmethod\n        def backward",
         "        @staticmethod\n        @torch.autograd.function.once_differentiable\n        def backward"),
    _row("the other factor is detached", product, "return g * y,", "return g * y.detach(),"),
    _row("the backward pass has a wrong backward pass", nested, "-h * g * x.sin()", "h * g * x.sin()",
         blame="SineBackward.backward"),
    _row("the backward pass has no gradient for the cotangent", nested, "return h * x.cos(),", "return None,",
         blame="SineBackward.backward"),
    _row("the output is kept without its history", hyperbolic, "y = ctx.saved_tensors[0]", "y = ctx.y"),
)  # fmt: skip
