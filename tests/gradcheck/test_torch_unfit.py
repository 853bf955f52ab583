"""What cannot be verified as it is given is refused, or verified in another way, and a sentence says so."""

import numpy as np
import pytest
import torch

import gradcheck

NAN, INF = float("nan"), float("inf")


def _vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("number", [NAN, INF, -INF])
def test_an_input_that_holds_no_number_is_refused(number):
    with pytest.raises(gradcheck.UsageError, match=r"inputs\[0\] holds NaN or infinity"):
        gradcheck.verify(torch.tanh, _vector(number, 1.0))


def test_a_parameter_that_holds_nan_is_refused():
    layer = torch.nn.Linear(3, 2)
    layer.weight.data[0, 1] = NAN
    with pytest.raises(gradcheck.UsageError, match="weight holds NaN or infinity"):
        gradcheck.verify(layer, torch.randn(4, 3))


def test_a_mask_of_infinities_that_nobody_asked_for_is_left_out():
    scores, mask = torch.randn(2, 3), torch.zeros(3)
    mask[1] = -INF
    report = gradcheck.verify(lambda scores, mask: torch.softmax(scores + mask, -1), scores, mask)
    assert report.ok
    assert list(report.parameters) == ["inputs[0]"]
    assert "not verified, as they hold NaN or infinity: inputs[1]" in report.notes


def test_numbers_whose_sum_overflows_are_numbers():
    x = torch.full((4,), 6e4, dtype=torch.float16, requires_grad=True)
    assert gradcheck.verify(lambda x: x * 0.5, x).ok


def test_integers_are_named_with_a_remedy():
    with pytest.raises(gradcheck.UsageError, match=r"inputs\[0\] has the integer type int64.*x\.double\(\)"):
        gradcheck.verify(lambda x: x * 2, torch.arange(3))


@pytest.mark.parametrize("value", [0.3, np.ones(2)])
def test_what_is_no_tensor_is_named_with_a_remedy(value):
    with pytest.raises(gradcheck.UsageError, match=r"inputs\[0\] is a (float|ndarray).*torch\.tensor\("):
        gradcheck.verify(torch.tanh, value)


@pytest.mark.parametrize("asked", [True, False])
def test_an_input_changed_in_place_is_verified_on_a_copy(asked):
    x = torch.tensor([1.0, 2.0], requires_grad=asked)
    report = gradcheck.verify(lambda x: x.mul_(2).sin(), x)
    assert report.ok
    assert any("verified on a copy" in note for note in report.notes)
    assert torch.equal(x.detach(), torch.tensor([1.0, 2.0]))


class Sine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.clone())
        ctx.mark_dirty(x)
        return x.sin_()

    @staticmethod
    def backward(ctx, u):
        return -u * ctx.saved_tensors[0].cos()


def test_a_wrong_operation_in_place_is_found_on_the_copy():
    report = gradcheck.verify(Sine.apply, _vector(1.0, 2.0))
    assert report.verdict == "fail"
    assert report.blame.operation == "Sine.backward"


def test_a_forward_pass_that_raises_is_quoted_without_a_second_full_stop():
    def broken(x):
        raise ValueError("no.")

    with pytest.raises(gradcheck.TargetError, match="ValueError: no; run it once"):
        gradcheck.verify(broken, _vector(1.0))


@pytest.mark.filterwarnings("ignore")  # that TorchScript is deprecated, and traces branches
@pytest.mark.parametrize("compiled", ["script", "trace"])
def test_torchscript_modules_are_verified(compiled):
    torch.manual_seed(0)
    layer, x = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)), torch.randn(4, 3)
    module = torch.jit.script(layer) if compiled == "script" else torch.jit.trace(layer, x)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    report = gradcheck.verify(module, x)
    assert report.ok
    assert set(report.parameters) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
