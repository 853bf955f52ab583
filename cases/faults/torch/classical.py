"""What everybody gets wrong once: signs, transposes, factors, the wrong derivative, the wrong place."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import integers, normal, positive

_row = partial(TorchFault, "classical mistakes")


def difference():
    class Difference(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a - b

        @staticmethod
        def backward(ctx, g):
            return g, -g

    return Program(Difference.apply, (normal(3, 4), normal(3, 4, seed=1)), torch.sub)


def product():
    class Product(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = g @ w.T
            dw = x.T @ g
            return dx, dw

    return Program(Product.apply, (normal(4, 4), normal(4, 4, seed=1)), torch.matmul)


def bilinear():
    class Bilinear(Function):
        @staticmethod
        def forward(ctx, x, y, w):
            ctx.save_for_backward(x, y, w)
            return x @ w @ y

        @staticmethod
        def backward(ctx, g):
            x, y, w = ctx.saved_tensors
            return g * (w @ y), g * (w.T @ x), g * torch.outer(x, y)

    arguments = (normal(4), normal(4, seed=1), normal(4, 4, seed=2))
    return Program(Bilinear.apply, arguments, lambda x, y, w: x @ w @ y)


def sigmoid():
    class Sigmoid(Function):
        @staticmethod
        def forward(ctx, x):
            s = x.sigmoid()
            ctx.save_for_backward(x, s)
            return s

        @staticmethod
        def backward(ctx, g):
            x, s = ctx.saved_tensors
            return g * s * (1 - s)

    return Program(Sigmoid.apply, (normal(3, 4),), torch.sigmoid)


def hyperbolic():
    class Hyperbolic(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.tanh()
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * (1 - y**2)

    return Program(Hyperbolic.apply, (normal(3, 4),), torch.tanh)


def cross_entropy():
    class CrossEntropy(Function):
        @staticmethod
        def forward(ctx, logits, labels):
            ctx.save_for_backward(logits, labels)
            return torch.nn.functional.cross_entropy(logits, labels)

        @staticmethod
        def backward(ctx, g):
            logits, labels = ctx.saved_tensors
            grad = logits.softmax(-1)
            grad[torch.arange(len(labels)), labels] -= 1
            return g * grad / len(labels), None

    return Program(CrossEntropy.apply, (normal(5, 3), integers(3, 5)), torch.nn.functional.cross_entropy)


def cosine():
    class Cosine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.cos()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            grad = -g * x.sin()
            return grad

    return Program(Cosine.apply, (normal(3, 4),), torch.cos)


def quotient():
    class Quotient(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a / b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g / b, -g * a / (b * b)

    return Program(Quotient.apply, (normal(3, 4), positive(3, 4, seed=1)), torch.div)


def wave():
    class Wave(Function):
        @staticmethod
        def forward(ctx, x, frequency):
            ctx.save_for_backward(x, frequency)
            return (frequency * x).sin()

        @staticmethod
        def backward(ctx, g):
            x, frequency = ctx.saved_tensors
            inner = g * (frequency * x).cos()
            return inner * frequency, inner * x

    arguments = (normal(3, 4), positive(3, 4, seed=1))
    return Program(Wave.apply, arguments, lambda x, frequency: (frequency * x).sin())


FAULTS = (
    _row("the subtrahend's gradient has the wrong sign", difference, "return g, -g", "return g, g",
         diagnosis=("sign",)),
    _row("the weight's gradient is transposed", product, "dw = x.T @ g", "dw = g.T @ x",
         diagnosis=("transposed",)),
    _row("the weight is not transposed", product, "dx = g @ w.T", "dx = g @ w"),
    _row("the two gradients are returned in the wrong order", product, "return dx, dw", "return dw, dx",
         diagnosis=("swapped",)),
    _row("the outer product the wrong way round", bilinear, "torch.outer(x, y)", "torch.outer(y, x)",
         diagnosis=("transposed",)),
    _row("the matrix is not transposed for the second vector", bilinear, "w.T @ x", "w @ x"),
    _row("the sigmoid's slope at the sigmoid", sigmoid, "s * (1 - s)", "s.sigmoid() * (1 - s.sigmoid())"),
    _row("s (1 - x) for s (1 - s)", sigmoid, "(1 - s)", "(1 - x)"),
    _row("1 - x^2 for 1 - tanh(x)^2", hyperbolic, "y**2", "x**2"),
    _row("1 - tanh(x) for 1 - tanh(x)^2", hyperbolic, "y**2", "y"),
    _row("cross entropy is not divided by the batch", cross_entropy, "g * grad / len(labels)", "g * grad",
         diagnosis=("scale",)),
    _row("the label is not subtracted", cross_entropy, "labels] -= 1", "labels] -= 0",
         diagnosis=("missing-term", "partial", "masked")),
    _row("the cosine's derivative has the wrong sign", cosine, "-g * x.sin()", "g * x.sin()",
         diagnosis=("sign",)),
    _row("the derivative is not the sine but the cosine", cosine, "x.sin()", "x.cos()"),
    _row("the gradient is zero", cosine, "return grad", "return torch.zeros_like(grad)",
         diagnosis=("severed",)),
    _row("too large by 0.01%", cosine, "return grad", "return 1.0001 * grad", diagnosis=("scale",)),
    _row("one entry is half as large again", cosine, "return grad",
         "return grad + 0.5 * grad * (torch.arange(grad.numel()).reshape(grad.shape) == 6)",
         diagnosis=("partial",)),
    _row("rows in reverse order", cosine, "return grad", "return grad.flip(0)", diagnosis=("permuted",)),
    _row("the sign of the quotient rule", quotient, "-g * a / (b * b)", "g * a / (b * b)",
         diagnosis=("sign",)),
    _row("the denominator is not squared", quotient, "a / (b * b)", "a / b"),
    _row("the inner derivative is missing", wave, "return inner * frequency,", "return inner,"),
    _row("the inner derivative twice", wave, "return inner * frequency,", "return inner * frequency**2,"),
)  # fmt: skip
