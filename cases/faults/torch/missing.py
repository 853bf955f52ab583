"""A term, a path or a whole parameter that the gradient does not know of."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal, positive

_row = partial(TorchFault, "missing terms and severed paths")


def layer_norm():
    class LayerNorm(Function):
        @staticmethod
        def forward(ctx, x, gain, bias):
            deviation = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
            normed = (x - x.mean(-1, keepdim=True)) / deviation
            ctx.save_for_backward(normed, deviation, gain)
            return normed * gain + bias

        @staticmethod
        def backward(ctx, g):
            normed, deviation, gain = ctx.saved_tensors
            dn = g * gain
            through_mean = dn.mean(-1, keepdim=True)
            through_variance = normed * (dn * normed).mean(-1, keepdim=True)
            dx = (dn - through_mean - through_variance) / deviation
            return dx, (g * normed).sum(0), g.sum(0)

    def plain(x, gain, bias):
        return nn.functional.layer_norm(x, gain.shape, gain, bias)

    return Program(LayerNorm.apply, (normal(4, 6), normal(6, seed=1), normal(6, seed=2)), plain)


def softmax():
    class Softmax(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.softmax(-1)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return y * g - y * (g * y).sum(-1, keepdim=True)

    return Program(Softmax.apply, (normal(3, 5),), lambda x: x.softmax(-1))


def residual_block():
    class ResidualBlock(Function):
        @staticmethod
        def forward(ctx, x, w):
            inner = torch.tanh(x @ w)
            ctx.save_for_backward(x, w, inner)
            return x + inner

        @staticmethod
        def backward(ctx, g):
            x, w, inner = ctx.saved_tensors
            ds = g * (1 - inner**2)
            return g + ds @ w.T, x.T @ ds

    return Program(
        ResidualBlock.apply, (normal(3, 4), normal(4, 4, seed=1)), lambda x, w: x + torch.tanh(x @ w)
    )


def quotient():
    class Quotient(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a / b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g / b, -g * a / b**2

    return Program(Quotient.apply, (normal(3, 4), positive(3, 4, seed=1)), torch.div)


def weight_norm():
    def normalised(x, v, gain):
        size = v.norm(dim=1, keepdim=True)
        return x @ (gain * v / size).T

    def plain(x, v, gain):
        return x @ (gain * v / (v * v).sum(1, keepdim=True).sqrt()).T

    return Program(normalised, (normal(3, 4), normal(5, 4, seed=1), positive(5, 1)), plain)


def scaled():
    def scaled_by_largest(x):
        largest = x.abs().max()
        return (x / largest).tanh()

    return Program(scaled_by_largest, (normal(3, 4),), lambda x: (x / x.abs().amax()).tanh())


class _Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.code = nn.Parameter(normal(6, 3, seed=1).detach())

    def forward(self, x):
        return (x @ self.code).tanh() @ self.code.T


def autoencoder():
    class Tied(_Tied):
        def forward(self, x):
            hidden = (x @ self.code).tanh()
            return hidden @ self.code.T

    return Program(Tied(), (normal(4, 6).detach(),), _Tied())


class _Gated(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.value = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()

    def forward(self, x):
        return self.gate(x).sigmoid() * self.value(x)


def gated_unit():
    class Gated(_Gated):
        def forward(self, x):
            gate = self.gate(x).sigmoid()
            with torch.enable_grad():
                value = self.value(x)
            return gate * value

    return Program(Gated(), (normal(5, 4).detach(),), _Gated())


def summed_pair():
    def pair(a, b):
        both = torch.stack([a.sin(), b.cos()])
        return both.prod()

    return Program(pair, (normal(seed=1), normal(seed=2)), lambda a, b: a.sin() * b.cos())


FAULTS = (
    _row("the path through the mean is missing", layer_norm, "(dn - through_mean - through_variance)",
         "(dn - through_variance)", diagnosis=("missing-term",)),
    _row("the path through the variance is missing", layer_norm, "(dn - through_mean - through_variance)",
         "(dn - through_mean)", diagnosis=("missing-term",)),
    _row("the normalised input is not divided by the deviation", layer_norm, "through_variance) / deviation",
         "through_variance)", diagnosis=("scale",)),
    _row("softmax without its coupling term", softmax, "y * g - y * (g * y).sum(-1, keepdim=True)", "y * g",
         diagnosis=("missing-term",)),
    _row("the coupling term has the wrong sign", softmax, "y * g - y", "y * g + y",
         diagnosis=("missing-term",)),
    _row("the skip connection is missing", residual_block, "return g + ds @ w.T", "return ds @ w.T",
         diagnosis=("missing-term",)),
    _row("the branch is missing", residual_block, "return g + ds @ w.T", "return g"),
    _row("no gradient for the denominator", quotient, "-g * a / b**2", "None", diagnosis=("severed",)),
    _row("the norm is detached", weight_norm, "v.norm(dim=1, keepdim=True)",
         "v.norm(dim=1, keepdim=True).detach()",
         diagnosis=("missing-term",), blame="Tensor.detach"),
    _row("the norm is computed from .data", weight_norm, "v.norm(dim=1", "v.data.norm(dim=1",
         diagnosis=("missing-term",), blame="Tensor.data"),
    _row("the largest entry by item()", scaled, "x.abs().max()", "x.abs().max().item()",
         diagnosis=("missing-term", "partial"), blame="Tensor.item"),
    _row("the largest entry by NumPy", scaled, "x.abs().max()", "float(abs(x.detach().numpy()).max())",
         diagnosis=("missing-term", "partial"), blame="Tensor.detach"),
    _row("a tied weight counts once", autoencoder, "return hidden @ self.code.T",
         "return hidden @ self.code.detach().T", blame="Tensor.detach"),
    _row("a layer runs without grad", gated_unit, "torch.enable_grad()", "torch.no_grad()",
         diagnosis=("severed",), blame="torch.nn.functional.linear"),
    _row("a new tensor is made from the values", summed_pair, "torch.stack([a.sin(), b.cos()])",
         "torch.stack([a.sin(), torch.tensor(b.cos().item(), dtype=b.dtype)])", diagnosis=("severed",),
         blame="Tensor.item"),
)  # fmt: skip
