"""What a verification holds, copies of parameters above all, is freed when it ends, without a collection."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import gradcheck


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


SUBJECTS = {
    "function": lambda: gradcheck.verify(torch.sin, leaf(3)),
    "custom Function": lambda: gradcheck.verify(Square.apply, leaf(3)),
    "second order": lambda: gradcheck.verify(Square.apply, leaf(3), order=2),
    "random": lambda: gradcheck.verify(torch.nn.functional.dropout, leaf(9)),
    "module in float32": lambda: gradcheck.verify(torch.nn.LSTM(2, 3), torch.randn(4, 1, 2)),
    "NumPy": lambda: gradcheck.verify(
        lambda p: float(np.sum(np.sin(p["w"]))), {"w": np.ones(4)}, gradient=lambda p: {"w": np.cos(p["w"])}
    ),
}


@pytest.mark.parametrize("name", sorted(SUBJECTS))
def test_nothing_waits_for_the_garbage_collector(name):
    SUBJECTS[name]()  # what is loaded and remembered once
    gc.collect()
    gc.disable()
    try:
        assert SUBJECTS[name]().ok
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [type(thing).__module__ for thing in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not [module for module in left if module.partition(".")[0] in ("gradcheck", "torch")]
