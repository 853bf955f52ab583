"""Running products, maxima and recurrences: what reaches back, and how far."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal, positive

_row = partial(TorchFault, "scans and selections")


def running_product():
    class RunningProduct(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.cumprod(-1)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            before = torch.cat([torch.ones_like(x[..., :1]), x.cumprod(-1)[..., :-1]], -1)
            after = torch.zeros_like(x)
            after[..., -1:] = g[..., -1:]
            for i in reversed(range(x.shape[-1] - 1)):
                after[..., i] = g[..., i] + x[..., i + 1] * after[..., i + 1]
            return before * after

    return Program(RunningProduct.apply, (normal(3, 5),), lambda x: x.cumprod(-1))


def running_maximum():
    class RunningMaximum(Function):
        @staticmethod
        def forward(ctx, x):
            values, places = x.cummax(-1)
            ctx.save_for_backward(places)
            return values

        @staticmethod
        def backward(ctx, g):
            (places,) = ctx.saved_tensors
            return torch.zeros_like(g).scatter_add(-1, places, g)

    return Program(RunningMaximum.apply, (normal(3, 6),), lambda x: x.cummax(-1).values)


def running_log_sum(size=1.0):
    class RunningLogSum(Function):
        @staticmethod
        def forward(ctx, x):
            total = x.logcumsumexp(-1)
            ctx.save_for_backward(x, total)
            return total

        @staticmethod
        def backward(ctx, g):
            x, total = ctx.saved_tensors
            share = (x.unsqueeze(-2) - total.unsqueeze(-1)).exp().tril()
            share = torch.where(torch.ones_like(share).tril() > 0, share, 0)
            return (g.unsqueeze(-2) @ share).squeeze(-2)

    x = (size * normal(3, 5).detach()).requires_grad_()
    return Program(RunningLogSum.apply, (x,), lambda x: x.logcumsumexp(-1))


def gated_scan():
    class GatedScan(Function):
        """h = a h + b, from a given start; every state, and the last one again for who goes on."""

        @staticmethod
        def forward(ctx, a, b, start):
            states = [start]
            for t in range(a.shape[0]):
                states.append(a[t] * states[-1] + b[t])
            ctx.save_for_backward(a, torch.stack(states))
            return torch.stack(states[1:]), states[-1].clone()

        @staticmethod
        def backward(ctx, g, dlast):
            a, states = ctx.saved_tensors
            da, db = torch.zeros_like(a), torch.zeros_like(a)
            dh = dlast
            for t in reversed(range(a.shape[0])):
                dh = dh + g[t]
                da[t], db[t] = dh * states[t], dh
                dh = a[t] * dh
            return da, db, dh

    def plain(a, b, start):
        states = [start]
        for t in range(a.shape[0]):
            states.append(a[t] * states[-1] + b[t])
        return torch.stack(states[1:]), states[-1].clone()

    return Program(GatedScan.apply, (positive(6, 3), normal(6, 3, seed=1), normal(3, seed=2)), plain)


def blocked_decay(n=8):
    class BlockedDecay(Function):
        """h = softplus(d) h + x in blocks of four steps."""

        @staticmethod
        def forward(ctx, x, d):
            ctx.save_for_backward(x, d)
            return _run(x, F.softplus(d))

        @staticmethod
        def backward(ctx, g):
            x, d = ctx.saved_tensors
            a, states = F.softplus(d), _run(x, F.softplus(d))
            n, block = len(x), 4
            padded = -(-n // block) * block
            wide, gate = F.pad(g, (0, padded - n)), F.pad(a, (0, padded - n), value=1.0)
            dh, out = g.new_zeros(()), g.new_zeros(n + block)
            for end in range(padded, 0, -block):
                for t in reversed(range(end - block, end)):
                    dh = wide[t] + dh
                    out[t] = dh
                    dh = gate[t] * dh
            before = F.pad(states, (1, 0))[:n]
            return out[:n], out[:n] * before * d.sigmoid()

    def _run(x, a):
        states, h = [], x.new_zeros(())
        for t in range(len(x)):
            h = a[t] * h + x[t]
            states.append(h)
        return torch.stack(states) if states else x * a

    return Program(BlockedDecay.apply, (normal(n), normal(n, seed=1)), lambda x, d: _run(x, F.softplus(d)))


def sparse_maximum():
    class SparseMaximum(Function):
        @staticmethod
        def forward(ctx, z):
            p = _project(z)
            ctx.save_for_backward(p)
            return p

        @staticmethod
        def backward(ctx, g):
            (p,) = ctx.saved_tensors
            support = p > 0
            mean = (g * support).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
            return (g - mean) * support

    def _project(z):
        ordered = z.sort(-1, descending=True).values
        rank = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
        size = (1 + rank * ordered > ordered.cumsum(-1)).sum(-1, keepdim=True)
        threshold = (ordered.cumsum(-1).gather(-1, size - 1) - 1) / size
        return (z - threshold).relu()

    return Program(SparseMaximum.apply, (normal(4, 5),), _project)


def routed():
    class Routed(Function):
        """The two largest scores of each token weigh its two experts' outputs, and add up to one."""

        @staticmethod
        def forward(ctx, scores, experts):
            top = scores.topk(2, -1)
            weights = top.values.softmax(-1)
            chosen = experts.gather(1, top.indices.unsqueeze(-1).expand(-1, -1, experts.shape[-1]))
            ctx.save_for_backward(weights, top.indices, chosen)
            ctx.shapes = scores.shape, experts.shape
            return (weights.unsqueeze(-1) * chosen).sum(1)

        @staticmethod
        def backward(ctx, g):
            weights, places, chosen = ctx.saved_tensors
            dweights = (g.unsqueeze(1) * chosen).sum(-1)
            dtop = weights * (dweights - (dweights * weights).sum(-1, keepdim=True))
            dscores = g.new_zeros(ctx.shapes[0]).scatter(-1, places, dtop)
            wide = places.unsqueeze(-1).expand(-1, -1, g.shape[-1])
            dexperts = g.new_zeros(ctx.shapes[1]).scatter(1, wide, weights.unsqueeze(-1) * g.unsqueeze(1))
            return dscores, dexperts

    def plain(scores, experts):
        top = scores.topk(2, -1)
        chosen = experts.gather(1, top.indices.unsqueeze(-1).expand(-1, -1, experts.shape[-1]))
        return (top.values.softmax(-1).unsqueeze(-1) * chosen).sum(1)

    return Program(Routed.apply, (normal(5, 4), normal(5, 4, 3, seed=1)), plain)


