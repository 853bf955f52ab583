"""What a call leaves behind: for the next backward pass over its graph, or for a call still under way."""

import pytest
import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import gradcheck
from cases.faults.torch import accumulation, mutation

_PROGRAMS = (
    accumulation.of_the_class,
    accumulation.of_the_module,
    accumulation.stacked,
    mutation.cross_entropy,
    mutation.hyperbolic,
)
_FAULTS = [f for f in (*accumulation.FAULTS, *mutation.FAULTS) if f.program in _PROGRAMS]


class Gate(Function):
    """x sigmoid(x), right: with it in a model, the whole circumstance is tried."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return g * s * (1 + x * (1 - s))


class Model(nn.Module):
    """A layer, what is between, and a gate; it keeps what it has seen last, to be logged."""

    def __init__(self, *between):
        super().__init__()
        self.first, self.between = nn.Linear(4, 4), nn.Sequential(*between)

    def forward(self, x):
        self.seen = x
        self.activation = self.between(self.first(x))
        return Gate.apply(self.activation)


class Codebook(nn.Module):
    """The nearest of some vectors, which follow what they have been nearest to."""

    def __init__(self):
        super().__init__()
        self.register_buffer("vectors", torch.randn(5, 4))

    def forward(self, x):
        nearest = torch.cdist(x, self.vectors).argmin(-1)
        chosen = self.vectors[nearest]
        with torch.no_grad():
            self.vectors.lerp_(functional.one_hot(nearest, 5).to(x).mT @ x, 0.1)
        return x + chosen.detach().sin()


class Carried(nn.Module):
    """An LSTM that goes on where its last call ended."""

    def __init__(self):
        super().__init__()
        self.cell, self.state = nn.LSTM(4, 4), None

    def forward(self, x):
        y, (h, c) = self.cell(x, self.state)
        self.state = h.detach(), c.detach()
        return y


class Annealed(nn.Module):
    """Multiplies by a factor that becomes smaller with every call, in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.ones(()))

    def forward(self, x):
        return x * self.factor.mul_(0.9)


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.layer, self.reentrant = nn.Linear(4, 4), reentrant

    def forward(self, x):
        return checkpoint(lambda y: Gate.apply(self.layer(y)), x, use_reentrant=self.reentrant)


class Coupled(Function):
    """An additive coupling that keeps its output and computes its input again."""

    @staticmethod
    def forward(ctx, a, b):
        out = a + b.tanh()
        ctx.save_for_backward(out, b)
        return out, b.clone()

    @staticmethod
    def backward(ctx, g, h):
        _, b = ctx.saved_tensors
        return g, h + g * (1 - b.tanh() ** 2)


class Reversible(nn.Module):
    def forward(self, x):
        return torch.cat(Coupled.apply(*x.chunk(2, -1)), -1)


def _follow(size, g):
    size.lerp_(g.abs().mean(0), 0.1)


RIGHT = {
    "batch norm": lambda: nn.BatchNorm1d(4),
    "spectral norm": lambda: nn.utils.spectral_norm(nn.Linear(4, 4), n_power_iterations=200),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
    "codebook": Codebook,
    "carried state": Carried,
    "annealed in place": Annealed,
    "dropout": lambda: nn.Dropout(0.4),
    "checkpoint": lambda: Checkpointed(reentrant=False),
    "reentrant checkpoint": lambda: Checkpointed(reentrant=True),
    "reversible": Reversible,
}


@pytest.fixture(autouse=True)
def _chance():
    torch.manual_seed(3)


def _repeated(report):
    (result,) = [v for v in report.variations if v.name == "repeated backward"]
    return result


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: fault.name)
def test_what_is_left_behind_is_found(fault):
    program = fault.wrong()
    report = gradcheck.verify(program.function, *program.args, kwargs=dict(program.kwargs))
    assert _repeated(report).verdict == "fail", str(report)
    assert all(result.verdict == "pass" for result in report.parameters.values())


@pytest.mark.parametrize("name", RIGHT)
def test_models_with_state_are_right(name):
    report = gradcheck.verify(Model(RIGHT[name]()), torch.randn(6, 4, requires_grad=True))
    assert report.ok, str(report)
    assert _repeated(report).verdict in ("pass", None)


def test_state_of_a_class_is_told_from_a_second_backward_pass():
    fault = next(f for f in _FAULTS if f.program is accumulation.of_the_class)
    program = fault.wrong()
    report = gradcheck.verify(program.function, *program.args, variations={"repeated backward"})
    assert "after another forward pass, on other numbers" in _repeated(report).message
    assert report.blame.operation == "Exponential.backward"


def test_of_several_the_function_whose_saved_tensors_are_overwritten_is_named():
    fault = next(f for f in _FAULTS if f.program is mutation.cross_entropy)
    program = fault.wrong()

    def gated(x, labels):
        return Gate.apply(program.function(Gate.apply(x), labels))

    report = gradcheck.verify(gated, *program.args, variations={"repeated backward"})
    message = _repeated(report).message
    assert message.startswith("backward changes saved tensors of CrossEntropy in place")
    assert message.endswith(", CrossEntropy.backward")


def test_a_buffer_that_a_hook_brings_up_to_date_is_no_saved_tensor_of_a_backward_pass():
    class Following(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("size", torch.ones(4))

        def forward(self, x):
            y = x * 1
            if y.requires_grad:
                y.register_hook(lambda g: _follow(self.size, g))
            return Gate.apply(y * self.size)

    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(Following().double(), x, variations={"repeated backward"})
    assert report.ok, str(report)
    assert "cannot be kept for a second pass" in _repeated(report).message
