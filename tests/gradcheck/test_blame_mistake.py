"""The mistake named inside the guilty operation, where it stands in the middle of a network."""

import json

import pytest
import torch

import gradcheck
from cases.faults.torch import TORCH_FAULTS
from gradcheck import Report

# What is told of a parameter or input itself is not told again of the operation; and some faults cannot be
# seen in one operation alone.
ELSEWHERE = {
    "the sink's gradient has the wrong sign": "the sink is a leaf",
    "a scalar gets the mean instead of the sum": "the scalar is a leaf",
    "a gradient of another shape is returned": "the backward pass raises",
    "scaled by chance, by Python's dice": "each call draws another factor",
    "noise is added to the gradient": "no two calls agree",
}
ROWS = [
    fault
    for fault in TORCH_FAULTS
    if fault.diagnosis and fault.blame == "" and not fault.needs and not fault.precision
    if fault.name not in ELSEWHERE and fault.family != "saved tensors mutated"
]


def mixed(x, seed):
    """Return a tensor behind a linear layer; positive where it was."""
    if not (x.requires_grad and x.ndim and x.shape[-1] > 1):
        return x
    n = x.shape[-1]
    noise = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x @ (torch.eye(n) + 0.1 * noise).to(x.dtype)


def inside_a_model(program):
    def model(*args, **kwargs):
        moved = [mixed(a, i) if isinstance(a, torch.Tensor) else a for i, a in enumerate(args)]
        return program.function(*moved, **kwargs)

    options = {"kwargs": dict(program.kwargs), "variations": False, "name": "model"}
    return gradcheck.verify(model, *program.args, **options)


@pytest.mark.parametrize("fault", ROWS, ids=lambda fault: fault.name)
def test_the_mistake_is_named_where_it_is(fault):
    report = inside_a_model(fault.wrong())
    assert report.blame.operation == fault.guilty
    assert report.blame.diagnoses[0].kind in fault.diagnosis, report


def test_a_backward_pass_that_gives_nan_is_not_called_right_when_run_alone():
    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.abs().sqrt()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g / (2 * x.sqrt())  # of negative numbers

    report = gradcheck.verify(*network(Root.apply), variations=False)
    assert report.verdict == "fail"
    assert report.blame.operation == "Root.backward"
    assert "NaN or infinite, where finite differences are not" in report.blame.message
    assert report.blame.diagnoses[0].kind == "non-finite"


def test_a_right_operation_is_not_explained():
    report = inside_a_model(ROWS[0].right())
    assert report.ok
    assert not report.blames


class RMSNorm(torch.autograd.Function):
    """The mean runs over the batch in backward, where it runs over the features in forward."""

    @staticmethod
    def forward(ctx, x):
        inverse = torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)
        ctx.save_for_backward(x, inverse)
        return x * inverse

    @staticmethod
    def backward(ctx, g):
        x, inverse = ctx.saved_tensors
        return inverse * g - x * inverse**3 * (g * x).sum(-1, keepdim=True) / x.shape[0]


def network(normalise):
    torch.manual_seed(0)
    layer, head = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)
    return torch.nn.Sequential(layer, torch.nn.Tanh(), _Function(normalise), head), torch.randn(5, 6)


class _Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_parameters_before_it_inherit_the_explanation():
    report = gradcheck.verify(*network(RMSNorm.apply), variations=False)
    (found,) = report.blame.diagnoses
    assert "a multiple of x along axis 1" in found.message
    assert "norm" in found.message
    first = report.parameters["0.weight"].diagnoses[0]
    assert first.kind == found.kind == "missing-term"
    assert first.details["operation"] == "RMSNorm.backward"
    assert "passes through RMSNorm.backward" in first.message
    assert f"    {found.message}" in str(report)


def test_the_explanation_survives_json():
    report = gradcheck.verify(*network(RMSNorm.apply), variations=False)
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_a_path_that_is_cut_explains_what_looks_like_a_lost_sample():
    def scaled(x):
        return x / x.abs().max().item()

    report = gradcheck.verify(*network(scaled), variations=False)
    assert report.blame.operation == "Tensor.item"
    for name in ("0.weight", "0.bias"):
        (found,) = report.parameters[name].diagnoses
        assert found.kind == "missing-term"
        assert "lacks the part that goes through Tensor.item at" in found.message


def test_a_gradient_that_is_cut_off_altogether_stays_severed():
    report = gradcheck.verify(*network(lambda x: x.detach()), variations=False)
    assert report.parameters["0.weight"].diagnoses[0].kind == "severed"


class SineSum(torch.autograd.Function):
    """Gives back the gradient that forward computed, whatever arrives."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return (x * w).sin().sum()

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        slope = (x * w).cos()
        return slope * w, slope * x


class WrongForX(SineSum):
    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        slope = g * (x * w).cos()
        return slope * x, slope * w * 1.5


class Weighed(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.layer = function, torch.nn.Linear(5, 5)
        self.w = torch.nn.Parameter(torch.rand(5) + 1)

    def forward(self, x):
        return 2 * self.function(self.layer(x), self.w)


def test_a_cotangent_that_is_ignored_comes_before_a_factor_without_a_name():
    x, w = torch.rand(2, 5, dtype=torch.float64)
    report = gradcheck.verify(SineSum.apply, x, w, variations=False)
    assert {p.diagnoses[0].kind for p in report.parameters.values()} == {"cotangent"}


def test_a_cotangent_that_is_ignored_is_named_with_operations_around_it():
    report = gradcheck.verify(Weighed(SineSum.apply).double(), torch.rand(3, 5).double(), variations=False)
    assert [d.kind for d in report.blame.diagnoses] == ["cotangent"]
    assert {p.diagnoses[0].kind for p in report.parameters.values()} == {"cotangent"}


def test_what_is_said_of_one_argument_is_not_said_of_a_parameter_that_is_another():
    report = gradcheck.verify(Weighed(WrongForX.apply).double(), torch.rand(3, 5).double(), variations=False)
    assert "passes through" not in report.parameters["w"].diagnoses[0].message
