"""What shows at one value or one size only: edges of a domain, empty rows, blocks, widths to divide."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import integers, normal, positive

_row = partial(TorchFault, "values and sizes at an edge")


def opaque_layers():
    class OpaqueLayers(Function):
        """Layers behind each other: how much light passes all of them, and what each one keeps."""

        @staticmethod
        def forward(ctx, alpha):
            passing = torch.cat([torch.ones_like(alpha[:1]), (1 - alpha).cumprod(0)])
            ctx.save_for_backward(alpha, passing)
            return passing[:-1] * alpha

        @staticmethod
        def backward(ctx, g):
            alpha, passing = ctx.saved_tensors
            grad = torch.zeros_like(alpha)
            behind = g.new_zeros(g.shape[1:])
            for i in reversed(range(len(alpha))):
                grad[i] = passing[i] * (g[i] - behind)
                behind = g[i] * alpha[i] + (1 - alpha[i]) * behind
            return grad

    def plain(alpha):
        kept, passing = [], torch.ones_like(alpha[0])
        for layer in alpha:
            kept.append(passing * layer)
            passing = passing * (1 - layer)
        return torch.stack(kept)

    return Program(OpaqueLayers.apply, (positive(4, 3),), plain)


def clamped_position():
    class ClampedPosition(Function):
        """Read between two pixels, at positions kept within the row from -1 to 1."""

        @staticmethod
        def forward(ctx, pixels, where):
            n = pixels.shape[-1]
            x = ((where + 1) / 2 * (n - 1)).clamp(0, n - 1)
            left = x.floor().long().clamp(max=n - 2)
            ctx.save_for_backward(pixels, where, x, left)
            share = x - left
            return pixels.gather(-1, left) * (1 - share) + pixels.gather(-1, left + 1) * share

        @staticmethod
        def backward(ctx, g):
            pixels, where, x, left = ctx.saved_tensors
            n = pixels.shape[-1]
            share = x - left
            dpixels = torch.zeros_like(pixels)
            dpixels = dpixels.scatter_add(-1, left, g * (1 - share)).scatter_add(-1, left + 1, g * share)
            slope = pixels.gather(-1, left + 1) - pixels.gather(-1, left)
            inside = (where > -1) & (where < 1)
            return dpixels, g * slope * inside * (n - 1) / 2

    def plain(pixels, where):
        n = pixels.shape[-1]
        x = ((where + 1) / 2 * (n - 1)).clamp(0, n - 1)
        left = x.detach().floor().long().clamp(max=n - 2)
        share = x - left
        inside = (where > -1) & (where < 1)
        share = torch.where(inside, share, share.detach())
        return pixels.gather(-1, left) * (1 - share) + pixels.gather(-1, left + 1) * share

    return Program(ClampedPosition.apply, (normal(2, 6), normal(2, 8, seed=1)), plain)


def masked_softmax():
    class MaskedSoftmax(Function):
        """Rows without any key are zero."""

        @staticmethod
        def forward(ctx, s, keys):
            kept = s.masked_fill(~keys, -math.inf)
            total = kept.logsumexp(-1, keepdim=True)
            p = (kept - total).exp().masked_fill(~keys, 0)
            ctx.save_for_backward(s, keys, total, p)
            return p

        @staticmethod
        def backward(ctx, g):
            s, keys, total, p = ctx.saved_tensors
            return p * (g - (g * p).sum(-1, keepdim=True)), None

    def plain(s, keys):
        shifted = (s - s.detach().amax(-1, keepdim=True)).exp() * keys
        total = shifted.sum(-1, keepdim=True)
        return shifted / torch.where(total > 0, total, 1)

    keys = normal(4, 5, seed=1).detach() > -0.7
    return Program(MaskedSoftmax.apply, (normal(4, 5), keys), plain)


def mean_of_lengths():
    class MeanOfLengths(Function):
        """The mean of the first so many entries of each row; zero where there is none."""

        @staticmethod
        def forward(ctx, x, lengths):
            kept = torch.arange(x.shape[1]) < lengths.unsqueeze(-1)
            ctx.save_for_backward(x, lengths)
            return (x * kept).sum(-1) / lengths.clamp(min=1)

        @staticmethod
        def backward(ctx, g):
            x, lengths = ctx.saved_tensors
            kept = torch.arange(x.shape[1]) < lengths.unsqueeze(-1)
            return (g / lengths.clamp(min=1)).unsqueeze(-1) * kept, None

    def plain(x, lengths):
        kept = torch.arange(x.shape[1]) < lengths.unsqueeze(-1)
        return (x * kept).sum(-1) / lengths.clamp(min=1)

    return Program(MeanOfLengths.apply, (normal(4, 5), 1 + integers(5, 4)), plain)


def row_sums_in_blocks(columns=6):
    class RowSumsInBlocks(Function):
        """Squares summed along rows."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.square().sum(-1)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            width = x.shape[-1]
            return 2 * x * g.unsqueeze(-1)

    return Program(RowSumsInBlocks.apply, (normal(3, columns),), lambda x: x.square().sum(-1))


