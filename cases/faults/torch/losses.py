"""Losses by hand: reductions, weights, smoothing, temperatures, and sums over paths.

Each is written as fused losses are: the gradient is formed from what the forward pass has at hand. What goes
wrong was reported of such losses.
"""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import integers, normal, positive

_row = partial(TorchFault, "losses")


def regularised_cross_entropy():
    class RegularisedCrossEntropy(Function):
        @staticmethod
        def forward(ctx, logits, labels, ignored, smoothing, strength):
            total = logits.logsumexp(-1)
            kept = labels != ignored
            picked = logits.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
            losses = (1 - smoothing) * (total - picked) + smoothing * (total - logits.mean(-1))
            losses = losses + strength * total**2
            ctx.save_for_backward(logits, labels, total)
            ctx.options = ignored, smoothing, strength
            return torch.where(kept, losses, 0).sum() / kept.sum()

        @staticmethod
        def backward(ctx, g):
            logits, labels, total = ctx.saved_tensors
            ignored, smoothing, strength = ctx.options
            kept = (labels != ignored).unsqueeze(-1)
            p = (logits - total.unsqueeze(-1)).exp()
            hit = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits)
            grad = p - (1 - smoothing) * hit - smoothing / logits.shape[-1]
            grad = grad + 2 * strength * total.unsqueeze(-1) * p
            return g * grad * kept / kept.sum(), None, None, None, None

    def plain(logits, labels, ignored, smoothing, strength):
        kept = labels != ignored
        log_p = logits.log_softmax(-1)
        picked = log_p.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        losses = -(1 - smoothing) * picked - smoothing * log_p.mean(-1)
        losses = losses + strength * logits.logsumexp(-1) ** 2
        return (losses * kept).sum() / kept.sum()

    labels = torch.tensor([0, 3, -1, 2, 1, -1])
    return Program(RegularisedCrossEntropy.apply, (normal(6, 5), labels, -1, 0.1, 0.05), plain)


def unreduced_cross_entropy():
    class UnreducedCrossEntropy(Function):
        @staticmethod
        def forward(ctx, logits, labels, reduction):
            losses = F.cross_entropy(logits, labels, reduction="none")
            ctx.save_for_backward(logits, labels)
            ctx.reduction = reduction
            return {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]

        @staticmethod
        def backward(ctx, g):
            logits, labels = ctx.saved_tensors
            grad = logits.softmax(-1) - F.one_hot(labels, logits.shape[-1])
            if ctx.reduction == "mean":
                grad = grad / len(labels)
            if ctx.reduction == "none":
                g = g.unsqueeze(-1)
            return g * grad, None, None

    def plain(logits, labels, reduction):
        return F.cross_entropy(logits, labels, reduction=reduction)

    return Program(UnreducedCrossEntropy.apply, (normal(5, 5), integers(5, 5), "none"), plain)


def weighted_cross_entropy():
    class WeightedCrossEntropy(Function):
        @staticmethod
        def forward(ctx, logits, labels, weight):
            ctx.save_for_backward(logits, labels, weight)
            return F.cross_entropy(logits, labels, weight)

        @staticmethod
        def backward(ctx, g):
            logits, labels, weight = ctx.saved_tensors
            w = weight[labels]
            grad = w.unsqueeze(-1) * (logits.softmax(-1) - F.one_hot(labels, logits.shape[-1]))
            return g * grad / w.sum(), None, None

    weight = torch.tensor([1.0, 0.5, 2.0, 3.0], dtype=torch.float64)
    return Program(WeightedCrossEntropy.apply, (normal(6, 4), integers(4, 6), weight), F.cross_entropy)


