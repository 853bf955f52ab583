"""Kernels that read memory in order, whatever the strides say."""

from __future__ import annotations

from functools import partial

import torch
from torch.autograd import Function

from cases.faults.torch.fault import Program, TorchFault
from cases.faults.torch.values import normal

_row = partial(TorchFault, "strides and expanded tensors")


def in_order(tensor: torch.Tensor) -> torch.Tensor:
    """Read a tensor's memory from its first entry on, as a kernel does that ignores strides."""
    strides = torch.empty(tensor.shape).stride()
    return torch.as_strided(tensor, tensor.shape, strides)


def exponential():
    class Exponential(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return (g.reshape(-1) * y.reshape(-1)).reshape(y.shape)

    return Program(Exponential.apply, (normal(3, 4),), torch.exp)


def product():
    class MatrixProduct(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g @ w.T, x.T @ g

    return Program(MatrixProduct.apply, (normal(3, 4), normal(4, 5, seed=1)), torch.matmul)


def sine():
    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            values = x.reshape(-1)
            return values.sin().reshape(x.shape)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.cos()

    return Program(Sine.apply, (normal(3, 4),), torch.sin)


def doubled_angle():
    class DoubledAngle(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (2 * x).sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * (2 * x).cos()

    return Program(DoubledAngle.apply, (normal(3, 4),), lambda x: (2 * x).sin())


def per_channel():
    class PerChannel(Function):
        @staticmethod
        def forward(ctx, x, gain):
            ctx.save_for_backward(x, gain)
            return x * gain[:, None, None]

        @staticmethod
        def backward(ctx, g):
            x, gain = ctx.saved_tensors
            dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
            ready = x if dense else x.contiguous()
            return g * gain[:, None, None], (g * ready).sum((0, 2, 3))

    arguments = (normal(2, 3, 4, 4), normal(3, seed=1))
    return Program(PerChannel.apply, arguments, lambda x, gain: x * gain[:, None, None])


FAULTS = (
    _row("the cotangent's memory is read in order", exponential, "g.reshape(-1) *",
         "in_order(g).reshape(-1) *",
         needs="cotangent layouts"),
    _row("the cotangent is flattened with view()", exponential, "g.reshape(-1) *", "g.view(-1) *",
         needs="cotangent layouts"),
    _row("flattened in the order of memory, by NumPy", exponential, "g.reshape(-1) *",
         "torch.from_numpy(g.numpy().ravel(order='K')) *", needs="cotangent layouts"),
    _row("an expanded cotangent is taken for ones", exponential, "(g.reshape(-1) *",
         "((g if any(g.stride()) else torch.ones_like(g)).reshape(-1) *", needs="cotangent layouts"),
    _row("an expanded cotangent is taken for its sum", exponential, "(g.reshape(-1) *",
         "((g if any(g.stride()) else g * g.numel()).reshape(-1) *", needs="cotangent layouts"),
    _row("a transposed cotangent is read as it lies", product, "g @ w.T,", "in_order(g) @ w.T,",
         needs="cotangent layouts"),
    _row("the saved input's memory is read in order", doubled_angle, "(2 * x).cos()",
         "(2 * in_order(x)).cos()",
         needs="non-contiguous inputs"),
    _row("the weight's memory is read in order", product, "g @ w.T,", "g @ in_order(w).T,",
         needs="non-contiguous inputs"),
    _row("the forward pass reads memory in order, too", sine, "values = x.reshape(-1)",
         "values = in_order(x).reshape(-1)", needs="non-contiguous inputs"),
    _row("channels-last memory passes for contiguous", per_channel, "(g * ready)", "(g * in_order(ready))",
         needs="non-contiguous inputs"),
)  # fmt: skip
