"""The right mathematics in too few digits."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "precision")
_digits = partial(TorchFault, "precision", precision=True)


def wave(dtype=torch.float64):
    class Wave(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (math.pi * x).sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            pi = torch.tensor(math.pi, dtype=g.dtype).item()
            return g * pi * (math.pi * x).cos()

    return Program(Wave.apply, (normal(3, 4, dtype=dtype),), lambda x: (math.pi * x).sin())


def distribution():
    class NormalDistribution(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return 0.5 * (1 + (x / math.sqrt(2)).erf())

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            factor = 1 / math.sqrt(2 * math.pi)
            return g * factor * (-x * x / 2).exp()

    return Program(NormalDistribution.apply, (normal(3, 4),), torch.special.ndtr)


def quartic():
    class Quartic(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**4

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            slope = 4 * x**3
            return g * slope

    return Program(Quartic.apply, (normal(3, 4),), lambda x: (x * x) * (x * x))


FAULTS = (
    _digits("a constant in single precision", wave, "dtype=g.dtype", "dtype=torch.float32",
            diagnosis=("precision",)),
    _row("a constant in half precision", wave, "dtype=g.dtype", "dtype=torch.float16",
         diagnosis=("precision", "scale")),
    _digits("the product is taken in single precision", wave, "return g * pi * (math.pi * x).cos()",
            "return (g.float() * pi * (math.pi * x).cos().float()).double()", diagnosis=("precision",)),
    _row("the product is taken in bfloat16", wave, "return g * pi * (math.pi * x).cos()",
         "return (g * pi * (math.pi * x).cos()).bfloat16().double()", diagnosis=("precision",)),
    _row("a constant with four digits", distribution, "1 / math.sqrt(2 * math.pi)", "0.3989",
         diagnosis=("scale", "precision")),
    _digits("a constant with seven digits", distribution, "1 / math.sqrt(2 * math.pi)", "0.3989423"),
    _digits("a difference quotient for a derivative", quartic, "4 * x**3",
            "((x + 1e-4) ** 4 - (x - 1e-4) ** 4) / 2e-4"),
    _row("a one-sided difference quotient for a derivative", quartic, "4 * x**3",
         "((x + 1e-5) ** 4 - x**4) / 1e-5"),
    _digits("the product is taken in half precision, in a model of single precision", wave,
            "return g * pi * (math.pi * x).cos()",
            "half = torch.float16 if g.dtype == torch.float32 else g.dtype\n"
         "            return (g.to(half) * (math.pi * x).cos() * pi).to(g.dtype)",
            needs="own precision", given={"dtype": torch.float32}),
    _row("a constant overflows, in a model of single precision", wave, "return g * pi",
         "return g * 1e30 * 1e30 / 1e60 * pi", needs="own precision",
         given={"dtype": torch.float32}),
)  # fmt: skip
