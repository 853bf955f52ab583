"""Models in narrow formats: mathematics in float64 where they run so, else noise-aware, or by a reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import gradcheck


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(17)


def _leaf(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return g * s * (1 + x * (1 - s))


class WrongSwish(Swish):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * torch.sigmoid(x)


def only(dtype: torch.dtype, function: Any) -> Any:
    """Return the function as a kernel that takes one format only."""

    def kernel(x):
        if x.dtype is not dtype:
            raise TypeError(f"this kernel takes {dtype} only")
        return function(x)

    return kernel


@pytest.mark.parametrize(
    ("dtype", "least"), [(torch.float32, 6), (torch.bfloat16, 1.5), (torch.float16, 2.5)]
)
def test_narrow_models_are_verified_in_float64_and_their_digits_counted(dtype, least):
    report = gradcheck.verify(Swish.apply, _leaf(5, dtype=dtype))
    assert report.ok, str(report)
    result = report.parameters["inputs[0]"]
    assert least < result.digits < 12
    assert result.dtype == str(dtype).removeprefix("torch.")
    assert result.comparisons["finite differences"].tolerance < 1e-4
    assert gradcheck.verify(WrongSwish.apply, _leaf(5, dtype=dtype)).verdict == "fail"


def test_a_module_keeps_its_dtype_and_shows_digits_per_parameter():
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2))
    report = gradcheck.verify(model, torch.randn(4, 6))
    assert report.ok, str(report)
    assert all(5 < result.digits <= 17 for result in report.parameters.values())
    assert report.parameters["0.weight"].digits < 12
    assert all(parameter.dtype is torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_gradient_that_is_zero_has_no_digits_to_keep(dtype):
    x, shift = _leaf(4, dtype=dtype), _leaf(dtype=dtype)
    report = gradcheck.verify(lambda x, shift: (x.sin() + shift).diff(), x, shift)
    assert report.ok, str(report)
    assert report.parameters["inputs[1]"].digits is None
    assert report.parameters["inputs[0]"].digits > 1


def test_an_error_that_only_the_narrow_format_has_is_found():
    class Flushed(torch.autograd.Function):
        """Sums in float32 what is nearly cancelled, and does better in float64."""

        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            large = 1e7 if g.dtype is torch.float32 else 1.0
            return (g * 2 + large) - large

    report = gradcheck.verify(Flushed.apply, _leaf(20))
    assert report.verdict == "fail", str(report)
    assert "right in float64, but the gradient computed in float32" in report.parameters["inputs[0]"].message


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("seed", range(3))
def test_a_right_function_of_one_format_only_is_never_failed(dtype, seed):
    torch.manual_seed(seed)
    report = gradcheck.verify(only(dtype, Swish.apply), _leaf(6, dtype=dtype))
    assert report.verdict != "fail", str(report)
    assert "does not run in float64" in str(report)
    if dtype is torch.float32:
        assert report.ok
    if report.verdict == "inconclusive":
        assert "reference" in str(report)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_wrong_function_of_one_format_only_never_passes(dtype):
    report = gradcheck.verify(only(dtype, WrongSwish.apply), _leaf(6, dtype=dtype))
    assert not report.ok, str(report)
    if dtype is torch.float32:
        assert report.verdict == "fail"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_reference_decides(dtype):
    x = _leaf(6, dtype=dtype)
    right = gradcheck.verify(only(dtype, Swish.apply), x, reference=nn.functional.silu)
    assert right.ok, str(right)
    assert right.parameters["inputs[0]"].comparisons["reference"].verdict == "pass"
    wrong = gradcheck.verify(only(dtype, WrongSwish.apply), x, reference=nn.functional.silu)
    assert wrong.verdict == "fail"
    assert wrong.parameters["inputs[0]"].comparisons["reference"].verdict == "fail"


def test_a_reference_with_another_value_is_another_function():
    report = gradcheck.verify(Swish.apply, _leaf(6), reference=lambda x: nn.functional.silu(x) + 0.1)
    assert report.verdict == "fail"
    assert "the forward pass differs from the reference" in report.message


def test_the_yardstick_allows_twice_the_error_of_the_reference():
    class Sloppy(Swish):
        @staticmethod
        def backward(ctx, g):
            return Swish.backward(ctx, g) * (1 + 2e-4)

    report = gradcheck.verify(only(torch.float32, Sloppy.apply), _leaf(50), reference=nn.functional.silu)
    assert report.parameters["inputs[0]"].comparisons["reference"].verdict == "fail"
    assert "twice" in report.parameters["inputs[0]"].message


def test_single_complex_numbers():
    report = gradcheck.verify(lambda z: z * z.conj() * z, _leaf(4, dtype=torch.complex64))
    assert report.ok, str(report)
    assert 5 < report.parameters["inputs[0]"].digits < 12
