"""What gradcheck does to a function warns nobody: warnings are errors in these tests."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch

import gradcheck


class Square(torch.autograd.Function):
    """Hand-written, so that other points and sizes are tried."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, u):
        return 2 * ctx.saved_tensors[0] * u


@pytest.mark.parametrize("value", [1e300, 1e308])
def test_values_at_the_end_of_the_range(value):
    x = torch.tensor([value, 1.0, 2.0], dtype=torch.float64)
    for function in (torch.sin, Square.apply, lambda x: x * 2):
        gradcheck.verify(function, x)


def test_sizes_and_points_that_were_made():
    def function(x, y):
        return Square.apply(x[:4]).mean() + torch.nn.functional.mse_loss(x[:4], y) + y.std()

    x, y = torch.randn(2, 4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    report = gradcheck.verify(function, x, y)
    assert [each.verdict for each in report.variations if each.name == "other sizes"] == ["pass"]


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_inputs(layout):
    code = f"""
        import warnings, torch, gradcheck
        x = torch.eye(3, dtype=torch.float64).{layout}()
        warnings.simplefilter("error")
        gradcheck.verify(lambda x: (x.to_dense() ** 2).sum(), x)
    """
    # In a process of its own, as PyTorch warns once.
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
