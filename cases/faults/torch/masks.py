"""Masks, padding and branches that the two passes see differently."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "masks and padding")


def relu():
    class ReLU(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (x > 0)

    return Program(ReLU.apply, (normal(4, 5),), torch.relu)


def clipped():
    class Clipped(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(-0.5, 0.5)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            inside = (x > -0.5) & (x < 0.5)
            return g * inside

    return Program(Clipped.apply, (normal(4, 5),), lambda x: x.clamp(-0.5, 0.5))


def dropout():
    class Dropout(Function):
        @staticmethod
        def forward(ctx, x, mask, rate):
            ctx.save_for_backward(mask)
            ctx.rate = rate
            return x * mask / (1 - rate)

        @staticmethod
        def backward(ctx, g):
            (mask,) = ctx.saved_tensors
            return g * mask / (1 - ctx.rate), None, None

    mask = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], dtype=torch.bool)
    return Program(Dropout.apply, (normal(3, 4), mask, 0.4), lambda x, mask, rate: x * mask / (1 - rate))


def causal_average():
    class CausalAverage(Function):
        @staticmethod
        def forward(ctx, scores, x):
            seen = torch.ones_like(scores).tril()
            weights = scores.exp() * seen
            ctx.save_for_backward(scores, x)
            return weights @ x

        @staticmethod
        def backward(ctx, g):
            scores, x = ctx.saved_tensors
            seen = torch.ones_like(scores).tril(0)
            weights = scores.exp() * seen
            return (g @ x.T) * weights, weights.T @ g

    def plain(scores, x):
        return scores.exp().tril() @ x

    return Program(CausalAverage.apply, (normal(5, 5), normal(5, 3, seed=1)), plain)


def masked_cross_entropy():
    class MaskedCrossEntropy(Function):
        @staticmethod
        def forward(ctx, logits, labels):
            ctx.save_for_backward(logits, labels)
            return F.cross_entropy(logits, labels, ignore_index=-1)

        @staticmethod
        def backward(ctx, g):
            logits, labels = ctx.saved_tensors
            kept = labels >= 0
            grad = logits.softmax(-1) - F.one_hot(labels.clamp(min=0), logits.shape[1])
            return g * grad * kept.unsqueeze(-1) / kept.sum(), None

    labels = torch.tensor([2, -1, 0, 1, -1, 3])
    arguments = (normal(6, 4), labels)
    return Program(MaskedCrossEntropy.apply, arguments, lambda f, t: F.cross_entropy(f, t, ignore_index=-1))


def ragged_mean():
    class RaggedMean(Function):
        @staticmethod
        def forward(ctx, x, lengths):
            inside = torch.arange(x.shape[1]) < lengths.unsqueeze(-1)
            ctx.save_for_backward(lengths)
            ctx.width = x.shape[1]
            return (x * inside).sum(1) / lengths

        @staticmethod
        def backward(ctx, g):
            (lengths,) = ctx.saved_tensors
            inside = torch.arange(ctx.width) < lengths.unsqueeze(-1)
            return inside * (g / lengths).unsqueeze(-1), None

    def plain(x, lengths):
        return torch.stack([row[:n].mean() for row, n in zip(x, lengths.tolist(), strict=True)])

    return Program(RaggedMean.apply, (normal(4, 5), torch.tensor([5, 2, 3, 1])), plain)


def pooled():
    class Pooled(Function):
        @staticmethod
        def forward(ctx, x):
            y, at = F.max_pool1d(x, 2, return_indices=True)
            ctx.save_for_backward(at)
            ctx.shape = x.shape
            return y

        @staticmethod
        def backward(ctx, g):
            (at,) = ctx.saved_tensors
            return g.new_zeros(ctx.shape).scatter_(-1, at, g)

    return Program(Pooled.apply, (normal(2, 3, 8),), lambda x: F.max_pool1d(x, 2))


def chosen():
    class Chosen(Function):
        @staticmethod
        def forward(ctx, condition, a, b):
            ctx.save_for_backward(condition)
            return torch.where(condition, a, b)

        @staticmethod
        def backward(ctx, g):
            (condition,) = ctx.saved_tensors
            return None, g * condition, g * ~condition

    condition = torch.tensor([[True, False, True], [False, False, True]])
    return Program(Chosen.apply, (condition, normal(2, 3), normal(2, 3, seed=1)), torch.where)


FAULTS = (
    _row("the mask is taken from the cotangent", relu, "g * (x > 0)", "g * (g > 0)"),
    _row("guided backpropagation", relu, "g * (x > 0)", "g * (x > 0) * (g > 0)", diagnosis=("masked",)),
    _row("no mask at all", relu, "g * (x > 0)", "g", diagnosis=("masked",)),
    _row("the mask of the other sign", relu, "g * (x > 0)", "g * (x < 0)"),
    _row("entries outside the bounds get the gradient, too", clipped, "return g * inside", "return g",
         diagnosis=("masked",)),
    _row("only the upper bound is minded", clipped, "(x > -0.5) & (x < 0.5)", "x < 0.5",
         diagnosis=("masked",)),
    _row("the mask of dropout is drawn anew", dropout, "(mask,) = ctx.saved_tensors",
         "mask = torch.rand(g.shape) > ctx.rate"),
    _row("the kept entries are not scaled up", dropout, "mask / (1 - ctx.rate)", "mask",
         diagnosis=("scale",)),
    _row("dropped entries get the gradient, too", dropout, "g * mask /", "g /", diagnosis=("masked",)),
    _row("the causal mask is one off", causal_average, "tril(0)", "tril(-1)"),
    _row("the causal mask is missing", causal_average, "torch.ones_like(scores).tril(0)",
         "torch.ones_like(scores)"),
    _row("ignored labels count in the mean", masked_cross_entropy, "/ kept.sum()", "/ kept.numel()",
         diagnosis=("scale",)),
    _row("ignored rows get a gradient", masked_cross_entropy, "grad * kept.unsqueeze(-1)", "grad",
         diagnosis=("partial", "masked")),
    _row("the mean over the padded length", ragged_mean, "(g / lengths)", "(g / ctx.width)",
         diagnosis=("scale",)),
    _row("padding gets a gradient", ragged_mean, "return inside *", "return torch.ones_like(inside) *"),
    _row("the maximum is always the first of its window", pooled, "(at,) = ctx.saved_tensors",
         "at = ctx.saved_tensors[0] // 2 * 2"),
    _row("the branch not taken gets the gradient, too", chosen, "g * ~condition", "g", diagnosis=("masked",
         "partial")),
)  # fmt: skip
