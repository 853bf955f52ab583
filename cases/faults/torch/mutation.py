"""Tensors changed in place that somebody else still needs."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "saved tensors mutated")


def exponential():
    class Exponential(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.kept = y.clone()
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.kept

    def tripled(x):
        return Exponential.apply(x).mul_(3)

    return Program(tripled, (normal(3, 4),), lambda x: 3 * x.exp())


def shared_workspace():
    workspace = torch.zeros(3, 4, dtype=torch.float64)

    class Squared(Function):
        @staticmethod
        def forward(ctx, x):
            workspace.resize_(x.shape).copy_(x)
            ctx.kept = workspace.clone()
            return workspace * workspace

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.kept

    def twice(x, y):
        return Squared.apply(x) + Squared.apply(y)

    return Program(twice, (normal(3, 4), normal(3, 4, seed=1)), lambda x, y: x * x + y * y)


def hyperbolic():
    class Hyperbolic(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.slope = 1 - x.tanh() ** 2
            return x.tanh()

        @staticmethod
        def backward(ctx, g):
            return ctx.slope * g

    return Program(Hyperbolic.apply, (normal(3, 4),), torch.tanh)


def cosine():
    class Cosine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.cos()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * -x.sin()

    return Program(Cosine.apply, (normal(3, 4),), torch.cos)


def added_twice():
    class Added(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + 2 * b

        @staticmethod
        def backward(ctx, g):
            return g, 2 * g

    def both(a, b):
        return Added.apply(a.sin(), b.sin())

    return Program(both, (normal(3, 4), normal(3, 4, seed=1)), lambda a, b: a.sin() + 2 * b.sin())


def shifted_square():
    class ShiftedSquare(Function):
        @staticmethod
        def forward(ctx, x):
            shifted = x.clone()
            shifted += 1
            ctx.save_for_backward(shifted)
            return shifted * shifted

        @staticmethod
        def backward(ctx, g):
            (shifted,) = ctx.saved_tensors
            return 2 * g * shifted

    return Program(ShiftedSquare.apply, (normal(3, 4),), lambda x: (x + 1) ** 2)


def normalised_weight():
    class Product(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dw = x.T @ g
            return g @ w.T, dw

    return Program(Product.apply, (normal(3, 4), normal(4, 2, seed=1)), torch.matmul)


def cross_entropy():
    class CrossEntropy(Function):
        @staticmethod
        def forward(ctx, logits, labels):
            p = logits.softmax(-1)
            ctx.save_for_backward(p, labels)
            return -p.gather(1, labels[:, None])[:, 0].log()

        @staticmethod
        def backward(ctx, g):
            p, labels = ctx.saved_tensors
            grad = p.clone()
            grad[torch.arange(len(labels)), labels] -= 1
            return grad * g[:, None], None

    arguments = (normal(5, 4), torch.tensor([0, 3, 1, 1, 2]))
    return Program(CrossEntropy.apply, arguments, partial(F.cross_entropy, reduction="none"))


FAULTS = (
    _row("the output is kept, and then tripled in place", exponential, "y.clone()", "y",
         diagnosis=("scale",)),
    _row("two calls share one workspace", shared_workspace, "workspace.clone()", "workspace",
         diagnosis=("swapped",)),
    _row("backward multiplies what it kept in place", hyperbolic, "return ctx.slope * g",
         "return ctx.slope.mul_(g)",
         needs="repeated backward"),
    _row("backward multiplies its cotangent in place", cosine, "g * -x.sin()", "g.mul_(-x.sin())",
         needs="nothing changed in place"),
    _row("backward takes the sine of its input in place", cosine, "g * -x.sin()", "-g * x.data.sin_()",
         needs="nothing changed in place"),
    _row("one cotangent is returned twice, and doubled in place", added_twice, "return g, 2 * g",
         "return g, g.mul_(2)", diagnosis=("scale",)),
    _row("the input is shifted in place", shifted_square, "shifted = x.clone()", "shifted = x.data",
         needs="nothing changed in place"),
    _row("backward scales the weight in place", normalised_weight, "return g @ w.T, dw",
         "return (g @ w.T, dw, w.data.mul_(0.5))[:2]",
         needs="nothing changed in place"),
    _row("the labels are subtracted from the saved probabilities in place", cross_entropy, "p.clone()", "p",
         needs="repeated backward"),
    _row("the cotangent is zeroed after use", normalised_weight, "return g @ w.T, dw",
         "return (g @ w.T, dw, g.zero_())[:2]", needs="nothing changed in place"),
)  # fmt: skip
