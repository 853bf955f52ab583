"""Blame of a torch subject: float32 models are searched in double precision, and put back."""

import torch
from blame_lines import line
from torch import nn

from gradcheck.blame import blame_subject
from gradcheck.subjects.torch import Opened


class Tripled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):  # tripled
        return 3 * g


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        return Tripled.apply(self.layer(x)) * self.scale.detach()  # scale


def test_a_float32_module_is_searched_and_left_as_it_was():
    model, x = Model(), torch.randn(4, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with Opened(model, (x,), {}, None) as subject:
        result = blame_subject(subject, wrong=["layer.weight", "scale"])
    assert {blame.location for blame in result.blames} == {line("tripled"), line("scale")}
    assert {name: value.dtype for name, value in model.state_dict().items()} == {
        name: value.dtype for name, value in before.items()
    }
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_inputs_are_leaves_too():
    x = torch.randn(4, requires_grad=True)
    with Opened(lambda x: Tripled.apply(x.sin()), (x,), {}, None) as subject:
        (blame,) = blame_subject(subject).blames
        assert blame.location == line("tripled")
