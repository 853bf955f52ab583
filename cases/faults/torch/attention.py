"""Attention by hand: shared heads, causal masks of two lengths, rotations, caps, sinks.

The classes of mistake are those that were reported of fused attention kernels. Each program forms the whole
matrix of scores, which the kernels do not; what goes wrong in them can be said in one line here.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "attention")


def grouped_attention():
    class GroupedAttention(Function):
        @staticmethod
        def forward(ctx, q, k, v):
            share = q.shape[0] // k.shape[0]
            wide_k, wide_v = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)
            p = (q @ wide_k.mT / math.sqrt(q.shape[-1])).softmax(-1)
            ctx.save_for_backward(q, k, v, p)
            return p @ wide_v

        @staticmethod
        def backward(ctx, g):
            q, k, v, p = ctx.saved_tensors
            share = q.shape[0] // k.shape[0]
            wide_k, wide_v = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)
            dp = g @ wide_v.mT
            ds = p * (dp - (dp * p).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
            dq = ds @ wide_k
            dk = (ds.mT @ q).unflatten(0, (k.shape[0], share)).sum(1)
            dv = (p.mT @ g).unflatten(0, (k.shape[0], share)).sum(1)
            return dq, dk, dv

    def plain(q, k, v):
        share = q.shape[0] // k.shape[0]
        scores = q @ k.repeat_interleave(share, 0).mT / math.sqrt(q.shape[-1])
        return scores.softmax(-1) @ v.repeat_interleave(share, 0)

    arguments = (normal(6, 3, 4), normal(2, 5, 4, seed=1), normal(2, 5, 7, seed=2))
    return Program(GroupedAttention.apply, arguments, plain)


def causal_attention():
    class CausalAttention(Function):
        @staticmethod
        def forward(ctx, q, k, v):
            queries, keys = q.shape[-2], k.shape[-2]
            hidden = torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)
            p = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(hidden, -math.inf).softmax(-1)
            out = p @ v
            ctx.save_for_backward(q, k, v, out)
            return out

        @staticmethod
        def backward(ctx, g):
            q, k, v, out = ctx.saved_tensors
            queries, keys = q.shape[-2], k.shape[-2]
            unseen = torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)
            p = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(unseen, -math.inf).softmax(-1)
            delta = (g * out).sum(-1, keepdim=True)
            ds = p * (g @ v.mT - delta) / math.sqrt(q.shape[-1])
            return ds @ k, ds.mT @ q, p.mT @ g

    def plain(q, k, v):
        queries, keys = q.shape[-2], k.shape[-2]
        hidden = torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)
        return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(hidden, -math.inf).softmax(-1) @ v

    return Program(CausalAttention.apply, (normal(3, 4), normal(5, 4, seed=1), normal(5, 4, seed=2)), plain)


def dropped_attention():
    class DroppedAttention(Function):
        @staticmethod
        def forward(ctx, s, v, kept, rate):
            p = s.softmax(-1)
            ctx.save_for_backward(p, v, kept)
            ctx.rate = rate
            return (p * kept / (1 - rate)) @ v

        @staticmethod
        def backward(ctx, g):
            p, v, kept = ctx.saved_tensors
            dropped = p * kept / (1 - ctx.rate)
            dp = (g @ v.mT) * kept / (1 - ctx.rate)
            ds = p * (dp - (dp * p).sum(-1, keepdim=True))
            return ds, dropped.mT @ g, None, None

    def plain(s, v, kept, rate):
        return (s.softmax(-1) * kept / (1 - rate)) @ v

    kept = (normal(4, 5, seed=2).detach() > -0.6).double()
    return Program(DroppedAttention.apply, (normal(4, 5), normal(5, 3, seed=1), kept, 0.2), plain)


def capped_scores():
    class CappedScores(Function):
        @staticmethod
        def forward(ctx, s, cap):
            capped = cap * (s / cap).tanh()
            p = capped.softmax(-1)
            ctx.save_for_backward(s, p)
            ctx.cap = cap
            return p

        @staticmethod
        def backward(ctx, g):
            s, p = ctx.saved_tensors
            through_softmax = p * (g - (g * p).sum(-1, keepdim=True))
            return through_softmax * (1 - (s / ctx.cap).tanh() ** 2), None

    def plain(s, cap):
        return (cap * (s / cap).tanh()).softmax(-1)

    return Program(CappedScores.apply, (normal(4, 5), 1.5), plain)


def biased_scores():
    class BiasedScores(Function):
        @staticmethod
        def forward(ctx, s, bias):
            p = (s + bias).softmax(-1)
            ctx.save_for_backward(p)
            return p

        @staticmethod
        def backward(ctx, g):
            (p,) = ctx.saved_tensors
            ds = p * (g - (g * p).sum(-1, keepdim=True))
            return ds, ds.sum(0)

    # samples, heads, queries, keys; all samples share the bias
    return Program(BiasedScores.apply, (normal(2, 3, 3, 3), normal(3, 3, 3, seed=1)),
                   lambda s, bias: (s + bias).softmax(-1))  # fmt: skip


def sloped_scores():
    class SlopedScores(Function):
        @staticmethod
        def forward(ctx, s, slope):
            distance = torch.arange(s.shape[-1]) - torch.arange(s.shape[-2]).unsqueeze(-1)
            return s - slope[:, None, None] * distance.abs()

        @staticmethod
        def backward(ctx, g):
            distance = torch.arange(g.shape[-1]) - torch.arange(g.shape[-2]).unsqueeze(-1)
            return g, -(g * distance.abs()).sum((-2, -1))

    def plain(s, slope):
        distance = torch.arange(s.shape[-1]) - torch.arange(s.shape[-2]).unsqueeze(-1)
        return s - slope[:, None, None] * distance.abs()

    return Program(SlopedScores.apply, (normal(3, 4, 5), normal(3, seed=1)), plain)


def attention_sink():
    class SinkSoftmax(Function):
        @staticmethod
        def forward(ctx, s, sink):
            wide = torch.cat([s, sink.expand(*s.shape[:-1], 1)], -1).softmax(-1)
            p, to_sink = wide[..., :-1], wide[..., -1:]
            ctx.save_for_backward(p, to_sink)
            return p

        @staticmethod
        def backward(ctx, g):
            p, to_sink = ctx.saved_tensors
            delta = (g * p).sum(-1, keepdim=True)
            return p * (g - delta), -(to_sink * delta).sum()

    def plain(s, sink):
        return torch.cat([s, sink.expand(*s.shape[:-1], 1)], -1).softmax(-1)[..., :-1]

    return Program(SinkSoftmax.apply, (normal(4, 5), normal(1, seed=1).detach()[0].requires_grad_()), plain)


def rotary():
    class Rotary(Function):
        @staticmethod
        def forward(ctx, x, angle):
            ctx.save_for_backward(angle)
            ctx.turned = 2 * angle.shape[-1]
            a, b = x[..., : ctx.turned].chunk(2, -1)
            cos, sin = angle.cos(), angle.sin()
            return torch.cat([a * cos - b * sin, b * cos + a * sin, x[..., ctx.turned :]], -1)

        @staticmethod
        def backward(ctx, g):
            (angle,) = ctx.saved_tensors
            a, b = g[..., : ctx.turned].chunk(2, -1)
            cos, sin = angle.cos(), -angle.sin()
            return torch.cat([a * cos - b * sin, b * cos + a * sin, g[..., ctx.turned :]], -1), None

    def plain(x, angle):
        turned = 2 * angle.shape[-1]
        a, b = x[..., :turned].chunk(2, -1)
        cos, sin = angle.cos(), angle.sin()
        return torch.cat([a * cos - b * sin, b * cos + a * sin, x[..., turned:]], -1)

    angle = torch.outer(torch.arange(1, 4), torch.tensor([1.0, 0.1])).double()
    return Program(Rotary.apply, (normal(2, 3, 6), angle), plain)


def binary_exponential():
    class StoredLogSum(Function):
        @staticmethod
        def forward(ctx, s):
            total = s.logsumexp(-1, keepdim=True)
            ctx.save_for_backward(s, total)
            return total.squeeze(-1)

        @staticmethod
        def backward(ctx, g):
            s, total = ctx.saved_tensors
            return g.unsqueeze(-1) * torch.exp2((s - total) * math.log2(math.e))

    return Program(StoredLogSum.apply, (normal(4, 5),), lambda s: s.logsumexp(-1))


def adapted_linear():
    class AdaptedLinear(Function):
        @staticmethod
        def forward(ctx, x, kept, weight, down, up, scale):
            dropped = x * kept
            ctx.save_for_backward(dropped, kept, weight, down, up)
            ctx.scale = scale
            return x @ weight + scale * (dropped @ down @ up)

        @staticmethod
        def backward(ctx, g):
            dropped, kept, weight, down, up = ctx.saved_tensors
            dx = g @ weight.T + ctx.scale * kept * (g @ up.T @ down.T)
            ddown = ctx.scale * dropped.T @ (g @ up.T)
            dup = ctx.scale * (dropped @ down).T @ g
            return dx, None, None, ddown, dup, None

    def plain(x, kept, weight, down, up, scale):
        return x @ weight + scale * ((x * kept) @ down @ up)

    kept = 2.0 * (normal(4, 6, seed=4).detach() > 0)
    weight = normal(6, 5, seed=1).detach()
    arguments = (normal(4, 6), kept, weight, normal(6, 2, seed=2), normal(2, 5, seed=3), 0.5)
    return Program(AdaptedLinear.apply, arguments, plain)


FAULTS = (
    _row("queries find their keys' head by the remainder", grouped_attention,
         "wide_k, wide_v = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)\n            dp",
         "wide_k, wide_v = k.repeat(share, 1, 1), v.repeat(share, 1, 1)\n            dp"),
    _row("a shared head gets the first of its queries' gradients", grouped_attention,
         "dk = (ds.mT @ q).unflatten(0, (k.shape[0], share)).sum(1)",
         "dk = (ds.mT @ q).unflatten(0, (k.shape[0], share))[:, 0]"),
    _row("a shared head gets the mean of its queries' gradients", grouped_attention,
         "dv = (p.mT @ g).unflatten(0, (k.shape[0], share)).sum(1)",
         "dv = (p.mT @ g).unflatten(0, (k.shape[0], share)).mean(1)", diagnosis=("scale",)),
    _row("heads are gathered in the other order", grouped_attention,
         "dv = (p.mT @ g).unflatten(0, (k.shape[0], share)).sum(1)",
         "dv = (p.mT @ g).unflatten(0, (share, k.shape[0])).sum(0)"),
    _row("values are as wide as queries", grouped_attention, "dp = g @ wide_v.mT",
         "dp = g[..., : q.shape[-1]] @ wide_v[..., : q.shape[-1]].mT"),
    _row("the causal mask starts at the other corner", causal_attention,
         "triu(1 + keys - queries)\n            p = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(unseen",
         "triu(1)\n            p = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(unseen"),
    _row("the row sums of the softmax are left out", causal_attention, "(g @ v.mT - delta)", "(g @ v.mT)"),
    _row("scores are scaled once more", causal_attention, "return ds @ k, ds.mT @ q, p.mT @ g",
         "return ds @ k, ds.mT @ (q / math.sqrt(q.shape[-1])), p.mT @ g", diagnosis=("scale",)),
    _row("kept weights are scaled by the rate", dropped_attention,
         "(g @ v.mT) * kept / (1 - ctx.rate)", "(g @ v.mT) * kept * ctx.rate", diagnosis=("scale",)),
    _row("the softmax is taken after its dropout", dropped_attention, "ds = p * (dp", "ds = dropped * (dp"),
    _row("values meet weights without dropout", dropped_attention, "dropped.mT @ g", "p.mT @ g"),
    _row("the cap is not differentiated", capped_scores, " * (1 - (s / ctx.cap).tanh() ** 2), None",
         ", None"),
    _row("the cap's slope at the score, not at its share of the cap", capped_scores,
         "(1 - (s / ctx.cap).tanh() ** 2)", "(1 - s.tanh() ** 2)"),
    _row("a bias shared by samples is summed over heads", biased_scores, "return ds, ds.sum(0)",
         "return ds, ds.sum(1).mean(0).expand(3, -1, -1)"),
    _row("the slope's gradient lacks its sign", sloped_scores, "return g, -(g", "return g, (g",
         diagnosis=("sign",)),
    _row("the slope's gradient keeps the sign of the distance", sloped_scores, "(g * distance.abs()).sum",
         "(g * distance).sum"),
    _row("the sink's gradient has the wrong sign", attention_sink, "-(to_sink * delta)", "(to_sink * delta)",
         diagnosis=("sign",)),
    _row("the sink takes no part in the rows' gradient", attention_sink, "p * (g - delta), ",
         "p * (g - delta / (1 - to_sink)), "),
    _row("turned the same way again", rotary, "-angle.sin()", "angle.sin()"),
    _row("what is not turned gets no gradient", rotary, "+ a * sin, g[..., ctx.turned :]], -1), None",
         "+ a * sin, torch.zeros_like(g[..., ctx.turned :])], -1), None", diagnosis=("partial",)),
    _row("neighbours are turned, not halves", rotary, "a, b = g[..., : ctx.turned].chunk(2, -1)",
         "a, b = g[..., : ctx.turned : 2], g[..., 1 : ctx.turned : 2]"),
    _row("the logarithm to base e meets a power of two", binary_exponential, " * math.log2(math.e))", ")"),
    _row("the adapter's dropout is forgotten on the way to the input", adapted_linear,
         "ctx.scale * kept * (g",
         "ctx.scale * (g"),
    _row("the adapter's scale is forgotten in one of its factors", adapted_linear,
         "dup = ctx.scale * (dropped", "dup = (dropped", diagnosis=("scale",)),
)  # fmt: skip
