"""What is said of the one backward pass that no look alone finds wrong, and of what was asked for."""

import pytest
import torch
from blame_lines import line

import gradcheck


def _vector(*numbers, dtype=torch.float64):
    return torch.tensor(numbers, dtype=dtype, requires_grad=True)


class Narrow(torch.autograd.Function):
    """Right in float64 only."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return u * x.cos() * (1.05 if x.dtype == torch.float32 else 1.0)


def test_what_is_right_in_float64_only_is_called_that():
    report = gradcheck.verify(Narrow.apply, _vector(0.3, 0.7, 2.0, dtype=torch.float32))
    assert report.verdict == "fail"
    assert report.blame.operation == "Narrow.backward"
    assert report.blame.message.startswith("right in float64, wrong in the format of its arguments")
    assert gradcheck.verify(Narrow.apply, _vector(0.3, 0.7, 2.0)).ok


def dropout(keep):
    class Dropout(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            mask = torch.rand_like(x) > 0.4
            ctx.save_for_backward(mask)
            return x * mask

        @staticmethod
        def backward(ctx, u):
            (mask,) = ctx.saved_tensors
            return u * (mask if keep else torch.rand_like(u) > 0.4)

    return Dropout.apply


def test_a_mask_drawn_again_is_called_that():
    x = torch.ones(40, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(dropout(keep=False), x)
    assert report.verdict == "fail"
    assert "draws random numbers again in its backward pass" in report.blame.message
    assert gradcheck.verify(dropout(keep=True), x).ok


def logarithm(factor):
    class Logarithm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.log()

        @staticmethod
        def backward(ctx, u):
            return factor * u / ctx.saved_tensors[0]

    return Logarithm.apply


def test_beside_an_infinite_result_the_operation_is_judged_by_its_other_entries():
    report = gradcheck.verify(logarithm(2), _vector(0.0, 1.0, 2.0))
    assert report.verdict == "fail"
    assert report.blame.message.startswith("wrong gradient for x")
    (found, *_) = report.parameters["inputs[0]"].diagnoses
    assert found.kind == "scale"
    assert "not finite" not in str(report)
    assert gradcheck.verify(logarithm(1), _vector(0.0, 1.0, 2.0)).ok


def power(exchanged):
    class Power(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, base):
            y = (x * base.log()).exp()
            ctx.save_for_backward(x, base, y)
            return y

        @staticmethod
        def backward(ctx, u):
            x, base, y = ctx.saved_tensors
            return u * y * base.log(), u * (base ** (x - 1) if not exchanged else x ** (base - 1)) * x

    return Power.apply


def test_a_gradient_that_is_nan_beside_finite_results_is_wrong_alone():
    torch.manual_seed(0)
    x, base = torch.randn(3, 4, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64) + 0.5
    mix = torch.eye(4, dtype=torch.float64) + 0.1
    x.requires_grad_(), base.requires_grad_()
    report = gradcheck.verify(lambda x, base: power(True)(x @ mix, base @ mix), x, base, variations=False)
    assert report.verdict == "fail"
    assert report.blame.operation == "Power.backward"
    assert report.blame.message.startswith(
        "the gradient for base is NaN or infinite, where finite differences"
    )
    assert gradcheck.verify(lambda x, base: power(False)(x @ mix, base @ mix), x, base).ok


@pytest.mark.parametrize(
    ("options", "argument", "index"),
    [
        ({"padding_idx": 0}, "padding_idx", [0, 1, 2]),
        ({"scale_grad_by_freq": True}, "scale_grad_by_freq", [0, 1, 1]),
    ],
)
def test_what_the_user_asked_pytorch_for_is_named_with_its_waiver(options, argument, index):
    torch.manual_seed(0)
    layer, index = torch.nn.Embedding(5, 3, **options), torch.tensor(index)
    report = gradcheck.verify(layer, index)
    assert report.verdict == "fail"
    (found,) = report.parameters["weight"].diagnoses
    assert f"because {argument}=" in found.message
    assert f"allow={{'weight': '{argument}'}}" in found.message
    assert gradcheck.verify(layer, index, allow={"weight": argument}).ok
    assert gradcheck.verify(torch.nn.Embedding(5, 3), index).ok


def clip(module, given, arrived):  # defined
    return tuple(None if g is None else g.clamp(-0.01, 0.01) for g in given)


def test_a_hook_from_before_the_run_is_placed_where_it_is_defined():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 2, dtype=torch.float64)
            self.layer.register_full_backward_hook(clip)

        def forward(self, x):
            return self.layer(x.sin())

    torch.manual_seed(0)
    report = gradcheck.verify(Model(), torch.randn(4, 3, dtype=torch.float64, requires_grad=True))
    assert report.blame.operation == "hook clip"
    assert report.blame.location == line("defined")
    assert report.blame.message.endswith(f"; defined at {line('defined')}")
    assert "attached" not in report.blame.message


def test_of_two_cuts_each_leaf_is_told_its_own():
    def model(x, w):
        return x * x.abs().max().item() + w * w.abs().max().item()

    report = gradcheck.verify(model, _vector(1.0, 2.5), _vector(0.5, -3.0), variations=False)
    assert len(report.blames) >= 1
    for name in ("inputs[0]", "inputs[1]"):
        assert "lacks the part that goes through Tensor.item" in report.parameters[name].diagnoses[0].message
