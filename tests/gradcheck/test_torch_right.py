"""Correct code never fails: PyTorch's own layers, losses and functionals, kinks, scales and domains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import gradcheck

DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(19)


def _leaf(*shape: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


def _passes(*given: Any, **options: Any) -> None:
    report = gradcheck.verify(*given, **options)
    assert report.ok, str(report)


LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "convolution with groups": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 5, 5)),
    "transposed convolution": (lambda: nn.ConvTranspose1d(4, 2, 3, stride=2, groups=2), (2, 4, 4)),
    "batch norm, training": (lambda: nn.BatchNorm1d(4, momentum=0.3), (6, 4)),
    "batch norm, averaging all": (lambda: nn.BatchNorm2d(2, momentum=None), (3, 2, 2, 2)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3)),
    "layer norm": (lambda: nn.LayerNorm(4), (3, 4)),
    "rms norm": (lambda: nn.RMSNorm(4), (3, 4)),
    "max-pool": (lambda: nn.MaxPool2d(2), (1, 2, 4, 4)),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (1, 4, 2, 2)),
    "dropout": (lambda: nn.Dropout(0.4), (3, 4)),
    "prelu": (lambda: nn.PReLU(), (3, 4)),
    "instance norm": (lambda: nn.InstanceNorm1d(2, affine=True), (2, 2, 5)),
    "response norm": (lambda: nn.LocalResponseNorm(2), (1, 4, 5)),
    "circular convolution": (lambda: nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"), (1, 2, 5)),
    "adaptive max-pool": (lambda: nn.AdaptiveMaxPool2d(2), (1, 2, 5, 5)),
    "fractional max-pool": (lambda: nn.FractionalMaxPool2d(2, output_size=2), (1, 1, 5, 5)),
    "unfold": (lambda: nn.Unfold(2), (1, 1, 4, 4)),
    "random slopes": (lambda: nn.RReLU(), (3, 4)),
    "bilinear upsampling": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 1, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_layers(name, dtype):
    make, shape = LAYERS[name]
    _passes(make().to(dtype), _leaf(*shape, dtype=dtype))


@pytest.mark.parametrize("name", ["linear", "layer norm", "group norm"])
def test_layers_in_bfloat16(name):
    make, shape = LAYERS[name]
    _passes(make().bfloat16(), _leaf(*shape, dtype=torch.bfloat16))


def test_recurrent_and_attention_layers():
    _passes(nn.LSTM(3, 4, 2, dropout=0.2), _leaf(4, 2, 3, dtype=torch.float32))
    _passes(nn.GRU(3, 4, bidirectional=True).double(), _leaf(3, 2, 3))
    _passes(nn.MultiheadAttention(4, 2).double(), _leaf(3, 2, 4), _leaf(4, 2, 4), _leaf(4, 2, 4))
    _passes(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), _leaf(2, 3, 4, dtype=torch.float32))


def test_embeddings():
    index = torch.tensor([[0, 1, 2], [1, 1, 5]])
    _passes(nn.Embedding(6, 3), index)
    _passes(nn.Embedding(6, 3, sparse=True), index)
    _passes(nn.EmbeddingBag(6, 3, mode="max").double(), index)


def test_a_padding_index_is_a_declared_deviation():
    index = torch.tensor([[0, 1, 2], [1, 1, 5]])
    layer = nn.Embedding(6, 3, padding_idx=1).double()
    report = gradcheck.verify(layer, index, allow={"weight": "padding_idx gets no gradient"})
    assert report.ok, str(report)
    assert "padding_idx gets no gradient" in str(report)
    report = gradcheck.verify(nn.Embedding(6, 3).double(), index, allow={"weight": "no reason"})
    assert "not needed" in str(report)
    assert gradcheck.verify(layer, index).verdict == "fail"


LABELS = torch.tensor([0, 2, 1, 2])
LOSSES = {
    "cross entropy": lambda x: functional.cross_entropy(x, LABELS, label_smoothing=0.1),
    "cross entropy, ignoring": lambda x: functional.cross_entropy(x, LABELS, ignore_index=1),
    "likelihood": lambda x: functional.nll_loss(x.log_softmax(-1), LABELS),
    "hinge": lambda x: functional.multi_margin_loss(x, LABELS),
    "huber": lambda x: functional.huber_loss(x, torch.zeros_like(x), delta=0.5),
    "l1": lambda x: functional.l1_loss(x, torch.zeros_like(x), reduction="none"),
    "divergence": lambda x: functional.kl_div(
        x.log_softmax(-1), torch.full_like(x, 1 / 3), reduction="batchmean"
    ),
    "cosine": lambda x: functional.cosine_similarity(x, x.roll(1, 0)),
    "binary": lambda x: functional.binary_cross_entropy(x.sigmoid(), torch.full_like(x, 0.3)),
    "triplet": lambda x: functional.triplet_margin_loss(x, x.roll(1, 0), x.roll(2, 0)),
    "gaussian": lambda x: functional.gaussian_nll_loss(x, torch.zeros_like(x), x.exp()),
    "poisson": lambda x: functional.poisson_nll_loss(x, torch.ones_like(x)),
    "distances": functional.pdist,
    "attention": lambda x: functional.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True),
    "ctc": lambda x: functional.ctc_loss(
        x[:, None].log_softmax(-1), torch.tensor([[1, 2]]), torch.tensor([4]), torch.tensor([2])
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    _passes(LOSSES[name], _leaf(4, 3))


@pytest.mark.parametrize("name", ["cross entropy", "huber", "cosine", "binary", "distances", "attention"])
def test_losses_in_single_precision(name):
    _passes(LOSSES[name], _leaf(4, 3, dtype=torch.float32))


KINKED = {
    "relu": torch.relu,
    "abs": torch.abs,
    "max": lambda x: x.amax(-1),
    "max and index": lambda x: x.max(-1),
    "max-pool": lambda x: functional.max_pool1d(x, 2),
    "sort": lambda x: x.sort(-1),
    "median": lambda x: x.median(-1).values,
    "hardtanh": functional.hardtanh,
    "clamp": lambda x: x.clamp(0, 1),
    "maximum": lambda x: torch.maximum(x, x.flip(-1)),
}


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("away", [0.0, 5e-7, 1e-9, 1e-12])
def test_at_and_near_kinks_and_ties(name, away):
    x = torch.tensor([[0.0, 1.0, 1.0, -2.0], [0.0, 0.0, 3.0, 3.0]], dtype=DOUBLE) + away * torch.arange(4)
    report = gradcheck.verify(KINKED[name], x.requires_grad_())
    assert report.verdict == "pass", str(report)


NEAR_THE_END = {
    "log": (torch.log, [1e-9, 1e-3, 2.0]),
    "square root": (torch.sqrt, [1e-12, 1e-3, 2.0]),
    "logit": (torch.logit, [1e-9, 0.5, 1 - 1e-9]),
    "arc cosine": (torch.acos, [-1 + 1e-9, 0.5, 1 - 1e-9]),
    "inverse of erf": (torch.erfinv, [1 - 1e-7, -0.5]),
    "x log x": (lambda x: torch.special.xlogy(x, x), [1e-9, 0.2]),
    "log gamma": (torch.lgamma, [1e-6, 0.5, 3.0]),
    "cross entropy of probabilities": (
        lambda p: functional.binary_cross_entropy(p, torch.tensor([1.0, 0.0, 1.0], dtype=DOUBLE)),
        [1e-8, 1 - 1e-8, 0.5],
    ),
    "barely positive definite": (
        lambda x: torch.linalg.cholesky(torch.outer(x, x) + 1e-7 * torch.eye(3, dtype=DOUBLE)),
        [0.3, -1.0, 2.0],
    ),
}


@pytest.mark.parametrize("name", NEAR_THE_END)
def test_functions_whose_domain_ends_nearby(name):
    function, values = NEAR_THE_END[name]
    _passes(function, torch.tensor(values, dtype=DOUBLE, requires_grad=True))


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e150])
def test_scales(scale):
    x = (torch.randn(4, dtype=DOUBLE) * scale).requires_grad_()
    _passes(lambda x: x * 3, x)
    _passes(lambda x: x.sum() / x.abs().sum(), x)
    _passes(lambda x: x.abs().log(), x)
    _passes(lambda x: x * 1e-3 / scale, x)


def test_a_relu_network_with_100000_activations():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 1000), nn.ReLU(), nn.Linear(1000, 4)).double()
    _passes(model, torch.randn(100, 8, dtype=DOUBLE), variations=False)


def test_complex_functions():
    z = _leaf(3, 4, dtype=torch.complex128)
    _passes(torch.fft.fft, z)
    _passes(lambda z: z.abs() * z.angle(), z)
    _passes(lambda z: (z @ z.mH).real, z)
    _passes(torch.linalg.svdvals, z)
    _passes(lambda z: torch.linalg.solve(z, z.mT), _leaf(3, 3, dtype=torch.complex128))
    _passes(lambda z: torch.polar(z.abs(), z.angle()) + z.sgn(), z)
    _passes(nn.Linear(4, 2, dtype=torch.complex128), z)


def test_a_hand_written_backward_that_cannot_reshape_nothing_is_right():
    class Norm(torch.autograd.Function):
        """RMS norm; ``reshape(-1, 0)`` is refused for a model without features, which nobody has."""

        @staticmethod
        def forward(ctx, x, w):
            r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
            ctx.save_for_backward(x, w, r)
            return x * r * w

        @staticmethod
        def backward(ctx, g):
            x, w, r = ctx.saved_tensors
            y, h = x * r, g * w
            along = (h * y).mean(-1, keepdim=True)
            return r * (h - y * along), (g * y).reshape(-1, x.shape[-1]).sum(0)

    _passes(Norm.apply, _leaf(2, 3, 4), _leaf(4))


class Sine(torch.autograd.Function):
    """The sine, with its gradient times a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].cos() * ctx.factor, None


@pytest.mark.parametrize("size", [1e5, 1e7, 1e8, 1e10, 1e12, 1e15, 1e60, 1e300])
def test_a_function_that_turns_within_the_first_steps_is_never_called_wrong(size):
    x = torch.tensor([size, 0.9 * size, 1.1 * size], dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(torch.sin, x)
    assert report.verdict == ("pass" if size < 1e9 else "inconclusive"), str(report)
    if size < 1e9:
        assert gradcheck.verify(Sine.apply, x, 1.5).verdict == "fail"