FAULTS = (
    _row("the products are divided by the entry", running_product, "return before * after",
         "return (g * x.cumprod(-1)).flip(-1).cumsum(-1).flip(-1) / x", needs="zeros"),
    _row("where an entry is zero there is no gradient", running_product, "return before * after",
         "return torch.where(x == 0, 0.0, before * after)", needs="zeros"),
    _row("the entry itself is a factor of what comes before it", running_product,
         "before = torch.cat([torch.ones_like(x[..., :1]), x.cumprod(-1)[..., :-1]], -1)",
         "before = x.cumprod(-1)"),
    _row("of the steps at which a maximum stands only the last counts", running_maximum,
         "scatter_add(-1, places, g)", "scatter(-1, places, g)"),
    _row("exponentials without their maximum", running_log_sum,
         "return (g.unsqueeze(-2) @ share).squeeze(-2)",
         "return (g * (-total).exp()).flip(-1).cumsum(-1).flip(-1) * x.exp()", needs="large magnitudes",
         reveal={"size": 8.0}),
    _row("the sums run forwards", running_log_sum, "return (g.unsqueeze(-2) @ share).squeeze(-2)",
         "return (g * (-total).exp()).cumsum(-1) * x.exp()"),
    _row("the last state's cotangent is ignored", gated_scan, "dh = dlast\n",
         "dh = torch.zeros_like(dlast)\n"),
    _row("the start's gradient lacks the first gate", gated_scan, "return da, db, dh",
         "return da, db, db[0]"),
    _row("a gate meets the state after it", gated_scan, "da[t], db[t] = dh * states[t], dh",
         "da[t], db[t] = dh * states[t + 1], dh"),
    _row("a step's gate is the next one's", gated_scan, "dh = a[t] * dh", "dh = a[t - 1] * dh"),
    _row("what is carried is lost between blocks", blocked_decay,
         "dh = wide[t] + dh", "dh = wide[t] + dh * (t < end - 1)"),
    _row("the carry starts at the last whole block", blocked_decay, "padded = -(-n // block) * block",
         "padded = n // block * block", reveal={"n": 6}, needs="other sizes"),
    _row("the slope of the gate is the gate", blocked_decay, "before * d.sigmoid()", "before * a"),
    _row("the mean is over all entries, not the support", sparse_maximum,
         "(g * support).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)",
         "(g * support).mean(-1, keepdim=True)"),
    _row("the mean takes in entries off the support", sparse_maximum, "(g * support).sum(-1", "g.sum(-1"),
    _row("the router gets no gradient", routed, "return dscores, dexperts", "return None, dexperts",
         diagnosis=("severed",)),
    _row("the weights' sum to one is forgotten", routed,
         "dtop = weights * (dweights - (dweights * weights).sum(-1, keepdim=True))",
         "dtop = weights * dweights"),
    _row("experts' gradients are not weighted", routed, "weights.unsqueeze(-1) * g.unsqueeze(1))",
         "torch.ones_like(weights).unsqueeze(-1) * g.unsqueeze(1))"),
    _row("scores are scattered by rank, not by place", routed, "scatter(-1, places, dtop)",
         "scatter(-1, torch.arange(2).expand_as(places), dtop)"),
)  # fmt: skip