def jensen_shannon():
    class JensenShannon(Function):
        @staticmethod
        def forward(ctx, log_q, log_p, beta):
            q, p = log_q.exp(), log_p.exp()
            log_m = (beta * p + (1 - beta) * q).log()
            ctx.save_for_backward(log_q, log_p, log_m)
            ctx.beta = beta
            return (beta * p * (log_p - log_m) + (1 - beta) * q * (log_q - log_m)).sum()

        @staticmethod
        def backward(ctx, g):
            log_q, log_p, log_m = ctx.saved_tensors
            dq = (1 - ctx.beta) * log_q.exp() * (log_q - log_m)
            dp = ctx.beta * log_p.exp() * (log_p - log_m)
            return g * dq, g * dp, None

    def plain(log_q, log_p, beta):
        q, p = log_q.exp(), log_p.exp()
        log_m = (beta * p + (1 - beta) * q).log()
        return (beta * p * (log_p - log_m) + (1 - beta) * q * (log_q - log_m)).sum()

    # distributions need not be normalised: the derivative is the same
    return Program(JensenShannon.apply, (normal(3, 4), normal(3, 4, seed=1), 0.3), plain)


def distillation():
    class Distillation(Function):
        @staticmethod
        def forward(ctx, student, teacher, temperature):
            q, p = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
            ctx.save_for_backward(q, p)
            ctx.temperature = temperature
            return F.kl_div(q, p, reduction="batchmean") * temperature**2

        @staticmethod
        def backward(ctx, g):
            q, p = ctx.saved_tensors
            return g * ctx.temperature * (q.exp() - p) / len(q), None, None

    def plain(student, teacher, temperature):
        q, p = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
        return F.kl_div(q, p, reduction="batchmean") * temperature**2

    return Program(Distillation.apply, (normal(3, 5), normal(3, 5, seed=1).detach(), 2.5), plain)


def focal():
    class Focal(Function):
        @staticmethod
        def forward(ctx, x, target, gamma, alpha):
            ctx.save_for_backward(x, target)
            ctx.gamma, ctx.alpha = gamma, alpha
            log_p = F.logsigmoid(torch.where(target > 0, x, -x))
            weight = torch.where(target > 0, alpha, 1 - alpha)
            return -(weight * (1 - log_p.exp()) ** gamma * log_p).sum()

        @staticmethod
        def backward(ctx, g):
            x, target = ctx.saved_tensors
            sign = torch.where(target > 0, 1.0, -1.0).to(x)
            log_p = F.logsigmoid(sign * x)
            p = log_p.exp()
            weight = torch.where(target > 0, ctx.alpha, 1 - ctx.alpha).to(x)
            slope = (1 - p) ** ctx.gamma * (ctx.gamma * p * log_p - (1 - p))
            return g * sign * weight * slope, None, None, None

    def plain(x, target, gamma, alpha):
        log_p = F.logsigmoid(torch.where(target > 0, x, -x))
        weight = torch.where(target > 0, alpha, 1 - alpha)
        return -(weight * (1 - log_p.exp()) ** gamma * log_p).sum()

    return Program(Focal.apply, (normal(4, 3), integers(2, 4, 3), 2.0, 0.25), plain)


def positive_weight():
    class WeightedLogistic(Function):
        @staticmethod
        def forward(ctx, x, target, weight):
            ctx.save_for_backward(x, target, weight)
            return F.binary_cross_entropy_with_logits(x, target, pos_weight=weight)

        @staticmethod
        def backward(ctx, g):
            x, target, weight = ctx.saved_tensors
            grad = (1 - target) * x.sigmoid() - weight * target * (1 - x.sigmoid())
            return g * grad / x.numel(), None, None

    def plain(x, target, weight):
        return F.binary_cross_entropy_with_logits(x, target, pos_weight=weight)

    target = integers(2, 4, 3).double()
    return Program(WeightedLogistic.apply, (normal(4, 3), target, positive(3, seed=1).detach()), plain)


def dice():
    class Dice(Function):
        @staticmethod
        def forward(ctx, p, target, smooth):
            both, total = (p * target).sum(), p.sum() + target.sum()
            ctx.save_for_backward(target, both, total)
            ctx.smooth = smooth
            return 1 - (2 * both + smooth) / (total + smooth)

        @staticmethod
        def backward(ctx, g):
            target, both, total = ctx.saved_tensors
            down = total + ctx.smooth
            return g * ((2 * both + ctx.smooth) / down**2 - 2 * target / down), None, None

    def plain(p, target, smooth):
        return 1 - (2 * (p * target).sum() + smooth) / (p.sum() + target.sum() + smooth)

    return Program(Dice.apply, (positive(4, 3), integers(2, 4, 3).double(), 1.0), plain)


