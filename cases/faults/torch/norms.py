"""Normalisations by hand: groups, gains, statistics kept or recomputed, outputs beside the main one."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal, positive

_row = partial(TorchFault, "normalisation")


def group_norm():
    class GroupNorm(Function):
        @staticmethod
        def forward(ctx, x, gain, bias, groups):
            flat = x.reshape(len(x), groups, -1)
            mean = flat.mean(-1, keepdim=True)
            rate = (flat.var(-1, correction=0, keepdim=True) + 1e-5).rsqrt()
            ctx.save_for_backward(x, gain, mean, rate)
            ctx.groups = groups
            return F.group_norm(x, groups, gain, bias)

        @staticmethod
        def backward(ctx, g):
            x, gain, mean, rate = ctx.saved_tensors
            n, channels, height, width = x.shape
            share = channels // ctx.groups
            group = torch.arange(channels) // share
            centred = x - mean[:, group].unsqueeze(-1)
            hat = centred * rate[:, group].unsqueeze(-1)
            dgain = (g * hat).sum((0, 2, 3))
            dhat = (g * gain[:, None, None]).reshape(n, ctx.groups, -1)
            flat, size = hat.reshape(n, ctx.groups, -1), share * height * width
            through_mean = dhat.sum(-1, keepdim=True) / size
            through_rate = flat * (dhat * flat).sum(-1, keepdim=True) / size
            dx = (dhat - through_mean - through_rate) * rate
            return dx.reshape(x.shape), dgain, g.sum((0, 2, 3)), None

    def plain(x, gain, bias, groups):
        return F.group_norm(x, groups, gain, bias)

    return Program(GroupNorm.apply, (normal(2, 6, 2, 3), normal(6, seed=1), normal(6, seed=2), 2), plain)


def gained_root_mean_square():
    class GainedRootMeanSquare(Function):
        @staticmethod
        def forward(ctx, x, gain, offset):
            rate = (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
            ctx.save_for_backward(x, gain, rate)
            ctx.offset = offset
            return x * rate * (gain + offset)

        @staticmethod
        def backward(ctx, g):
            x, gain, rate = ctx.saved_tensors
            scaled = g * (gain + ctx.offset)
            dx = rate * scaled - rate**3 * x * (scaled * x).mean(-1, keepdim=True)
            dgain = g.new_zeros(len(gain))
            block = 4
            for start in range(0, len(g), block):
                rows = slice(start, start + block)
                dgain = dgain + (g[rows] * x[rows] * rate[rows]).sum(0)
            return dx, dgain, None

    def plain(x, gain, offset):
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * (gain + offset)

    return Program(GainedRootMeanSquare.apply, (normal(6, 5), normal(5, seed=1), 1.0), plain)


def batch_norm(training=True):
    class BatchNorm(Function):
        @staticmethod
        def forward(ctx, x, gain, bias, running_mean, running_variance, training):
            mean, variance = (
                (x.mean(0), x.var(0, correction=0)) if training else (running_mean, running_variance)
            )
            rate = (variance + 1e-5).rsqrt()
            ctx.save_for_backward(x, gain, mean, rate, running_mean, running_variance)
            ctx.training = training
            return (x - mean) * rate * gain + bias

        @staticmethod
        def backward(ctx, g):
            x, gain, mean, rate, running_mean, running_variance = ctx.saved_tensors
            hat = (x - mean) * rate
            dgain, dbias = (g * hat).sum(0), g.sum(0)
            dx = g * gain * rate
            if ctx.training:
                dx = dx - gain * rate * (dbias + hat * dgain) / len(x)
            return dx, dgain, dbias, None, None, None

    def plain(x, gain, bias, running_mean, running_variance, training):
        mean, variance = (x.mean(0), x.var(0, correction=0)) if training else (running_mean, running_variance)
        return (x - mean) * (variance + 1e-5).rsqrt() * gain + bias

    running = normal(3, seed=3).detach(), positive(3, seed=4).detach()
    arguments = (normal(5, 3), normal(3, seed=1), normal(3, seed=2), *running, training)
    return Program(BatchNorm.apply, arguments, plain)


def variance_and_mean():
    class VarianceAndMean(Function):
        @staticmethod
        def forward(ctx, x, correction):
            variance, mean = torch.var_mean(x, -1, correction=correction)
            ctx.save_for_backward(x, mean)
            ctx.correction = correction
            return variance, mean

        @staticmethod
        def backward(ctx, dvariance, dmean):
            x, mean = ctx.saved_tensors
            n = x.shape[-1]
            through = 2 * (x - mean.unsqueeze(-1)) / max(n - ctx.correction, 1)
            return dvariance.unsqueeze(-1) * through + dmean.unsqueeze(-1) / n, None

    def plain(x, correction):
        return torch.var_mean(x, -1, correction=correction)

    return Program(VarianceAndMean.apply, (normal(3, 5), 0), plain)


def weight_norm():
    class WeightNorm(Function):
        @staticmethod
        def forward(ctx, v, length):
            size = v.square().sum(-1, keepdim=True).sqrt()
            ctx.save_for_backward(v, length, size)
            return length * v / size

        @staticmethod
        def backward(ctx, g):
            v, length, size = ctx.saved_tensors
            unit = v / size
            along = (g * unit).sum(-1, keepdim=True)
            return length * (g - along * unit) / size, along

    def plain(v, length):
        return length * v / v.square().sum(-1, keepdim=True).sqrt()

    return Program(WeightNorm.apply, (normal(4, 5), positive(4, 1, seed=1)), plain)


def clamped_unit_vector():
    class ClampedUnitVector(Function):
        @staticmethod
        def forward(ctx, x, least):
            ctx.save_for_backward(x)
            ctx.least = least
            return F.normalize(x, dim=-1, eps=least)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            size = x.square().sum(-1, keepdim=True).sqrt()
            below = size < ctx.least
            safe = torch.where(below, 1.0, size)
            unit = torch.where(below, 0.0, x / safe)
            projected = g - unit * (g * unit).sum(-1, keepdim=True)
            return torch.where(below, g / ctx.least, projected / safe), None

    def plain(x, least):
        size = x.square().sum(-1, keepdim=True)
        below = size < least**2
        safe = torch.where(below, 1.0, size).sqrt()
        return torch.where(below, x / least, x / safe)

    x = normal(4, 3).detach()
    x[1] *= 0.01
    return Program(ClampedUnitVector.apply, (x.requires_grad_(), 0.1), plain)


def spectral_norm():
    class SpectralNorm(Function):
        @staticmethod
        def forward(ctx, w):
            u, s, vh = torch.linalg.svd(w.detach(), full_matrices=False)
            ctx.save_for_backward(w, u[:, 0], s[0], vh[0])
            return w / s[0]

        @staticmethod
        def backward(ctx, g):
            w, u, s, v = ctx.saved_tensors
            return g / s - (g * w).sum() / s**2 * torch.outer(u, v)

    return Program(SpectralNorm.apply, (normal(4, 3),), lambda w: w / torch.linalg.matrix_norm(w, 2))


_evaluation = {"training": False}

FAULTS = (
    _row("a channel's group is its remainder", group_norm, "group = torch.arange(channels) // share",
         "group = torch.arange(channels) % ctx.groups"),
    _row("the size of a group counts one row only", group_norm,
         "size = hat.reshape(n, ctx.groups, -1), share * "
         "height * width", "size = hat.reshape(n, ctx.groups, -1), share * width"),
    _row("the gain's gradient is summed over each sample's pixels only", group_norm,
         "dgain = (g * hat).sum((0, 2, 3))", "dgain = (g * hat).sum((2, 3))[0]"),
    _row("the gain is left out of the normalised input's gradient", group_norm,
         "dhat = (g * gain[:, None, None])", "dhat = g"),
    _row("the gain is missing under the mean", gained_root_mean_square, "(scaled * x).mean(-1",
         "(g * x).mean(-1"),
    _row("the offset of the gain is forgotten", gained_root_mean_square, "scaled = g * (gain + ctx.offset)",
         "scaled = g * gain"),
    _row("the last block of rows is not added to the gain's gradient", gained_root_mean_square,
         "range(0, len(g), block)", "range(0, len(g) - len(g) % block, block)", diagnosis=("partial",
         "unexplained")),
    _row("only one block of rows is added to the gain's gradient", gained_root_mean_square,
         "dgain = dgain + (g[rows]", "dgain = (g[rows]"),
    _row("the sum for the mean", gained_root_mean_square, "(scaled * x).mean(-1, keepdim=True)",
         "(scaled * x).sum(-1, keepdim=True)"),
    _row("running statistics are differentiated through", batch_norm, "if ctx.training:", "if True:",
         given=_evaluation),
    _row("statistics of the batch are taken for constants", batch_norm, "if ctx.training:",
         "if not ctx.training:"),
    _row("running statistics normalise in the backward pass", batch_norm, "hat = (x - mean) * rate",
         "hat = (x - running_mean) * (running_variance + 1e-5).rsqrt()"),
    _row("gain and bias are returned in the wrong order", batch_norm, "return dx, dgain, dbias, None",
         "return dx, dbias, dgain, None", diagnosis=("swapped",)),
    _row("the two terms of the batch are not divided by it", batch_norm, "(dbias + hat * dgain) / len(x)",
         "(dbias + hat * dgain)"),
    _row("the mean's cotangent is forgotten beside the variance's", variance_and_mean,
         " + dmean.unsqueeze(-1) / n, None", ", None"),
    _row("the variance is corrected in the backward pass only", variance_and_mean, "n - ctx.correction",
         "n - 1",
         diagnosis=("missing-term",)),
    _row("the direction's part along itself stays", weight_norm, "(g - along * unit) / size", "g / size"),
    _row("the length's gradient is not divided by the norm", weight_norm, "unit = v / size", "unit = v"),
    _row("short vectors get no gradient", clamped_unit_vector,
         "torch.where(below, g / ctx.least, projected / safe)",
         "torch.where(below, 0.0, projected / safe)", diagnosis=("partial", "masked")),
    _row("vectors below the least length are not told apart", clamped_unit_vector, "below = size < ctx.least",
         "below = size < 0", diagnosis=("partial", "masked")),
    _row("the largest singular value is taken for a constant", spectral_norm,
         "g / s - (g * w).sum() / s**2 * torch.outer(u, v)", "g / s", diagnosis=("missing-term",)),
    _row("the cotangent meets the wrong matrix", spectral_norm, "(g * w).sum() / s**2",
         "(g * torch.outer(u, v)).sum() / s", diagnosis=("missing-term", "unexplained")),
)  # fmt: skip
