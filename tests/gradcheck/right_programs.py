"""Right programs as users have them, each a row: from a dtype to the arguments of ``verify``.

Most of them were once called wrong, or left open, or are of a kind that was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from gradcheck import arguments

Make = Callable[[torch.dtype], Any]
ROWS: dict[str, Make] = {}


def row(make: Make) -> Make:
    ROWS[make.__name__.replace("_", " ")] = make
    return make


def leaf(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


class CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, ignore, smoothing):
        log_sum = logits.logsumexp(-1)
        valid = target != ignore
        index = target.masked_fill(~valid, 0)
        picked = logits.gather(-1, index[:, None])[:, 0]
        each = (1 - smoothing) * (log_sum - picked) + smoothing * (log_sum - logits.mean(-1))
        ctx.save_for_backward(logits, log_sum, index, valid)
        ctx.smoothing = smoothing
        return (each * valid).sum() / valid.sum()

    @staticmethod
    def backward(ctx, g):
        logits, log_sum, index, valid = ctx.saved_tensors
        target = torch.zeros_like(logits).scatter_(1, index[:, None], 1 - ctx.smoothing)
        error = (logits - log_sum[:, None]).exp() - target - ctx.smoothing / logits.shape[-1]
        return g * error * valid[:, None] / valid.sum(), None, None, None


@row
def fused_cross_entropy(dtype):
    target = torch.tensor([0, 4, -100, 2, 1, -100])
    return CrossEntropy.apply, leaf(6, 5, dtype=dtype), target, -100, 0.1


@row
def fused_cross_entropy_saturated(dtype):
    logits = 80 * torch.eye(4, 5, dtype=dtype)
    return CrossEntropy.apply, logits.requires_grad_(), torch.arange(4), -100, 0.0


class Attention(torch.autograd.Function):
    """Block by block, with the logarithm of the sum kept for backward."""

    @staticmethod
    def _scores(q, k, start):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        later = torch.arange(q.shape[-2])[:, None] < torch.arange(start, start + k.shape[-2])
        return scores.masked_fill(later, -math.inf)

    @staticmethod
    def forward(ctx, q, k, v, block):
        largest = torch.full(q.shape[:-1], -math.inf, dtype=q.dtype)
        total, out = torch.zeros_like(largest), torch.zeros_like(q)
        for j in range(0, k.shape[-2], block):
            scores = Attention._scores(q, k[..., j : j + block, :], j)
            larger = torch.maximum(largest, scores.amax(-1))
            p, shrink = (scores - larger[..., None]).exp(), (largest - larger).exp()
            total = total * shrink + p.sum(-1)
            out = out * shrink[..., None] + p @ v[..., j : j + block, :]
            largest = larger
        out = out / total[..., None]
        ctx.save_for_backward(q, k, v, out, largest + total.log())
        ctx.block = block
        return out

    @staticmethod
    def backward(ctx, g):
        q, k, v, out, log_sum = ctx.saved_tensors
        gq, gk, gv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        inner = (g * out).sum(-1, keepdim=True)
        for j in range(0, k.shape[-2], ctx.block):
            part = slice(j, j + ctx.block)
            p = (Attention._scores(q, k[..., part, :], j) - log_sum[..., None]).exp()
            error = p * (g @ v[..., part, :].mT - inner) / math.sqrt(q.shape[-1])
            gv[..., part, :] = p.mT @ g
            gk[..., part, :] = error.mT @ q
            gq += error @ k[..., part, :]
        return gq, gk, gv, None


@row
def tiled_attention(dtype):
    q, k, v = (leaf(2, 7, 4, dtype=dtype) for _ in range(3))
    return Attention.apply, q, k, v, 3


class Scan(torch.autograd.Function):
    """h_t = a_t h_{t-1} + b_t."""

    @staticmethod
    def forward(ctx, a, b):
        h = [torch.zeros_like(b[0])]
        for a_t, b_t in zip(a, b, strict=True):
            h.append(a_t * h[-1] + b_t)
        ctx.save_for_backward(a, torch.stack(h))
        return torch.stack(h[1:])

    @staticmethod
    def backward(ctx, g):
        a, h = ctx.saved_tensors
        gb, carried = [], torch.zeros_like(g[0])
        for t in reversed(range(len(g))):
            gb.insert(0, carried + g[t])
            carried = a[t] * gb[0]
        return torch.stack(gb) * h[:-1], torch.stack(gb)


@row
def linear_scan(dtype):
    return Scan.apply, torch.rand(6, 3, dtype=dtype).requires_grad_(), leaf(6, 3, dtype=dtype)


class SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, index, values, x):
        ctx.save_for_backward(index, values, x)
        out = torch.zeros(4, x.shape[1], dtype=x.dtype)
        return out.index_add_(0, index[0], values[:, None] * x[index[1]])

    @staticmethod
    def backward(ctx, g):
        index, values, x = ctx.saved_tensors
        gx = torch.zeros_like(x).index_add_(0, index[1], values[:, None] * g[index[0]])
        return None, (g[index[0]] * x[index[1]]).sum(-1), gx


@row
def sparse_times_dense(dtype):
    index = torch.tensor([[0, 0, 1, 3, 3], [1, 2, 0, 0, 2]])
    return SparseProduct.apply, index, leaf(5, dtype=dtype), leaf(3, 2, dtype=dtype)


class FixedPoint(torch.autograd.Function):
    """z = tanh(W z + b), differentiated by the implicit function theorem."""

    @staticmethod
    def forward(ctx, w, b):
        z = torch.zeros_like(b)
        for _ in range(80):
            z = torch.tanh(w @ z + b)
        ctx.save_for_backward(w, z)
        return z

    @staticmethod
    def backward(ctx, g):
        w, z = ctx.saved_tensors
        slope = 1 - z * z
        a = slope * torch.linalg.solve(torch.eye(len(z), dtype=z.dtype) - (slope[:, None] * w).T, g)
        return torch.outer(a, z), a


@row
def implicit_layer(dtype):
    w = (torch.randn(3, 3, dtype=dtype) * 0.1).requires_grad_()
    return arguments(FixedPoint.apply, w, leaf(3, dtype=dtype), variations=False)


@row
def segment_softmax(dtype):
    segment = torch.tensor([0, 0, 1, 1, 1, 2])

    def function(x):
        largest = torch.full((3,), -math.inf, dtype=x.dtype).scatter_reduce(0, segment, x.detach(), "amax")
        e = (x - largest[segment]).exp()
        return e / torch.zeros(3, dtype=x.dtype).index_add(0, segment, e)[segment]

    return function, leaf(6, dtype=dtype)


@row
def conditional_random_field(dtype):
    tags = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])

    def function(emission, transition):
        alpha = emission[:, 0]
        for t in range(1, 4):
            alpha = (alpha[:, :, None] + transition).logsumexp(1) + emission[:, t]
        score = emission.gather(2, tags[:, :, None]).sum((1, 2))
        return (alpha.logsumexp(1) - score - transition[tags[:, :-1], tags[:, 1:]].sum(1)).mean()

    return function, leaf(2, 4, 3, dtype=dtype), leaf(3, 3, dtype=dtype)


@row
def sinkhorn(dtype):
    def function(cost):
        u = v = torch.zeros(len(cost), dtype=cost.dtype)
        for _ in range(15):
            u = -0.2 * ((v - cost) / 0.2).logsumexp(1)
            v = -0.2 * ((u[:, None] - cost) / 0.2).logsumexp(0)
        return (((u[:, None] + v - cost) / 0.2).exp() * cost).sum()

    return function, torch.rand(4, 4, dtype=dtype).requires_grad_()


@row
def mixture_of_experts(dtype):
    gate, experts = nn.Linear(4, 3).to(dtype), nn.ModuleList(nn.Linear(4, 4) for _ in range(3)).to(dtype)

    def function(x):
        weights, chosen = gate(x).softmax(-1).topk(2, -1)
        out = torch.zeros_like(x)
        for k, expert in enumerate(experts):
            rows, slot = (chosen == k).nonzero(as_tuple=True)
            out = out.index_add(0, rows, expert(x[rows]).tanh() * weights[rows, slot][:, None])
        return out

    return function, leaf(6, 4, dtype=dtype)


class Penalised(nn.Module):
    """A loss of the gradient, as of a Wasserstein critic."""

    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def forward(self, x):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.critic(x).sum(), x, create_graph=True)
        return ((gradient.norm(dim=1) - 1) ** 2).mean()


@row
def gradient_penalty(dtype):
    return Penalised().to(dtype), torch.randn(5, 3, dtype=dtype)


class LowRank(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.zeros(6, 2))

    def forward(self, x):
        return self.frozen(x) + x @ self.a.T @ self.b.T


@row
def low_rank_adaptation_at_its_start(dtype):
    return LowRank().to(dtype), torch.randn(4, 6, dtype=dtype)


@row
def relu_network_of_zero_weights(dtype):
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model, torch.randn(4, 6, dtype=dtype)


@row
def images_of_zeros_and_ones(dtype):
    image = torch.zeros(3, 1, 8, 8, dtype=dtype)
    image[:, :, 2:6, 3:5] = 1
    layers = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(64, 3)).to(dtype), image


@row
def whole_numbers_with_ties(dtype):
    def function(x):
        return x.max(-1).values, x.amin(0), functional.relu(x - 1), x.abs()

    return function, torch.randint(-2, 3, (5, 6)).to(dtype).requires_grad_()


@row
def saturated_losses(dtype):
    target = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=dtype)
    x = torch.tensor([40.0, -40.0, -40.0, 40.0], dtype=dtype, requires_grad=True)
    return lambda x: (functional.binary_cross_entropy_with_logits(x, target), x.sigmoid(), x.softmax(0)), x


@row
def a_root_that_is_safe_at_zero(dtype):
    def function(x):
        return torch.where(x > 0, torch.where(x > 0, x, 1).sqrt(), 0)

    return function, torch.tensor([-1.0, 0.0, 4.0, 0.3], dtype=dtype, requires_grad=True)


@row
def encoder_that_leaves_out_padding(dtype):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    padding = torch.tensor([[False, False, True], [False, False, False]])
    model = nn.TransformerEncoder(layer, 1).to(dtype).eval()
    return arguments(model, torch.randn(2, 3, 8, dtype=dtype), kwargs={"src_key_padding_mask": padding})


@row
def batch_norm_of_a_large_mean(dtype):
    x = torch.randn(8, 2, dtype=dtype) * 1e-3 + 1e3
    return arguments(nn.BatchNorm1d(2).to(dtype), x.requires_grad_(), effort="probe")


@row
def compressed_rows(dtype):
    a = torch.randn(4, 5, dtype=dtype)
    sparse = a.where(a > 0, 0).to_sparse_csr().requires_grad_()
    return torch.sparse.mm, sparse, leaf(5, 3, dtype=dtype), "mean"


@row
def packed_sequences(dtype):
    gru = nn.GRU(3, 4).to(dtype)

    def function(x):
        return gru(nn.utils.rnn.pack_padded_sequence(x, [5, 3, 1]))[0].data

    return function, leaf(5, 3, 3, dtype=dtype)


@row
def spectral_convolution(dtype):
    def function(x, w):
        return torch.fft.irfft(torch.fft.rfft(x) * torch.view_as_complex(w), n=x.shape[-1])

    return function, leaf(2, 8, dtype=dtype), leaf(5, 2, dtype=dtype)


@row
def gaussian_process(dtype):
    x = torch.linspace(0, 3, 8, dtype=dtype)[:, None]

    def function(length, noise):
        kernel = (-((x - x.T) ** 2) / (2 * length.exp() ** 2)).exp()
        root = torch.linalg.cholesky(kernel + noise.exp() * torch.eye(8, dtype=x.dtype))
        return torch.cholesky_solve(x.sin(), root).mul(x.sin()).sum() / 2 + root.diagonal().log().sum()

    return function, *(torch.tensor(v, dtype=dtype, requires_grad=True) for v in (0.0, -4.0))
