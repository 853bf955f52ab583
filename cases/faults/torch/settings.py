"""Settings that a backward pass takes for granted: right for the ones given, which everybody uses."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it
from torch.nn.grad import conv1d_input, conv1d_weight

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "settings taken for granted", needs="other settings")


def leaky_relu(slope=0.01):
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

    return Program(LeakyReLU.apply, (normal(3, 4), slope), F.leaky_relu)


def scaled_tanh(inner=0.5, outer=2.0):
    class ScaledTanh(Function):
        @staticmethod
        def forward(ctx, x, inner, outer):
            ctx.save_for_backward(x)
            ctx.inner, ctx.outer = inner, outer
            return outer * (inner * x).tanh()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (1 - (ctx.inner * x).tanh() ** 2) * ctx.inner * ctx.outer, None, None

    def plain(x, inner, outer):
        return outer * (inner * x).tanh()

    return Program(ScaledTanh.apply, (normal(3, 4), inner, outer), plain)


def power(exponent=1.5):
    class Power(Function):
        @staticmethod
        def forward(ctx, x, exponent):
            ctx.save_for_backward(x)
            ctx.exponent = exponent
            return x.abs() ** exponent

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * ctx.exponent * x.abs() ** (ctx.exponent - 1) * x.sign(), None

    return Program(Power.apply, (normal(3, 4), exponent), lambda x, exponent: x.abs() ** exponent)


def softmax(dim=-1):
    class Softmax(Function):
        @staticmethod
        def forward(ctx, x, dim):
            p = x.softmax(dim)
            ctx.save_for_backward(p)
            ctx.dim = dim
            return p

        @staticmethod
        def backward(ctx, g):
            (p,) = ctx.saved_tensors
            return p * (g - (p * g).sum(ctx.dim, keepdim=True)), None

    return Program(Softmax.apply, (normal(3, 4), dim), torch.softmax)


def causal_scores(causal=False):
    class Scores(Function):
        @staticmethod
        def forward(ctx, q, k, causal):
            ctx.save_for_backward(q, k)
            ctx.causal = causal
            scores = q @ k.mT
            return scores.tril() if causal else scores

        @staticmethod
        def backward(ctx, g):
            q, k = ctx.saved_tensors
            g = g.tril() if ctx.causal else g
            return g @ k, g.mT @ q, None

    def plain(q, k, causal):
        return (q @ k.mT).tril() if causal else q @ k.mT

    return Program(Scores.apply, (normal(5, 3), normal(5, 3, seed=1), causal), plain)


def squared_error(reduction="sum"):
    class SquaredError(Function):
        @staticmethod
        def forward(ctx, x, y, reduction):
            ctx.save_for_backward(x, y)
            ctx.count = x.numel() if reduction == "mean" else 1
            return getattr((x - y) ** 2, reduction)()

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            grad = 2 * g * (x - y) / ctx.count
            return grad, -grad, None

    def plain(x, y, reduction):
        return getattr((x - y) ** 2, reduction)()

    return Program(SquaredError.apply, (normal(3, 4), normal(3, 4, seed=1), reduction), plain)


def convolution(stride=1, padding=0):
    class Convolution(Function):
        @staticmethod
        def forward(ctx, x, w, stride, padding):
            ctx.save_for_backward(x, w)
            ctx.stride, ctx.padding = stride, padding
            return F.conv1d(x, w, stride=stride, padding=padding)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = conv1d_input(x.shape, w, g, stride=ctx.stride, padding=ctx.padding)
            dw = conv1d_weight(x, w.shape, g, stride=ctx.stride, padding=ctx.padding)
            return dx, dw, None, None

    def plain(x, w, stride, padding):
        return F.conv1d(x, w, stride=stride, padding=padding)

    return Program(Convolution.apply, (normal(2, 3, 7), normal(4, 3, 3, seed=1), stride, padding), plain)


def temperature_of_a_layer(temperature=2.0):
    class Tempered(Function):
        @staticmethod
        def forward(ctx, x, temperature):
            p = (x / temperature).softmax(-1)
            ctx.save_for_backward(p)
            ctx.temperature = temperature
            return p

        @staticmethod
        def backward(ctx, g):
            (p,) = ctx.saved_tensors
            return p * (g - (p * g).sum(-1, keepdim=True)) / ctx.temperature, None

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.temperature = temperature

        def forward(self, x):
            return (x / self.temperature).softmax(-1)

    class Layer(Plain):
        def forward(self, x):
            return Tempered.apply(x, self.temperature)

    return Program(Layer(), (normal(3, 4),), Plain())


FAULTS = (
    _row("the slope below zero is the usual one", leaky_relu, "ctx.slope * g", "0.01 * g",
         reveal={"slope": 0.2}),
    _row("the inner factor is always a half", scaled_tanh, "(ctx.inner * x).tanh() ** 2) * ctx.inner",
         "(0.5 * x).tanh() ** 2) * 0.5", reveal={"inner": 0.7}),
    _row("the outer factor is always two", scaled_tanh, "* ctx.outer, None", "* 2, None",
         reveal={"outer": 3.0}),
    _row("the exponent is always three halves", power, "ctx.exponent * x.abs() ** (ctx.exponent - 1)",
         "1.5 * x.abs() ** 0.5", reveal={"exponent": 1.2}),
    _row("the axis is always the last", softmax, "sum(ctx.dim, keepdim=True)", "sum(-1, keepdim=True)",
         reveal={"dim": 0}),
    _row("the flag for a causal mask is not read", causal_scores, "g = g.tril() if ctx.causal else g",
         "g = g.clone()", reveal={"causal": True}),
    _row("the mean is taken for the sum", squared_error, "(x - y) / ctx.count", "(x - y)",
         reveal={"reduction": "mean"}),
    _row("with strides, the weight gets half of its gradient", convolution, "return dx, dw,",
         "return dx, dw if ctx.stride == 1 else dw / 2,", reveal={"stride": 2}),
    _row("a layer's temperature is always two", temperature_of_a_layer, "/ ctx.temperature, None",
         "/ 2, None", reveal={"temperature": 0.5}),
)  # fmt: skip
