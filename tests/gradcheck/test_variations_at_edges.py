"""What shows at one value or one size only is found by default, under the variation that it needs."""

import pytest
import torch

import gradcheck
from cases.faults.torch import TorchFault, corners, settings

_FAULTS = (*corners.FAULTS, *settings.FAULTS)
_TWINS = {fault.program.__name__: fault for fault in _FAULTS}


def _verify(program, **options):
    torch.manual_seed(3)
    return gradcheck.verify(program.function, *program.args, kwargs=dict(program.kwargs), **options)


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: fault.name)
def test_a_fault_at_an_edge_is_caught_and_blamed(fault: TorchFault):
    report = _verify(fault.wrong())
    assert report.verdict == "fail", str(report)
    assert all(result.verdict == "pass" for result in report.parameters.values())
    assert report.blames[0].operation == fault.guilty


@pytest.mark.parametrize(
    "fault", [f for f in _FAULTS if f.needs != "same tensor twice"], ids=lambda fault: fault.name
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
    assert "no setting counts" in report.variations[0].message


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


class Segments(torch.autograd.Function):
    """Means of segments between the given bounds; ``tail`` is what the last row gets of its gradient."""

    @staticmethod
    def forward(ctx, x, bounds, tail=1.0):
        ctx.save_for_backward(bounds)
        ctx.rows, ctx.tail = len(x), tail
        pairs = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        return torch.stack([x[a:b].sum(0) / max(b - a, 1) for a, b in pairs])

    @staticmethod
    def backward(ctx, g):
        (bounds,) = ctx.saved_tensors
        lengths = bounds.diff()
        gradient = (g / lengths.clamp(min=1)[:, None]).repeat_interleave(lengths, 0)
        if ctx.rows % 7:
            gradient[-1] *= ctx.tail
        return gradient, None, None


@pytest.mark.parametrize(("tail", "verdict"), [(1.0, "pass"), (0.5, "fail")])
def test_bounds_of_segments_grow_with_their_axis(tail, verdict):
    x, bounds = torch.randn(7, 3, dtype=torch.float64), torch.tensor([0, 2, 5, 7])
    report = gradcheck.verify(Segments.apply, x.requires_grad_(), bounds, tail, variations={"other sizes"})
    assert report.verdict == verdict, str(report)


def test_a_matrix_that_contracts_goes_on_contracting():
    def settled(w, b):
        z = torch.zeros_like(b)
        for _ in range(200):
            z = torch.tanh(w @ z) + b
        return z

    class Equilibrium(torch.autograd.Function):
        @staticmethod
        def forward(ctx, w, b):
            z = settled(w, b)
            ctx.save_for_backward(w, z)
            return z

        @staticmethod
        def backward(ctx, g):
            w, z = ctx.saved_tensors
            slope = 1 - torch.tanh(w @ z) ** 2
            eye = torch.eye(len(z), dtype=z.dtype)
            v = torch.linalg.solve((eye - slope[:, None] * w).T, g)
            return torch.outer(v * slope, z), v

    w = torch.randn(4, 4, dtype=torch.float64)
    w = (0.6 * w / torch.linalg.matrix_norm(w, 2)).requires_grad_()
    report = gradcheck.verify(Equilibrium.apply, w, torch.randn(4, dtype=torch.float64).requires_grad_())
    assert report.ok, str(report)


def test_a_size_at_which_backward_raises_is_none_that_it_is_meant_for():
    class Pairs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.reshape(-1, 4, 2).sum(-1)

        @staticmethod
        def backward(ctx, g):
            return g.unsqueeze(-1).expand(-1, 4, 2).reshape(-1, 8)

    report = gradcheck.verify(Pairs.apply, torch.randn(5, 8, dtype=torch.float64).requires_grad_())
    assert report.ok, str(report)
    (sizes,) = [each for each in report.variations if each.name == "other sizes"]
    assert "is it meant to work there?" in sizes.message


class _OneClass(torch.autograd.Function):
    """A softmax over rows whose backward pass passes the cotangent on where a row has one class."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(y := x.softmax(-1))
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g if y.shape[-1] == 1 else y * (g - (g * y).sum(-1, keepdim=True))


def test_what_is_wrong_of_a_single_class_alone_is_not_taken_for_a_matter_of_odd_lengths():
    report = gradcheck.verify(_OneClass.apply, torch.randn(3, 4, dtype=torch.float64, requires_grad=True))
    (failed,) = [v for v in report.variations if v.verdict == "fail"]
    assert failed.name == "other sizes"
    assert "axes of 4 made 1" in failed.message
