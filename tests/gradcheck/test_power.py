"""effort="auto" goes on where the stated power of directions over all leaves falls short of a tolerance."""

from __future__ import annotations

import math

import pytest
import torch

import gradcheck
from gradcheck import power


class Square(torch.autograd.Function):
    """x^2 / 2 of tiny numbers; the gradient is times ``factor``, None for no gradient at all."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return 1e-16 * x**2 / 2

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return None if ctx.factor is None else ctx.factor * 1e-16 * x * cotangent, None


class Tiny(torch.nn.Module):
    """One leaf of ordinary gradient, at a point where its output is zero, and one of next to nothing."""

    def __init__(self, factor, size=6):
        super().__init__()
        self.factor = factor
        self.large = torch.nn.Parameter(torch.ones(size, dtype=torch.float64))
        self.tiny = torch.nn.Parameter(torch.linspace(1, 2, size, dtype=torch.float64))

    def forward(self, sign):
        return torch.cat([sign * (self.large.sin() - math.sin(1)), Square.apply(self.tiny, self.factor)])


SIGN = torch.ones(6, dtype=torch.float64)


@pytest.mark.parametrize("factor", [-1.0, 0.0, 2.0, None])
def test_a_wrong_leaf_whose_gradient_is_tiny_beside_the_others_is_found_by_auto(factor):
    report = gradcheck.verify(Tiny(factor), SIGN, variations=False)
    assert report.parameters["large"].verdict == "pass"
    assert report.parameters["tiny"].verdict == "fail", str(report)


def test_probe_is_entitled_to_miss_it_and_says_what_it_would_have_seen():
    report = gradcheck.verify(Tiny(2.0), SIGN, effort="probe", variations=False)
    assert report.parameters["tiny"].verdict == "pass"
    assert report.parameters["tiny"].coverage.detectable is None
    assert any("zero to within" in note for note in report.parameters["tiny"].notes)
    assert report.parameters["tiny"].coverage.shared == 2


def test_the_right_twin_passes_and_is_seen_alone():
    report = gradcheck.verify(Tiny(1.0), SIGN, variations=False)
    assert report.ok, str(report)
    assert report.parameters["tiny"].coverage.shared == 1
    assert report.parameters["tiny"].coverage.detectable < 1e-6
    assert report.parameters["large"].coverage.shared == 2
    assert report.notes == ()


def test_ordinary_models_are_not_looked_at_longer():
    torch.manual_seed(0)
    layers = torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)
    model = torch.nn.Sequential(*layers).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    costs = [
        gradcheck.verify(model, x, effort=effort, variations=False).cost.forward_evaluations
        for effort in ("probe", "auto")
    ]
    assert costs[0] == costs[1]


class Noisy(torch.autograd.Function):
    """x of numbers, through constants whose rounding a direction over all entries gathers."""

    @staticmethod
    def forward(ctx, x, offset):
        return offset + 1e-3 * x

    @staticmethod
    def backward(ctx, cotangent):
        return 1e-3 * cotangent, None


def test_few_entries_that_would_take_more_directions_are_looked_at_one_by_one():
    offset = torch.full((6,), 250.0, dtype=torch.float64)
    x = torch.linspace(1, 2, 6, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(Noisy.apply, x, offset, variations=False)
    found = report.parameters["inputs[0]"]
    assert report.ok, str(report)
    assert found.coverage.detectable > 1e-6
    assert (found.coverage.entries, found.coverage.total) == (6, 6)
    assert report.notes == ()


def test_many_entries_are_seen_by_more_directions_at_less_than_one_evaluation_each():
    offset = torch.full((300,), 30.0, dtype=torch.float64)
    x = torch.linspace(1, 2, 300, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(Noisy.apply, x, offset, variations=False)
    found = report.parameters["inputs[0]"]
    assert report.ok, str(report)
    assert found.coverage.detectable <= 1e-6
    assert found.coverage.directions > 2
    assert (found.coverage.entries, report.notes) == (0, ())
    assert report.cost.forward_evaluations < 150


class Decades(torch.nn.Module):
    """Leaves whose gradients fall by a third each, the numbered one's off by a share of itself."""

    def __init__(self, wrong=None, error=0.0):
        super().__init__()
        self.leaves = torch.nn.ParameterList(torch.linspace(1, 2, 40, dtype=torch.float64) for _ in range(24))
        self.wrong, self.error = wrong, error

    def forward(self, sign):
        shares = [
            3.0**-i * Off.apply(leaf, self.error if i == self.wrong else 0.0)
            for i, leaf in enumerate(self.leaves)
        ]
        return sign * sum(shares)


