"""Contributions that must add up: repeated indices, overlapping windows, one tensor in two places."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import integers, normal

_row = partial(TorchFault, "repeated indices and aliased inputs")


def lookup(distinct=False):
    class Lookup(Function):
        @staticmethod
        def forward(ctx, table, index):
            ctx.save_for_backward(index)
            ctx.shape = table.shape
            return table[index]

        @staticmethod
        def backward(ctx, g):
            (index,) = ctx.saved_tensors
            grad = g.new_zeros(ctx.shape)
            grad.index_add_(0, index.flatten(), g.flatten(0, -2))
            return grad, None

    index = torch.tensor([[3, 1, 5], [0, 4, 2]]) if distinct else torch.tensor([[3, 1, 3], [0, 3, 1]])
    return Program(Lookup.apply, (normal(6, 4), index), lambda table, index: table[index])


def gathered():
    class Gathered(Function):
        @staticmethod
        def forward(ctx, x, index):
            ctx.save_for_backward(index)
            ctx.shape = x.shape
            return x.gather(1, index)

        @staticmethod
        def backward(ctx, g):
            (index,) = ctx.saved_tensors
            return g.new_zeros(ctx.shape).scatter_add_(1, index, g), None

    return Program(Gathered.apply, (normal(3, 4), integers(4, 3, 6)), lambda x, index: x.gather(1, index))


def bag():
    class Bag(Function):
        @staticmethod
        def forward(ctx, table, words):
            ctx.save_for_backward(words)
            ctx.shape = table.shape
            return table[words].mean(0)

        @staticmethod
        def backward(ctx, g):
            (words,) = ctx.saved_tensors
            share = (g / len(words)).expand(len(words), -1)
            return g.new_zeros(ctx.shape).index_add_(0, words, share), None

    words = torch.tensor([1, 4, 1, 2, 4, 1])
    return Program(Bag.apply, (normal(6, 3), words), lambda table, words: table[words].mean(0))


def windows():
    class Windows(Function):
        @staticmethod
        def forward(ctx, x, size):
            ctx.size, ctx.length = size, x.shape[0]
            return x.unfold(0, size, 1).clone()

        @staticmethod
        def backward(ctx, g):
            grad = g.new_zeros(ctx.length)
            for i in range(ctx.length - ctx.size + 1):
                grad[i : i + ctx.size] += g[i]
            return grad, None

    return Program(Windows.apply, (normal(9), 3), lambda x, size: x.unfold(0, size, 1).clone())


def product():
    class Product(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            same = x.data_ptr() == y.data_ptr()
            return (2 * g * x if same else g * y), (None if same else g * x)

    return Program(Product.apply, (normal(3, 4), normal(3, 4, seed=1)), torch.mul)


def scores():
    class Scores(Function):
        @staticmethod
        def forward(ctx, q, k):
            ctx.save_for_backward(q, k)
            return q @ k.mT

        @staticmethod
        def backward(ctx, g):
            q, k = ctx.saved_tensors
            dq = g @ k
            dk = g.mT @ q
            return dq, dk

    return Program(Scores.apply, (normal(4, 4), normal(4, 4, seed=1)), lambda q, k: q @ k.mT)


def segment_sums():
    class SegmentSquares(Function):
        @staticmethod
        def forward(ctx, x, segment):
            total = x.new_zeros(3).index_add_(0, segment, x)
            ctx.save_for_backward(total, segment)
            return total**2

        @staticmethod
        def backward(ctx, g):
            total, segment = ctx.saved_tensors
            return (2 * g * total)[segment], None

    def plain(x, segment):
        return (torch.nn.functional.one_hot(segment, 3).to(x.dtype).T @ x) ** 2

    segment = torch.tensor([0, 2, 2, 1, 0, 2, 1])
    return Program(SegmentSquares.apply, (normal(7), segment), plain)


FAULTS = (
    _row("of repeated rows only the last counts", lookup,
         "grad.index_add_(0, index.flatten(), g.flatten(0, -2))",
         "grad[index.flatten()] += g.flatten(0, -2)", diagnosis=("partial", "missing-term")),
    _row("of repeated rows only the last counts, and none is repeated here", lookup,
         "grad.index_add_(0, index.flatten(), g.flatten(0, -2))",
         "grad[index.flatten()] += g.flatten(0, -2)", needs="repeated indices",
         given={"distinct": True}),
    _row("scattered without adding", gathered, "scatter_add_", "scatter_"),
    _row("a word that occurs twice in a bag counts once", bag, "(words,) = ctx.saved_tensors",
         "words = ctx.saved_tensors[0].unique()"),
    _row("overlapping windows overwrite each other", windows, "] += g[i]", "] = g[i]"),
    _row("a square taken for a product: the factor 2 is missing", product, "2 * g * x if same",
         "g * x if same",
         needs="same tensor twice"),
    _row("shared queries and keys are differentiated once", scores, "dk = g.mT @ q",
         "dk = None if q.data_ptr() == k.data_ptr() else g.mT @ q", needs="same tensor twice"),
    _row("entries of a segment share its gradient", segment_sums, "(2 * g * total)[segment]",
         "(2 * g * total / torch.bincount(segment, minlength=3))[segment]"),
)  # fmt: skip
