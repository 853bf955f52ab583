"""Sums over broadcast axes, and the counts that come with means and variances."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "broadcasting and reductions")


def linear():
    class Linear(Function):
        @staticmethod
        def forward(ctx, x, w, b):
            ctx.save_for_backward(x, w)
            return x @ w.T + b

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g @ w, g.T @ x, g.sum(0)

    arguments = (normal(4, 4), normal(4, 4, seed=1), normal(4, seed=2))
    return Program(Linear.apply, arguments, lambda x, w, b: x @ w.T + b)


def scalar_gain():
    class ScalarGain(Function):
        @staticmethod
        def forward(ctx, x, gain):
            ctx.save_for_backward(x, gain)
            return x * gain

        @staticmethod
        def backward(ctx, g):
            x, gain = ctx.saved_tensors
            return g * gain, (g * x).sum()

    return Program(ScalarGain.apply, (normal(3, 4), normal(seed=1)), torch.mul)


def square_softmax():
    class SquareSoftmax(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.softmax(-1)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return y * (g - (g * y).sum(-1, keepdim=True))

    return Program(SquareSoftmax.apply, (normal(4, 4),), lambda x: x.softmax(-1))


def row_means():
    class RowMeans(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.square().mean(-1)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g.unsqueeze(-1) / x.shape[-1]

    return Program(RowMeans.apply, (normal(4, 4),), lambda x: x.square().mean(-1))


def variance():
    class Variance(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.var(0)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * (x - x.mean(0)) / (x.shape[0] - 1)

    return Program(Variance.apply, (normal(6, 3),), lambda x: x.var(0))


def outer_sum():
    class OuterSum(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return (a + b).sin()

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            inner = g * (a + b).cos()
            return inner.sum(1, keepdim=True), inner.sum(0)

    return Program(OuterSum.apply, (normal(4, 1), normal(4, seed=1)), lambda a, b: (a + b).sin())


def batch_norm():
    class BatchNorm(Function):
        @staticmethod
        def forward(ctx, x, gain, bias):
            deviation = (x.var((0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
            normed = (x - x.mean((0, 2), keepdim=True)) / deviation
            ctx.save_for_backward(normed, deviation, gain)
            return normed * gain[:, None] + bias[:, None]

        @staticmethod
        def backward(ctx, g):
            normed, deviation, gain = ctx.saved_tensors
            dn = g * gain[:, None]
            axes = (0, 2)
            mean, along = dn.mean(axes, keepdim=True), (dn * normed).mean(axes, keepdim=True)
            return (dn - mean - normed * along) / deviation, (g * normed).sum((0, 2)), g.sum((0, 2))

    def plain(x, gain, bias):
        return torch.nn.functional.batch_norm(x, None, None, gain, bias, training=True)

    return Program(BatchNorm.apply, (normal(4, 3, 5), normal(3, seed=1), normal(3, seed=2)), plain)


FAULTS = (
    _row("the bias is summed over the wrong axis", linear, "g.sum(0)", "g.sum(1)"),
    _row("the bias gets the mean of the batch", linear, "g.sum(0)", "g.mean(0)", diagnosis=("scale",)),
    _row("the bias gets the first sample's", linear, "g.sum(0)", "g[0]"),
    _row("a scalar gets the mean instead of the sum", scalar_gain, "(g * x).sum()", "(g * x).mean()",
         diagnosis=("scale",)),
    _row("keepdim is missing, and the sums are broadcast along rows", square_softmax,
         ".sum(-1, keepdim=True)",
         ".sum(-1)"),
    _row("summed over columns instead of rows", square_softmax, ".sum(-1, keepdim=True)",
         ".sum(0, keepdim=True)"),
    _row("the rows' cotangents are spread over columns", row_means, "g.unsqueeze(-1)", "g"),
    _row("the mean over rows divides by all entries", row_means, "/ x.shape[-1]", "/ x.numel()",
         diagnosis=("scale",)),
    _row("n in place of n - 1", variance, "(x.shape[0] - 1)", "x.shape[0]", diagnosis=("scale",)),
    _row("the mean of another axis is taken off", variance, "x.mean(0)", "x.mean(1, keepdim=True)"),
    _row("both terms of an outer sum get the sum over rows", outer_sum, "inner.sum(1, keepdim=True)",
         "inner.sum(0).unsqueeze(-1)"),
    _row("a gradient of another shape is returned", outer_sum, "inner.sum(0)", "inner.sum(1, keepdim=True)",
         diagnosis=("shape",)),
    _row("statistics over the batch alone, not over space", batch_norm, "axes = (0, 2)", "axes = (0,)"),
    _row("the gain is summed over the batch, and averaged over space", batch_norm, "(g * normed).sum((0, 2))",
         "(g * normed).mean(2).sum(0)", diagnosis=("scale",)),
)  # fmt: skip
