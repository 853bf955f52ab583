"""Right almost everywhere: wrong where an entry is exactly zero, or equal to another."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal, positive

_row = partial(TorchFault, "exact values and ties")


def signed_square():
    class SignedSquare(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x.abs()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x.abs()

    return Program(SignedSquare.apply, (normal(3, 4),), lambda x: x * x.abs())


def sinc():
    class Sinc(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sinc(x / torch.pi)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            slope = (x.cos() - x.sin() / x) / x
            return g * torch.where(x == 0, 0.0, slope)

    return Program(Sinc.apply, (normal(3, 4),), lambda x: torch.sinc(x / torch.pi))


def row_maximum():
    class RowMaximum(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.amax(-1, keepdim=True)
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            first = (x == y).to(x.dtype)
            return g * (first / first.sum(-1, keepdim=True))

    return Program(RowMaximum.apply, (normal(4, 5),), lambda x: x.amax(-1, keepdim=True))


def larger():
    class Larger(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return torch.maximum(a, b)

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            share = (a > b) + 0.5 * (a == b)
            return g * share, g * (1 - share)

    return Program(Larger.apply, (normal(3, 4), normal(3, 4, seed=1)), torch.maximum)


def sorted_rows():
    class SortedRows(Function):
        @staticmethod
        def forward(ctx, x):
            y, order = x.sort(dim=-1, stable=True)
            ctx.save_for_backward(x, y, order)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y, order = ctx.saved_tensors
            rank = order.argsort(-1)
            return g.gather(-1, rank)

    return Program(SortedRows.apply, (normal(3, 6),), lambda x: x.sort(dim=-1, stable=True)[0])


def relative_growth():
    class RelativeGrowth(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.where(x == 0, 1.0, x.expm1() / x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            slope = (x.exp() - x.expm1() / x) / x
            return g * torch.where(x == 0, 0.5, slope)

    def series(x):
        near = 1 + x / 2 + x * x / 6
        away = torch.where(x == 0, 1.0, x)
        return torch.where(x == 0, near, away.expm1() / away)

    return Program(RelativeGrowth.apply, (normal(3, 4),), series)


def softsign():
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


def sparse_product():
    class SparseProduct(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * w, g * x

    return Program(SparseProduct.apply, (normal(3, 4), normal(3, 4, seed=1)), torch.mul)


def times_logarithm():
    class TimesLogarithm(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return torch.special.xlogy(x, y)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y.log(), g * torch.where(x == 0, 0.0, x / y)

    return Program(TimesLogarithm.apply, (normal(3, 4), positive(3, 4)), lambda x, y: x * y.log())


FAULTS = (
    _row("x|x| has slope 1 at zero", signed_square, "2 * x.abs()",
         "torch.where(x == 0, 1.0, 2 * x.abs())", needs="zeros"),
    _row("sin(x)/x has slope 1 at zero", sinc, "x == 0, 0.0", "x == 0, 1.0", needs="zeros"),
    _row("each of the tied maxima gets the whole gradient", row_maximum,
         "first / first.sum(-1, keepdim=True)", "first", needs="ties"),
    _row("where two are equal, one gets all and the other too", larger, "(1 - share)", "(b >= a)",
         needs="zeros"),
    _row("positions in the sorted row are looked up by value", sorted_rows, "order.argsort(-1)",
         "torch.searchsorted(y, x)", needs="ties"),
    _row("(exp(x) - 1)/x has slope 1 at zero", relative_growth, "x == 0, 0.5", "x == 0, 1.0", needs="zeros"),
    _row("the derivative of |x| is squared, and is zero at zero", softsign, "g / (1",
         "g * x.sign() ** 2 / (1",
         needs="zeros"),
    _row("zero entries are taken for absent ones", sparse_product, "return g * w,",
         "return g * w * (x != 0),",
         needs="zeros"),
    _row("x log y has no slope in x at zero", times_logarithm, "g * y.log(),",
         "g * torch.where(x == 0, 0.0, y.log()),", needs="zeros"),
)  # fmt: skip
