"""Right programs pass: as users write them, at the points where users have them, in the formats they use."""

import numpy as np
import pytest
import torch
from right_programs import ROWS
from torch import nn

import gradcheck


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(1)


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:.*nested tensors", "ignore:.*NestedTensor")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", ROWS)
def test_it_passes(name, dtype):
    given = ROWS[name](dtype)
    args, options = (given, {}) if isinstance(given, tuple) else (given.args, given.kwargs)
    report = gradcheck.verify(*args, **options)
    assert report.ok, str(report)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("seed", range(6))
def test_relu_networks_in_half_precision(dtype, seed):
    torch.manual_seed(seed)
    layers = [layer for _ in range(3) for layer in (nn.Linear(16, 16), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 16), *layers, nn.Linear(16, 3)).to(dtype)
    report = gradcheck.verify(model, torch.randn(6, 8).to(dtype), variations=False)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("function", "values", "dtype"),
    [
        (torch.log1p, [-1.0, 0.5, 2.0], torch.bfloat16),
        (torch.prod, [1e-20, 1e-20, 1e-20, 2.0], torch.float32),
        (torch.exp, [-150.0, 1.0], torch.float32),
        (lambda x: 1 / x, [1e-3, 2.0], torch.float16),
        (lambda x: (x * 300).square().sum().sqrt(), [3.0, 4.0], torch.float16),
        (lambda x: (x * 100).round().fmod(2) * x, [1.0049, 2.0, 3.3349], torch.bfloat16),
    ],
    ids=["infinite", "underflow", "subnormal", "overflow", "overflow on the way", "other values"],
)
def test_where_a_narrow_format_ends(function, values, dtype):
    report = gradcheck.verify(function, torch.tensor(values, dtype=dtype, requires_grad=True))
    assert report.ok, str(report)


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 1e-30), (torch.float16, 1e-4)])
def test_and_a_small_gradient_that_is_lost_is_wrong(dtype, least):
    class Lost(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * least

        @staticmethod
        def backward(ctx, g):
            return g * (least if g.dtype is torch.float64 else 0.0)

    report = gradcheck.verify(Lost.apply, torch.randn(6, dtype=dtype).requires_grad_())
    assert report.verdict == "fail", str(report)


def test_a_gradient_of_a_loss_of_zero_is_still_verified():
    class Zero(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum() * 0

        @staticmethod
        def backward(ctx, g):
            return g * torch.full((3,), 1e-9, dtype=g.dtype)

    report = gradcheck.verify(Zero.apply, torch.randn(3, dtype=torch.float64, requires_grad=True))
    assert report.verdict == "fail", str(report)


def test_a_part_of_the_entries_that_is_wrong_is_seen_beside_one_that_has_no_derivative():
    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=0).sqrt()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return torch.where(x > 0, 0.51 / x.clamp(min=1e-9).sqrt(), 0) * g

    x = torch.tensor([-1.0, 0.0, 4.0, 0.3], dtype=torch.float64, requires_grad=True)
    assert gradcheck.verify(Root.apply, x, variations=False).verdict == "fail"


def test_optima_and_saturation_in_numpy():
    x, y = np.random.default_rng(0).standard_normal((2, 12, 4))
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    for at in (best, best.astype(np.float32)):
        report = gradcheck.verify(
            lambda w: ((x @ w - y) ** 2).sum(), at, gradient=lambda w: 2 * x.T @ (x @ w - y)
        )
        assert report.ok, str(report)
        assert "% of its norm" not in str(report)

    def softmax(z):
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def loss(z):
        return (z.max(1) + np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) - z.diagonal()).sum()

    report = gradcheck.verify(loss, 90 * np.eye(3), gradient=lambda z: softmax(z) - np.eye(3))
    assert report.ok, str(report)
