import torch

import gradcheck


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return 2 * x**2 * cotangent


@gradcheck.target
def right():
    return torch.nn.Linear(4, 2), torch.randn(3, 4)


@gradcheck.target
def wrong():
    return Cube.apply, torch.randn(3, 4, requires_grad=True)
