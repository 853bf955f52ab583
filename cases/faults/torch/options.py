"""Factors and options that the forward pass knows and the backward pass does not."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it
from torch.nn.grad import conv1d_input, conv1d_weight

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import integers, normal

_row = partial(TorchFault, "scale and ignored options")


def squared_error():
    class SquaredError(Function):
        @staticmethod
        def forward(ctx, f, t):
            ctx.save_for_backward(f, t)
            return ((f - t) ** 2).sum() / f.shape[0]

        @staticmethod
        def backward(ctx, g):
            f, t = ctx.saved_tensors
            grad = 2 * (f - t) * g / f.shape[0]
            return grad, -grad

    def plain(f, t):
        return ((f - t) ** 2).sum() / f.shape[0]

    return Program(SquaredError.apply, (normal(5, 3), normal(5, 3, seed=1)), plain)


def tempered_softmax():
    class TemperedSoftmax(Function):
        @staticmethod
        def forward(ctx, x, temperature):
            y = (x / temperature).softmax(-1)
            ctx.save_for_backward(y)
            ctx.temperature = temperature
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return y * (g - (g * y).sum(-1, keepdim=True)) / ctx.temperature, None

    return Program(TemperedSoftmax.apply, (normal(3, 5), 0.7), lambda x, t: (x / t).softmax(-1))


def smoothed_cross_entropy():
    class SmoothedCrossEntropy(Function):
        @staticmethod
        def forward(ctx, logits, labels, weight, smoothing):
            n, classes = logits.shape
            target = (1 - smoothing) * F.one_hot(labels, classes).to(logits) + smoothing / classes
            ctx.save_for_backward(logits, labels, weight)
            ctx.smoothing = smoothing
            losses = -(target * logits.log_softmax(-1)).sum(-1)
            return (losses * weight[labels]).sum() / n

        @staticmethod
        def backward(ctx, g):
            logits, labels, weight = ctx.saved_tensors
            n, classes = logits.shape
            target = (1 - ctx.smoothing) * F.one_hot(labels, classes).to(logits) + ctx.smoothing / classes
            grad = (logits.softmax(-1) - target) * weight[labels].unsqueeze(-1) / n
            return g * grad, None, None, None

    def plain(logits, labels, weight, smoothing):
        target = (1 - smoothing) * F.one_hot(labels, logits.shape[1]).to(logits) + smoothing / logits.shape[1]
        losses = -(target * logits.log_softmax(-1)).sum(-1)
        return (losses * weight[labels]).sum() / logits.shape[0]

    weight = torch.tensor([1.0, 0.5, 2.0, 3.0], dtype=torch.float64)
    arguments = (normal(6, 4), integers(4, 6), weight, 0.2)
    return Program(SmoothedCrossEntropy.apply, arguments, plain)


def leaky_relu():
    class LeakyReLU(Function):
        @staticmethod
        def forward(ctx, x, slope):
            ctx.save_for_backward(x)
            ctx.slope = slope
            return torch.where(x > 0, x, slope * x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return torch.where(x > 0, g, ctx.slope * g), None

    return Program(LeakyReLU.apply, (normal(3, 4), 0.2), lambda x, slope: F.leaky_relu(x, slope))


def softplus():
    class Softplus(Function):
        @staticmethod
        def forward(ctx, x, beta):
            ctx.save_for_backward(x)
            ctx.beta = beta
            return F.softplus(x, beta)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (ctx.beta * x).sigmoid(), None

    return Program(Softplus.apply, (normal(3, 4), 2.5), lambda x, beta: F.softplus(x, beta))


def attention_scores():
    class AttentionScores(Function):
        @staticmethod
        def forward(ctx, q, k):
            ctx.save_for_backward(q, k)
            return q @ k.mT / math.sqrt(q.shape[-1])

        @staticmethod
        def backward(ctx, g):
            q, k = ctx.saved_tensors
            dq = g @ k / math.sqrt(q.shape[-1])
            dk = g.mT @ q / math.sqrt(q.shape[-1])
            return dq, dk

    def plain(q, k):
        return q @ k.mT / math.sqrt(q.shape[-1])

    return Program(AttentionScores.apply, (normal(2, 4, 8), normal(2, 5, 8, seed=1)), plain)


def dilated_convolution():
    class DilatedConvolution(Function):
        @staticmethod
        def forward(ctx, x, w, stride, padding, dilation):
            ctx.save_for_backward(x, w)
            ctx.options = {"stride": stride, "padding": padding, "dilation": dilation}
            return F.conv1d(x, w, stride=stride, padding=padding, dilation=dilation)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = conv1d_input(x.shape, w, g, **ctx.options)
            dw = conv1d_weight(x, w.shape, g, **ctx.options)
            return dx, dw, None, None, None

    def plain(x, w, stride, padding, dilation):
        return F.conv1d(x, w, stride=stride, padding=padding, dilation=dilation)

    return Program(DilatedConvolution.apply, (normal(2, 3, 9), normal(4, 3, 3, seed=1), 1, 2, 2), plain)


def root_mean_square_norm():
    class RootMeanSquareNorm(Function):
        @staticmethod
        def forward(ctx, x, epsilon):
            ctx.save_for_backward(x)
            ctx.epsilon = epsilon
            return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            size = (x.square().mean(-1, keepdim=True) + ctx.epsilon).sqrt()
            return g / size - x * (g * x).mean(-1, keepdim=True) / size**3, None

    def plain(x, epsilon):
        return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()

    return Program(RootMeanSquareNorm.apply, (normal(3, 5), 0.1), plain)


FAULTS = (
    _row("the mean over the batch is not differentiated", squared_error, " * g / f.shape[0]", " * g",
         diagnosis=("scale",)),
    _row("the mean over all entries instead of the batch", squared_error, "* g / f.shape[0]",
         "* g / f.numel()", diagnosis=("scale",)),
    _row("the temperature is ignored", tempered_softmax, " / ctx.temperature, None", ", None",
         diagnosis=("scale",)),
    _row("label smoothing is ignored", smoothed_cross_entropy,
         "(1 - ctx.smoothing) * F.one_hot(labels, classes).to(logits) + ctx.smoothing / classes",
         "F.one_hot(labels, classes).to(logits)"),
    _row("class weights are ignored", smoothed_cross_entropy, " * weight[labels].unsqueeze(-1) / n", " / n",
         diagnosis=("scale",)),
    _row("weights by row number instead of label", smoothed_cross_entropy,
         "weight[labels].unsqueeze(-1) / n", "weight[torch.arange(n) % classes].unsqueeze(-1) / n",
         diagnosis=("scale", "partial")),
    _row("the slope below zero is always 0.01", leaky_relu, "ctx.slope * g", "0.01 * g",
         diagnosis=("masked", "scale")),
    _row("beta is ignored", softplus, "(ctx.beta * x).sigmoid()", "x.sigmoid()"),
    _row("the scale of attention is missing for the queries", attention_scores,
         "g @ k / math.sqrt(q.shape[-1])", "g @ k", diagnosis=("scale",)),
    _row("scores are scaled by the number of keys", attention_scores, "g @ k / math.sqrt(q.shape[-1])",
         "g @ k / math.sqrt(k.shape[-2])", diagnosis=("scale",)),
    _row("dilation is ignored in the weight's gradient", dilated_convolution,
         "conv1d_weight(x, w.shape, g, **ctx.options)",
         "conv1d_weight(x, w.shape, F.pad(g, (0, 2)), stride=1, padding=2)"),
    _row("epsilon is ignored", root_mean_square_norm, "keepdim=True) + ctx.epsilon)", "keepdim=True))"),
)  # fmt: skip