class Off(torch.autograd.Function):
    """The sine, its gradient wrong by a share."""

    @staticmethod
    def forward(ctx, x, error):
        ctx.save_for_backward(x)
        ctx.error = error
        return x.sin()

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return cotangent * x.cos() * (1 + ctx.error), None


ONES = torch.ones(40, dtype=torch.float64)


def test_leaves_of_all_sizes_take_a_few_directions_together():
    report = gradcheck.verify(Decades(), ONES, variations=False)
    assert report.ok, str(report)
    assert report.cost.forward_evaluations < 120
    for i, result in enumerate(report.parameters.values()):
        assert result.coverage.entries == 0
        assert i > 9 or result.coverage.detectable <= 1e-6, result  # 3^-10 is lost in the outputs' rounding


@pytest.mark.parametrize("wrong", [0, 5, 9])
@pytest.mark.parametrize("error", [1.0, 4e-6])
def test_a_wrong_leaf_of_whatever_size_is_found_among_many_and_no_other_is_called_wrong(wrong, error):
    report = gradcheck.verify(Decades(wrong, error), ONES, variations=False)
    failed = [name for name, result in report.parameters.items() if result.verdict == "fail"]
    assert failed == [f"leaves.{wrong}"], str(report)


def perceptron(width, depth, activation):
    torch.manual_seed(0)
    layers = []
    for _ in range(depth):
        layers += [torch.nn.Linear(width, width), activation()]
        if activation is torch.nn.ReLU:
            torch.nn.init.kaiming_normal_(layers[-2].weight)
    return torch.nn.Sequential(*layers).double(), torch.randn(8, width, dtype=torch.float64)


@pytest.mark.parametrize(
    ("width", "activation", "most"),
    [(16, torch.nn.Tanh, 350), (64, torch.nn.Tanh, 120), (16, torch.nn.ReLU, 1400)],
)
def test_a_right_deep_network_costs_dozens_of_evaluations_not_one_for_each_entry(width, activation, most):
    model, x = perceptron(width, 64, activation)
    report = gradcheck.verify(model, x, variations=False)
    assert report.ok, str(report)
    assert report.cost.forward_evaluations < most


def test_what_there_is_no_time_for_is_said_with_what_would_check_it(monkeypatch):
    monkeypatch.setattr(power, "AUTO_SECONDS", -1.0)
    offset = torch.full((30,), 100.0, dtype=torch.float64)
    x = torch.linspace(1, 2, 30, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(Noisy.apply, x, offset, variations=False)
    (note,) = report.notes
    assert note.startswith("inputs[0]: random directions see an error of ")
    assert '30 entries were not looked at; effort="every" checks each of them' in note
    assert report.parameters["inputs[0]"].coverage.entries == 0


def test_probe_looks_at_no_entries_and_every_at_all():
    offset = torch.full((30,), 100.0, dtype=torch.float64)
    x = torch.linspace(1, 2, 30, dtype=torch.float64, requires_grad=True)
    seen = {
        effort: gradcheck.verify(Noisy.apply, x, offset, effort=effort, variations=False)
        .parameters["inputs[0]"]
        .coverage.entries
        for effort in ("probe", "every")
    }
    assert seen == {"probe": 0, "every": 30}
