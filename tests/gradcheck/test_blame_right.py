"""Correct code is never blamed, whatever it is made of, and kinks are told from faults."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gradcheck.blame import find_blame
from gradcheck.subjects.torch import tree


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def attention(x):
    scores = (x @ x.mT).masked_fill(torch.ones(4, 4).triu(1).bool(), float("-inf"))
    return scores.softmax(-1) @ x


def large_mask(x):
    return (x + torch.where(torch.ones(4, 4).triu(1).bool(), -1e9, 0.0)).softmax(-1)


def in_place(x):
    y = x * 2
    y[0] = x[1].sin()
    y[1:3].mul_(x[0])
    y += 1
    return y.relu_() * x


def dropout(x):
    return functional.dropout(x, 0.5, training=True) + torch.bernoulli(torch.full((4, 4), 0.5)) * x


def gathered(x):
    index = x.argsort(-1)
    return x.gather(-1, index)[[0, 0, 2]].index_add(0, torch.tensor([0, 0]), x[:2])


def views(x):
    a, b = x.chunk(2)
    return torch.cat([a.T.reshape(2, 4), b.expand(3, 2, 4)[1]]).unfold(1, 2, 1).flip(0)


def complex_numbers(x):
    z = torch.fft.fft(torch.complex(x, x.cos()))
    return z.abs() + (z * z.conj()).real + torch.view_as_real(z).sum(-1)


def several_outputs(x):
    values, indices = x.topk(2)
    q, r = torch.linalg.qr(x)
    return values.sum() + indices.sum() * x.mean() + (q @ r).sum() + x.std(unbiased=False)


def mixed_precision(x):
    return (x.float() * 2).exp().double() @ x


def differentiated_inside(x):
    y = (x**3).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return g.square()


def clamped(x):
    return x.clamp(-0.5, 0.5) + x.abs() + functional.leaky_relu(x) + functional.max_pool2d(x[None], 2).sum()


def symmetric_only(x):
    matrix = x @ x.mT + torch.eye(4)
    values, vectors = torch.linalg.eigh(matrix)
    return torch.linalg.cholesky(matrix) + vectors.square() * values


def normalised_only(x):
    targets = torch.tensor([[1, 2]])
    lengths = torch.tensor([4]), torch.tensor([2])
    return functional.ctc_loss((x @ x).log_softmax(-1)[:, None], targets, *lengths)


FUNCTIONS = [
    attention, large_mask, in_place, dropout, gathered, views, complex_numbers, several_outputs,
    mixed_precision, differentiated_inside, clamped,
    symmetric_only, normalised_only,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_correct_function_is_right_call_by_call(function):
    x = torch.randn(4, 4, requires_grad=True)
    result = find_blame(lambda: [function(x)], {"x": x})
    assert result.blames == ()
    assert result.unverified == ()
    assert result.all_calls_right


MODULES = [
    (nn.LSTM(3, 4, dtype=torch.float64), (2, 5, 3)),
    (nn.TransformerEncoderLayer(4, 2, 8, dtype=torch.float64, batch_first=True), (2, 3, 4)),
    (nn.MultiheadAttention(4, 2, dtype=torch.float64), None),
    (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()).double(), (2, 2, 4, 4)),
    (nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)).double(), (4, 3)),
    (nn.GRUCell(3, 4, dtype=torch.float64), (2, 3)),
]


@pytest.mark.parametrize(("module", "shape"), MODULES, ids=lambda value: type(value).__name__)
def test_pytorch_modules_are_right_call_by_call(module, shape):
    x = torch.randn(shape or (3, 2, 4), requires_grad=True)

    def run():
        result = module(x) if shape else module(x, x, x)
        return [tensor for _, tensor in tree.tensors(result)]

    state = {name: value.clone() for name, value in module.state_dict().items()}
    result = find_blame(run, {"x": x, **dict(module.named_parameters())})
    assert result.blames == ()
    assert result.all_calls_right
    module.load_state_dict(state)


KINKS = [
    torch.relu,
    torch.abs,
    torch.median,
    lambda x: functional.hardtanh(x + 1),
    lambda x: x.max(dim=-1).values,
    lambda x: torch.maximum(x, -x),
    lambda x: x.norm(),
    lambda x: (x.relu() - (-x).relu()).sum(),
    lambda x: functional.max_pool1d(x, 2),
    lambda x: functional.softshrink(x + 0.5),
    lambda x: torch.sort(x).values,
]


@pytest.mark.parametrize("function", KINKS)
def test_at_a_kink_every_call_is_right_and_the_kink_is_named(function):
    x = torch.zeros(3, 4, requires_grad=True)
    result = find_blame(lambda: [function(x)], {"x": x})
    assert result.blames == ()
    assert result.all_calls_right
    assert result.kinks


@pytest.mark.parametrize("seed", range(6))
def test_the_median_of_ties_is_right_in_every_direction(seed):
    x = torch.zeros(12, requires_grad=True)
    assert find_blame(lambda: [x.median()], {"x": x}, rng=np.random.default_rng(seed)).all_calls_right


def test_smooth_ground_has_no_kinks():
    x = torch.randn(50, 4, requires_grad=True)
    result = find_blame(lambda: [(x.exp().softmax(-1) * x.sin()).tanh().logsumexp(-1)], {"x": x})
    assert result.all_calls_right
    assert result.kinks == ()


class SteepAtZero(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return torch.where(x == 0, 3.0, (x > 0).to(g.dtype)) * g


@pytest.mark.parametrize("seed", range(5))
def test_a_value_outside_the_subgradients_at_a_kink_is_a_fault(seed):
    x = torch.tensor([0.0, 1.0, -1.0, 0.0], requires_grad=True)
    (blame,) = find_blame(lambda: [SteepAtZero.apply(x)], {"x": x}, rng=np.random.default_rng(seed)).blames
    assert blame.operation == "SteepAtZero.backward"


class SumOfKinks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return (x.relu() - y.relu()).sum()

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * (x > 0), -g * (y > 0)


def test_an_operation_that_sums_kinks_is_judged_entry_by_entry():
    x = torch.tensor([0.0, 1.0, -1.0, 0.0], requires_grad=True)
    y = torch.tensor([0.0, 2.0, 0.0], requires_grad=True)
    result = find_blame(lambda: [SumOfKinks.apply(x, y[:1])], {"x": x, "y": y})
    assert result.blames == ()
    assert result.all_calls_right


def test_what_runs_under_a_transform_is_said_to_be_unverified():
    x = torch.randn(3, 4, requires_grad=True)
    result = find_blame(lambda: [torch.func.vmap(torch.sin)(x)], {"x": x})
    assert result.blames == ()
    assert not result.all_calls_right
    assert any("sin" in note for note in result.unverified)
