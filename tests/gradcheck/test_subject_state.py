"""What a forward pass changes in place is put back, whatever its dtype."""

from __future__ import annotations

import torch

import gradcheck


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.register_buffer("calls", torch.tensor(0))
        self.register_buffer("seen", torch.zeros(3, dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        self.calls += 1
        self.seen |= True
        self.mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return x * self.weight


def test_buffers_changed_in_place_are_as_they_were_before():
    model = Counting()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    buffers = dict(model.named_buffers())
    report = gradcheck.verify(model, torch.randn(4, 3))
    assert report.ok, str(report)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(buffers[name] is value for name, value in model.named_buffers())