def huber():
    class Huber(Function):
        @staticmethod
        def forward(ctx, x, t, delta):
            ctx.save_for_backward(x, t)
            ctx.delta = delta
            return F.huber_loss(x, t, delta=delta)

        @staticmethod
        def backward(ctx, g):
            x, t = ctx.saved_tensors
            dx = g * (x - t).clamp(-ctx.delta, ctx.delta) / x.numel()
            return dx, -dx, None

    return Program(Huber.apply, (normal(4, 3), normal(4, 3, seed=1), 1.5),
                   lambda x, t, delta: F.huber_loss(x, t, delta=delta))  # fmt: skip


def multiclass_hinge():
    class MulticlassHinge(Function):
        @staticmethod
        def forward(ctx, scores, labels, margin):
            ctx.save_for_backward(scores, labels)
            ctx.margin = margin
            gaps = scores - scores.gather(-1, labels.unsqueeze(-1)) + margin
            return (gaps.relu().sum() - len(labels) * margin) / len(labels)

        @staticmethod
        def backward(ctx, g):
            scores, labels = ctx.saved_tensors
            own = labels.unsqueeze(-1)
            over = (scores - scores.gather(-1, own) + ctx.margin > 0).double().scatter(-1, own, 0.0)
            grad = over.scatter(-1, own, -over.sum(-1, keepdim=True))
            return g * grad / len(labels), None, None

    def plain(scores, labels, margin):
        gaps = scores - scores.gather(-1, labels.unsqueeze(-1)) + margin
        return (gaps.relu().sum() - len(labels) * margin) / len(labels)

    return Program(MulticlassHinge.apply, (normal(5, 4), integers(4, 5), 1.0), plain)


def transducer():
    class Transducer(Function):
        @staticmethod
        def forward(ctx, blank, emit):
            if emit.shape != (blank.shape[0], blank.shape[1] - 1):
                raise ValueError(
                    f"Expected a label between two columns of blanks, got {emit.shape}, {blank.shape}."
                )
            alpha = _reach(blank, emit)
            beta = _reach(blank.flip(0, 1), emit.flip(0, 1), ending=True).flip(0, 1)
            ctx.save_for_backward(blank, emit, alpha, beta)
            return -(alpha[-1, -1] + blank[-1, -1])

        @staticmethod
        def backward(ctx, g):
            blank, emit, alpha, beta = ctx.saved_tensors
            total = beta[0, 0]
            after = torch.full_like(beta, -torch.inf)
            after[:-1] = beta[1:]
            after[-1, -1] = 0.0
            dblank = -(alpha + blank + after - total).exp()
            demit = -(alpha[:, :-1] + emit + beta[:, 1:] - total).exp()
            return g * dblank, g * demit

    def _reach(blank, emit, ending=False):
        # log of the sum over paths from a corner to each node; ``ending``: with the node's own last blank
        steps, labels = blank.shape
        rows = []
        for t in range(steps):
            row = []
            for u in range(labels):
                ways = []
                if t > 0:
                    ways.append(rows[t - 1][u] + (blank[t, u] if ending else blank[t - 1, u]))
                if u > 0:
                    ways.append(row[u - 1] + emit[t, u - 1])
                start = blank[0, 0] if ending else torch.zeros((), dtype=blank.dtype)
                row.append(torch.stack(ways).logsumexp(0) if ways else start)
            rows.append(torch.stack(row))
        return torch.stack(rows)

    def plain(blank, emit):
        return -(_reach(blank, emit)[-1, -1] + blank[-1, -1])

    # log-probabilities of the blank and of the next label, at each step and after each label
    return Program(Transducer.apply, (normal(4, 3), normal(4, 2, seed=1)), plain)


