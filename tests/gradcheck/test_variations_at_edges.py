"""What shows at one value or one size only is found by default, under the variation that it needs."""

import pytest
import torch

import gradcheck
from cases.faults.torch import TorchFault, corners

_TWINS = {fault.program.__name__: fault for fault in corners.FAULTS}


def _verify(program, **options):
    torch.manual_seed(3)
    return gradcheck.verify(program.function, *program.args, kwargs=dict(program.kwargs), **options)


@pytest.mark.parametrize("fault", corners.FAULTS, ids=lambda fault: fault.name)
def test_a_fault_at_an_edge_is_caught_and_blamed(fault: TorchFault):
    report = _verify(fault.wrong())
    assert report.verdict == "fail", str(report)
    assert all(result.verdict == "pass" for result in report.parameters.values())
    assert report.blames[0].operation == fault.guilty


@pytest.mark.parametrize(
    "fault", [f for f in corners.FAULTS if f.needs != "same tensor twice"], ids=lambda fault: fault.name
)
def test_it_is_caught_under_the_variation_that_it_needs(fault: TorchFault):
    report = _verify(fault.wrong(), variations={fault.needs})
    assert [v.name for v in report.variations if v.verdict == "fail"] == [fault.needs]


@pytest.mark.parametrize("name", _TWINS)
def test_the_right_twin_passes(name: str):
    report = _verify(_TWINS[name].right())
    assert report.ok, str(report)


class Scaled(torch.autograd.Function):
    """The identity, whose gradient is scaled: a deviation that somebody wants."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return ctx.factor * g, None


def test_a_setting_that_the_value_does_not_depend_on_is_left_alone():
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(Scaled.apply, x, 1.0, variations={"other settings"})
    assert report.ok
    assert "no argument is 1.0 or 0.0, and counts" in report.variations[0].message


def test_a_row_of_a_kernel_that_must_be_even_is_grown_by_two():
    program = corners.paired_channels()
    report = _verify(program, variations={"other sizes"})
    assert "8 to 10" in report.variations[0].message


def test_axes_are_grown_beyond_many_blocks_where_that_is_cheap():
    report = _verify(corners.row_sums_in_blocks(), variations={"other sizes"})
    assert "6 to 2052" in report.variations[0].message


class Stretched(torch.autograd.Function):
    """sin(factor x), whose backward pass forgets the factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        return (factor * x).sin()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.cos(), None


class Layer(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.factor = function, 1.0

    def forward(self, x):
        return self.function(x, self.factor)


@pytest.mark.parametrize("function", [Stretched, Scaled])
def test_a_setting_that_a_module_passes_on_is_changed_where_the_function_takes_it(function):
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(Layer(function.apply), x)
    if function is Scaled:
        assert report.ok
        return
    (wrong,) = (v for v in report.variations if v.verdict == "fail")
    assert wrong.name == "other settings"
    assert wrong.message.startswith(
        "with argument 1 of Stretched made 0.7, the gradient of inputs[0] is wrong"
    )
    assert report.blame.operation == "Stretched.backward"
