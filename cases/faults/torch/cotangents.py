"""Backward passes that do not return the product with the cotangent they are given."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import complex_normal, normal

_row = partial(TorchFault, "cotangent mishandled")


def swish():
    class Swish(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x.sigmoid()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            s = x.sigmoid()
            slope = s + x * s * (1 - s)
            return g * slope

    return Program(Swish.apply, (normal(3, 4),), lambda x: x * x.sigmoid())


def circle():
    class Circle(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.set_materialize_grads(False)
            return x.sin(), x.cos()

        @staticmethod
        def backward(ctx, for_sine, for_cosine):
            (x,) = ctx.saved_tensors
            if for_sine is None and for_cosine is None:
                return None
            if for_sine is None:
                return -for_cosine * x.sin()
            if for_cosine is None:
                return for_sine * x.cos()
            return for_sine * x.cos() - for_cosine * x.sin()

    return Program(Circle.apply, (normal(3, 4),), lambda x: (x.sin(), x.cos()))


def complex_product():
    class ComplexProduct(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y.conj(), g * x.conj()

    return Program(ComplexProduct.apply, (complex_normal(3, 4), complex_normal(3, 4, seed=1)), torch.mul)


FAULTS = (
    _row("the cotangent is ignored", swish, "return g * slope", "return slope"),
    _row("the mean of the cotangent stands for all of it", swish, "return g * slope",
         "return g.mean() * slope"),
    _row("the first entry of the cotangent stands for all of it", swish, "return g * slope",
         "return g.reshape(-1)[0] * slope"),
    _row("the cotangent is squared", swish, "return g * slope", "return g * g * slope"),
    _row("the cotangent is clipped to [-1, 1]", swish, "return g * slope", "return g.clamp(-1, 1) * slope"),
    _row("the cotangent is clipped to [-3, 3]", swish, "return g * slope", "return g.clamp(-3, 3) * slope",
         needs="linearity"),
    _row("small cotangents are flushed to zero", swish, "return g * slope",
         "return g * (g.abs() > 0.01) * slope", needs="linearity"),
    _row("weight decay is added in the backward pass", swish, "return g * slope",
         "return g * slope + 0.01 * x",
         diagnosis=("missing-term",)),
    _row("the second output's cotangent is ignored", circle,
         "return for_sine * x.cos() - for_cosine * x.sin()",
         "return for_sine * x.cos()"),
    _row("the two outputs' cotangents are exchanged", circle,
         "return for_sine * x.cos() - for_cosine * x.sin()",
         "return for_cosine * x.cos() - for_sine * x.sin()"),
    _row("no gradient where the first output is not used", circle, "return -for_cosine * x.sin()",
         "return None",
         needs="each output alone"),
    _row("the sign is lost where only the second output is used", circle, "return -for_cosine * x.sin()",
         "return for_cosine * x.sin()", needs="each output alone"),
    _row("an undefined cotangent is taken for ones", circle,
         "if for_cosine is None:\n                return for_sine",
         "if for_cosine is None:\n                return -x.sin() + for_sine", needs="each output alone"),
    _row("the conjugate is forgotten", complex_product, "g * y.conj(),", "g * y,"),
    _row("the gradient is conjugated", complex_product, "g * y.conj(),", "(g * y.conj()).conj(),",
         diagnosis=("sign",)),
)  # fmt: skip
