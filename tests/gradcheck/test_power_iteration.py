"""PyTorch's spectral norm holds its singular vectors constant while a step of power iteration moves them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm as by_hook
from torch.nn.utils.parametrizations import spectral_norm as by_parametrization

import gradcheck

CONSTANT = "singular vectors held constant"


class HalfTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(y := x.tanh())
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        return grad * (1 - y * y) / 2


class Net(nn.Module):
    def __init__(self, normed: Any, activation: Any = torch.tanh) -> None:
        super().__init__()
        self.first, self.last = normed(nn.Linear(5, 8)), normed(nn.Linear(8, 3))
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.activation(self.first(x)))


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(3)


def _notes(report: gradcheck.Report) -> list[str]:
    return [name for name, r in report.parameters.items() if any(CONSTANT in note for note in r.notes)]


@pytest.mark.parametrize("normed", [by_hook, by_parametrization])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_spectral_norm_in_training_passes_with_a_note(normed: Any, dtype: Any) -> None:
    report = gradcheck.verify(Net(normed).to(dtype), torch.randn(4, 5, dtype=dtype))
    assert report.ok, report
    assert _notes(report)
    assert all("weight" in name for name in _notes(report))


@pytest.mark.parametrize("normed", [by_hook, by_parametrization])
def test_in_evaluation_there_is_nothing_to_note(normed: Any) -> None:
    net = Net(normed).double()
    net(torch.randn(4, 5, dtype=torch.float64))
    report = gradcheck.verify(net.eval(), torch.randn(4, 5, dtype=torch.float64))
    assert report.ok, report
    assert not _notes(report)


@pytest.mark.parametrize("normed", [by_hook, by_parametrization])
def test_a_mistake_beside_it_is_still_one(normed: Any) -> None:
    report = gradcheck.verify(Net(normed, HalfTanh.apply).double(), torch.randn(4, 5, dtype=torch.float64))
    assert not report.ok
    assert "HalfTanh.backward" in {blame.operation for blame in report.blames}
    assert report.parameters["first.bias"].verdict == "fail"


def test_a_weight_of_the_users_that_moves_a_constant_fails() -> None:
    class Normed(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                size = self.weight.norm()
            return nn.functional.linear(x, self.weight / size, self.bias)

    report = gradcheck.verify(Normed(5, 4).double(), torch.randn(3, 5, dtype=torch.float64))
    assert report.parameters["weight"].verdict == "fail"
    (diagnosis,) = report.parameters["weight"].diagnoses
    assert "If it is meant to, declare it: allow={'weight': 'held constant'}" in diagnosis.message
