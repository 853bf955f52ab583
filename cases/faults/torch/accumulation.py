"""Gradients that remember: earlier calls, earlier points, the dice."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "accumulation and nondeterminism")


def accumulating():
    kept = {}

    class Logarithm(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.square().log1p()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            grad = g * 2 * x / (1 + x * x)
            kept["last"] = grad
            return grad

    return Program(Logarithm.apply, (normal(3, 4),), lambda x: x.square().log1p())


def cached():
    cache = {}

    class Cached(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            cache["slope"] = x.cos()
            return g * cache["slope"]

    return Program(Cached.apply, (normal(3, 4),), torch.sin)


def stochastic():
    class Softsign(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x / (1 + x.abs())

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g / (1 + x.abs()) ** 2

    return Program(Softsign.apply, (normal(3, 4),), torch.nn.functional.softsign)


def of_the_class():
    class Exponential(Function):
        @staticmethod
        def forward(ctx, x):
            Exponential.last = x.detach().clone()
            ctx.kept = Exponential.last
            return x.exp()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.kept.exp()

    return Program(Exponential.apply, (normal(3, 4),), torch.exp)


def of_the_module():
    class Scaled(Function):
        @staticmethod
        def forward(ctx, x, w, layer):
            layer.x = x.detach()
            ctx.save_for_backward(x, w)
            ctx.layer = layer
            return x * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * w, (g * x).sum(0), None

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.linspace(0.5, 1.5, 4, dtype=torch.float64))

        def forward(self, x):
            return x * self.w

    class Layer(Plain):
        def forward(self, x):
            return Scaled.apply(x, self.w, self)

    return Program(Layer(), (normal(3, 4),), Plain())


def stacked():
    stack = []

    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            stack.append(x.detach())
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.cos()

    return Program(Sine.apply, (normal(3, 4),), torch.sin)


FAULTS = (
    _row("each call adds to what the call before left", accumulating, 'kept["last"] = grad',
         'grad = kept["last"] = grad + kept.get("last", 0)', diagnosis=("accumulated", "nondeterministic"),
         needs="repeated backward"),
    _row("a running mean of the gradient is returned", accumulating, 'kept["last"] = grad',
         'grad = kept["last"] = grad / 2 + kept.get("last", grad) / 2',
         needs="linearity"),
    _row("the gradient is divided by the number of calls", accumulating, 'kept["last"] = grad',
         'kept["calls"] = kept.get("calls", 0) + 1; grad = grad / kept["calls"]',
         diagnosis=("accumulated", "nondeterministic"), needs="repeated backward"),
    _row("the first slope is kept for good", cached, 'cache["slope"] = x.cos()',
         'cache.setdefault("slope", x.cos())', needs="other points"),
    _row("slopes are cached by shape", cached, 'cache["slope"] = x.cos()',
         'cache["slope"] = cache.setdefault(x.shape, x.cos())', needs="other points"),
    _row("noise is added to the gradient", stochastic, "return g / (1 + x.abs()) ** 2",
         "return g / (1 + x.abs()) ** 2 + 1e-3 * torch.randn_like(g)", diagnosis=("nondeterministic",)),
    _row("scaled by chance, by Python's dice", stochastic, "return g / (1 + x.abs()) ** 2",
         "return (1 + __import__('random').random()) * g / (1 + x.abs()) ** 2",
         diagnosis=("nondeterministic",)),
    _row("every other call has the other sign", accumulating, 'kept["last"] = grad',
         'kept["sign"] = -kept.get("sign", -1); grad = kept["sign"] * grad',
         diagnosis=("accumulated", "nondeterministic"), needs="repeated backward"),
    _row("the class keeps its last input, and no call its own", of_the_class, "g * ctx.kept.exp()",
         "g * Exponential.last.exp()", needs="repeated backward"),
    _row("the layer keeps its last input, and no call its own", of_the_module, "(g * x).sum(0)",
         "(g * ctx.layer.x).sum(0)", needs="repeated backward"),
    _row("the last input on a stack is taken", stacked, "g * x.cos()", "g * stack[-1].cos()",
         needs="repeated backward"),
)  # fmt: skip