FAULTS = (
    _row("the penalty on the log-sum-exp has no gradient", regularised_cross_entropy,
         "grad = grad + 2 * strength * total.unsqueeze(-1) * p\n", "grad = grad\n"),
    _row("the penalty's square is not differentiated", regularised_cross_entropy, "2 * strength * total",
         "strength * total"),
    _row("the penalty's factor is not scaled by its total", regularised_cross_entropy,
         "2 * strength * total.unsqueeze(-1) * p", "2 * strength * p"),
    _row("smoothing takes no heed of ignored rows", regularised_cross_entropy,
         "g * grad * kept / kept.sum()",
         "g * (grad * kept - smoothing / logits.shape[-1] * ~kept) / kept.sum()",
         diagnosis=("partial", "masked")),
    _row("the mean is over all rows", regularised_cross_entropy, "* kept / kept.sum()",
         "* kept / len(labels)",
         diagnosis=("scale",)),
    _row("the label's own share of smoothing is lost", regularised_cross_entropy,
         "- smoothing / logits.shape[-1]", "- smoothing / logits.shape[-1] * (1 - hit)",
         diagnosis=("partial", "missing-term", "masked")),
    _row("smoothing is spread over the other labels only", regularised_cross_entropy,
         "smoothing / logits.shape[-1]", "smoothing / (logits.shape[-1] - 1)"),
    _row("unreduced losses share the first one's cotangent", unreduced_cross_entropy, "g = g.unsqueeze(-1)",
         "g = g[0]"),
    _row("unreduced losses' cotangents go along the classes", unreduced_cross_entropy, "g = g.unsqueeze(-1)",
         "g = g"),
    _row("unreduced losses are divided by their number", unreduced_cross_entropy,
         'if ctx.reduction == "mean":', 'if ctx.reduction != "sum":', diagnosis=("scale",)),
    _row("a weighted mean is divided by the number of rows", weighted_cross_entropy, "/ w.sum()", "/ len(w)",
         diagnosis=("scale",)),
    _row("the weights of the two distributions are exchanged", jensen_shannon, "dq = (1 - ctx.beta)",
         "dq = ctx.beta", diagnosis=("scale",)),
    _row("the mixture is taken for a constant", jensen_shannon, "log_q.exp() * (log_q - log_m)",
         "log_q.exp() * (log_q - log_m + 1)"),
    _row("the temperature divides instead of multiplying", distillation, "g * ctx.temperature *",
         "g / ctx.temperature *", diagnosis=("scale",)),
    _row("the mean over the batch is one over all entries", distillation, "/ len(q)", "/ q.numel()",
         diagnosis=("scale",)),
    _row("the focusing factor is taken for a constant", focal, "(ctx.gamma * p * log_p - (1 - p))",
         "-(1 - p)"),
    _row("the focusing exponent is one too small", focal, "slope = (1 - p) ** ctx.gamma",
         "slope = (1 - p) ** (ctx.gamma - 1)"),
    _row("negatives are weighted as positives", focal,
         "torch.where(target > 0, ctx.alpha, 1 - ctx.alpha).to(x)",
         "ctx.alpha", diagnosis=("masked", "scale", "partial")),
    _row("the weight of positives is forgotten", positive_weight, "- weight * target", "- target",
         diagnosis=("scale", "masked", "partial")),
    _row("the weight of positives weighs negatives, too", positive_weight, "(1 - target) * x.sigmoid() -",
         "weight * (1 - target) * x.sigmoid() -", diagnosis=("scale", "masked", "partial")),
    _row("the denominator is taken for a constant", dice, "(2 * both + ctx.smooth) / down**2 - 2", "-2",
         diagnosis=("missing-term",)),
    _row("cut off at 1 whatever delta is", huber, "clamp(-ctx.delta, ctx.delta)", "clamp(-1, 1)",
         diagnosis=("masked", "partial")),
    _row("the right label does not count its rivals", multiclass_hinge, "-over.sum(-1, keepdim=True)",
         "-torch.ones_like(over[:, :1])", diagnosis=("partial", "masked", "missing-term")),
    _row("the last blank has no gradient", transducer, "after[-1, -1] = 0.0", "after[-1, -1] = -torch.inf",
         diagnosis=("partial", "masked")),
    _row("every last blank may end the path", transducer, "after[-1, -1] = 0.0", "after[-1] = 0.0",
         diagnosis=("partial", "masked")),
    _row("a label's gradient forgets what comes after it", transducer, "emit + beta[:, 1:] - total",
         "emit + beta[:, :-1] - total"),
)  # fmt: skip