def column_sums_in_blocks(rows=5):
    class ColumnSums(Function):
        """A bias added to each row."""

        @staticmethod
        def forward(ctx, x, bias):
            return x + bias

        @staticmethod
        def backward(ctx, g):
            rows = len(g)
            return g, g.sum(0)

    return Program(ColumnSums.apply, (normal(rows, 3), normal(3, seed=1)), torch.add)


def paired_channels(channels=8):
    class PairedChannels(Function):
        """Halves of the channels, one gating the other; in blocks of four pairs."""

        @staticmethod
        def forward(ctx, x):
            if x.shape[-1] % 2:
                raise ValueError(f"Expected pairs of channels, got {x.shape[-1]} channels.")
            ctx.save_for_backward(x)
            a, b = x.chunk(2, -1)
            return a * b.sigmoid()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            a, b = x.chunk(2, -1)
            s = b.sigmoid()
            da, db = torch.zeros_like(a), torch.zeros_like(b)
            pairs = a.shape[-1]
            for start in range(0, pairs, 4):
                block = slice(start, start + 4)
                da[..., block] = g[..., block] * s[..., block]
                db[..., block] = (g * a * s * (1 - s))[..., block]
            return torch.cat([da, db], -1)

    def plain(x):
        a, b = x.chunk(2, -1)
        return a * b.sigmoid()

    return Program(PairedChannels.apply, (normal(3, channels),), plain)


def logarithmic_mean():
    class LogarithmicMean(Function):
        """(a - b) / (log a - log b), and a where both are equal."""

        @staticmethod
        def forward(ctx, a, b):
            if not bool((a > 0).all() and (b > 0).all()):
                raise ValueError("Expected positive numbers.")
            equal = a == b
            gap = torch.where(equal, 1.0, a.log() - b.log())
            ctx.save_for_backward(a, b)
            return torch.where(equal, a, (a - b) / gap)

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            equal = a == b
            gap = torch.where(equal, 1.0, a.log() - b.log())
            da = torch.where(equal, 0.5, (gap - (a - b) / a) / gap**2)
            db = torch.where(equal, 0.5, ((a - b) / b - gap) / gap**2)
            return g * da, g * db

    def plain(a, b):
        # the mean of a^t b^(1 - t) over t, by enough points of Gauss and Legendre
        points = torch.tensor(_LEGENDRE, dtype=a.dtype)
        t, weight = (1 + points[:, 0]) / 2, points[:, 1] / 2
        shape = (-1,) + (1,) * a.ndim
        t, weight = t.view(shape), weight.view(shape)
        return (weight * (t * a.log() + (1 - t) * b.log()).exp()).sum(0)

    return Program(LogarithmicMean.apply, (positive(3, 4), positive(3, 4, seed=1)), plain)


def _legendre():
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(12)
    return list(zip(nodes.tolist(), weights.tolist(), strict=True))


_LEGENDRE = _legendre()


def scaled_residual(alpha=1.0):
    class ScaledResidual(Function):
        @staticmethod
        def forward(ctx, x, branch, alpha, beta):
            ctx.alpha, ctx.beta = alpha, beta
            return alpha * x + beta * branch

        @staticmethod
        def backward(ctx, g):
            return ctx.alpha * g, ctx.beta * g, None, None

    def plain(x, branch, alpha, beta):
        return alpha * x + beta * branch

    return Program(ScaledResidual.apply, (normal(3, 4), normal(3, 4, seed=1), alpha, 1.0), plain)


