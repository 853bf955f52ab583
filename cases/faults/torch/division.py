"""Quotients that are 0/0 or inf/inf where the function itself is smooth."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.exact_values import sinc
from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal, positive

_row = partial(TorchFault, "division by zero and NaN")


def row_product():
    class RowProduct(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.prod(-1, keepdim=True)
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            others = [x[..., [j for j in range(x.shape[-1]) if j != i]].prod(-1) for i in range(x.shape[-1])]
            return g * (torch.stack(others, -1) if others else x)

    return Program(RowProduct.apply, (normal(4, 4),), lambda x: x.prod(-1, keepdim=True))


def cube():
    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            y = x**3
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * 3 * x**2

    return Program(Cube.apply, (normal(3, 4),), lambda x: x * x * x)


def squared_norm():
    class SquaredNorm(Function):
        @staticmethod
        def forward(ctx, x):
            n = x.norm(dim=-1, keepdim=True)
            ctx.save_for_backward(x, n)
            return n * n

        @staticmethod
        def backward(ctx, g):
            x, n = ctx.saved_tensors
            return g * 2 * x

    return Program(SquaredNorm.apply, (normal(3, 4),), lambda x: (x * x).sum(-1, keepdim=True))


def softplus():
    class Softplus(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.logaddexp(x, torch.zeros_like(x))

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.sigmoid()

    data = (10 * normal(3, 4).detach()).requires_grad_()
    return Program(Softplus.apply, (data,), lambda x: torch.logaddexp(x, torch.zeros_like(x)))


def log_sum_exp():
    class LogSumExp(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.logsumexp(-1, keepdim=True)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.softmax(-1)

    data = (10 * normal(3, 4).detach()).requires_grad_()
    return Program(LogSumExp.apply, (data,), lambda x: x.logsumexp(-1, keepdim=True))


def logistic():
    class Logistic(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sigmoid()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.sigmoid() * (-x).sigmoid()

    data = (10 * normal(3, 4).detach()).requires_grad_()
    return Program(Logistic.apply, (data,), torch.sigmoid)


def one_sided_power():
    def one_sided(x):
        inside = torch.where(x > 0, x, 1.0)
        return torch.where(x > 0, inside * inside.sqrt(), 0.0)

    return Program(one_sided, (normal(3, 4),), lambda x: x.relu() * x.clamp(min=1e-300).sqrt())


def angle():
    class Angle(Function):
        @staticmethod
        def forward(ctx, y, x):
            ctx.save_for_backward(y, x)
            return torch.atan2(y, x)

        @staticmethod
        def backward(ctx, g):
            y, x = ctx.saved_tensors
            square = x * x + y * y
            part = torch.where(square > 0, g / square, 0.0)
            return part * x, -part * y

    return Program(Angle.apply, (normal(3, 4), normal(3, 4, seed=1)), torch.atan2)


def soft_direction():
    class SoftDirection(Function):
        @staticmethod
        def forward(ctx, x):
            n = x.norm(dim=-1, keepdim=True)
            ctx.save_for_backward(x, n)
            return x / (n + 1)

        @staticmethod
        def backward(ctx, g):
            x, n = ctx.saved_tensors
            along = torch.where(n > 0, (g * x).sum(-1, keepdim=True) / n, 0.0)
            return g / (n + 1) - along * x / (n + 1) ** 2

    def plain(x):
        return x / ((x * x).sum(-1, keepdim=True).clamp(min=1e-300).sqrt() + 1)

    return Program(SoftDirection.apply, (normal(3, 4),), plain)


def common_part():
    class CommonPart(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * a * b * b / (a * a + b * b + 1)

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            whole = a * a + b * b + 1
            value = a * a * b * b / whole
            da = 2 * a * b * b * (b * b + 1) / whole**2
            db = 2 * a * a * b * (a * a + 1) / whole**2
            return g * da, g * db

    def plain(a, b):
        return a * a * b * b / (a * a + b * b + 1)

    return Program(CommonPart.apply, (positive(3, 4), positive(3, 4, seed=1)), plain)


FAULTS = (
    _row("the product of the others as the whole over the one", row_product,
         "(torch.stack(others, -1) if others else x)", "y / x", needs="zeros"),
    _row("the power rule as 3 y / x", cube, "3 * x**2", "3 * y / x", needs="zeros"),
    _row("sin(x)/x differentiated without a branch at zero", sinc, "torch.where(x == 0, 0.0, slope)", "slope",
         needs="zeros"),
    _row("the squared norm by way of the norm", squared_norm, "2 * x", "2 * n * (x / n)", needs="zeros"),
    _row("softplus by exp(x)/(1 + exp(x))", softplus, "x.sigmoid()", "x.exp() / (1 + x.exp())",
         needs="large magnitudes"),
    _row("softmax without subtracting the maximum", log_sum_exp, "x.softmax(-1)",
         "x.exp() / x.exp().sum(-1, keepdim=True)", needs="large magnitudes"),
    _row("the sigmoid's slope by exp(-x)/(1 + exp(-x))^2", logistic, "x.sigmoid() * (-x).sigmoid()",
         "(-x).exp() / (1 + (-x).exp()) ** 2", needs="large magnitudes"),
    _row("the branch not taken gives NaN, and where() multiplies it by zero", one_sided_power,
         "torch.where(x > 0, x, 1.0)", "x", diagnosis=("non-finite",), blame=None),
    _row("atan2 differentiated as the arctangent of a quotient", angle, "part * x, -part * y",
         "g / x / (1 + (y / x) ** 2), -g * (y / x**2) / (1 + (y / x) ** 2)", needs="some zeros"),
    _row("a unit vector of nothing", soft_direction,
         "torch.where(n > 0, (g * x).sum(-1, keepdim=True) / n, 0.0)",
         "(g * x / n).sum(-1, keepdim=True)", needs="zeros"),
    _row("a logarithmic derivative", common_part, "2 * a * b * b * (b * b + 1) / whole**2",
         "value * (2 / a - 2 * a / whole)", needs="zeros"),
)  # fmt: skip