def hard_sigmoid():
    class HardSigmoid(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return F.relu6(x + 3) / 6

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g / 6 * ((x > -3) & (x < 3))

    return Program(HardSigmoid.apply, (normal(3, 4),), lambda x: F.relu6(x + 3) / 6)


def embedding(last=3):
    class Embedding(Function):
        @staticmethod
        def forward(ctx, table, tokens):
            ctx.save_for_backward(tokens)
            ctx.shape = table.shape
            return table[tokens]

        @staticmethod
        def backward(ctx, g):
            (tokens,) = ctx.saved_tensors
            grad = g.new_zeros(ctx.shape)
            grad.index_add_(0, tokens.flatten(), g.flatten(0, 1))
            return grad, None

    return Program(Embedding.apply, (normal(7, 3), torch.tensor([[0, 2], [1, last]])), lambda t, i: t[i])


def concatenation(second=4):
    class Concatenation(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.first = a.shape[1]
            return torch.cat([a, b], 1)

        @staticmethod
        def backward(ctx, g):
            first = ctx.first
            return g[:, :first], g[:, first:]

    def plain(a, b):
        return torch.cat([a, b], 1)

    return Program(Concatenation.apply, (normal(3, 4), normal(3, second, seed=1)), plain)


FAULTS = (
    _row("what passes a layer as what passes it and the next over 1 - alpha", opaque_layers,
         "grad[i] = passing[i] *", "grad[i] = passing[i + 1] / (1 - alpha[i]) *", needs="ties"),
    _row("a position at the last pixel has the slope to a black one", clamped_position,
         "inside = (where > -1) & (where < 1)\n            return dpixels, g * slope",
         "inside = (where >= -1) & (where <= 1)\n            slope = torch.where(where == 1, "
         "-8 * pixels[:, -1:], slope)\n            return dpixels, g * slope", needs="ties"),
    _row("a row without keys is normalised by nothing", masked_softmax,
         "return p * (g - (g * p).sum(-1, keepdim=True)), None",
         "p = (s.masked_fill(~keys, -math.inf) - total).exp()\n            "
         "return p * (g - (g * p).sum(-1, keepdim=True)), None", needs="whole and empty masks"),
    _row("a row of no entries is divided by its length", mean_of_lengths, "(g / lengths.clamp(min=1))",
         "(g / lengths)", needs="zero indices"),
    _row("only the first 1024 columns are done", row_sums_in_blocks, "return 2 * x * g.unsqueeze(-1)",
         "return 2 * x * g.unsqueeze(-1) * (torch.arange(width) < 1024)", needs="other sizes",
         reveal={"columns": 1100}),
    _row("rows of more than 2048 columns take another path", row_sums_in_blocks,
         "return 2 * x * g.unsqueeze(-1)", "return (2 if width <= 2048 else 1) * x * g.unsqueeze(-1)",
         needs="other sizes", reveal={"columns": 2100}),
    _row("with more than 128 rows a part of them is not added", column_sums_in_blocks, "return g, g.sum(0)",
         "return g, g[:128].sum(0)", needs="other sizes", reveal={"rows": 200}),
    _row("pairs after the last whole block are left out", paired_channels, "range(0, pairs, 4)",
         "range(0, pairs - pairs % 4, 4)", needs="other sizes", reveal={"channels": 10}),
    _row("equal arguments are divided by their difference", logarithmic_mean,
         "da = torch.where(equal, 0.5, (gap - (a - b) / a) / gap**2)",
         "gap = a.log() - b.log()\n            da = (gap - (a - b) / a) / gap**2", needs="same tensor twice"),
    _row("the residual's factor is forgotten, and is 1 here", scaled_residual, "ctx.alpha * g, ctx.beta * g",
         "g, ctx.beta * g", needs="other settings", reveal={"alpha": 0.5}),
    _row("beyond three the slope goes on", hard_sigmoid, "g / 6 * ((x > -3) & (x < 3))", "g / 6",
         needs="large magnitudes"),
    _row("below minus three the slope goes on", hard_sigmoid, "((x > -3) & (x < 3))", "(x < 3)",
         needs="large magnitudes"),
    _row("the last row of the table gets no gradient", embedding, "grad = g.new_zeros(ctx.shape)\n",
         "grad = g.new_zeros(ctx.shape); g = g * (tokens < len(grad) - 1).unsqueeze(-1)\n",
         needs="zero indices", reveal={"last": 6}),
    _row("the cotangent is cut into halves", concatenation, "first = ctx.first", "first = g.shape[1] // 2",
         needs="other sizes", reveal={"second": 6}),
)  # fmt: skip
