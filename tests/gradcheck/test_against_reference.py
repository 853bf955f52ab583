"""A reference as ground truth: values first, then gradients, by twice its own error."""

from __future__ import annotations

import pytest
import torch

import gradcheck
from gradcheck import against_reference
from gradcheck.errors import TargetError
from gradcheck.report.records import Verdict
from gradcheck.subjects.torch import TorchSubject


class Square(torch.autograd.Function):
    """Squares; the gradient is off by a share."""

    @staticmethod
    def forward(ctx, x, share):
        ctx.save_for_backward(x)
        ctx.share = share
        return x**2

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g * (1 + ctx.share), None


def leaf(dtype=torch.float64):
    return torch.linspace(0.5, 2.0, 8, dtype=dtype).requires_grad_()


def compared(function, reference, *args):
    return against_reference.compare(TorchSubject(function, args), reference)


def test_the_same_function_passes_at_every_leaf():
    found, message = compared(lambda x, y: x * y.sin(), lambda x, y: y.sin() * x, leaf(), leaf())
    assert message == ""
    assert set(found) == {"inputs[0]", "inputs[1]"}
    assert all(c.verdict is Verdict.PASS and c.witness == "reference" for c in found.values())
    assert all((c.mismatched, c.compared) == (0, 8) for c in found.values())


@pytest.mark.parametrize(
    ("dtype", "roundings", "verdict"),
    [
        (torch.float32, 4, "pass"),
        (torch.float32, 40, "fail"),
        (torch.float64, 4, "pass"),
        (torch.float64, 40, "fail"),
    ],
)
def test_a_few_roundings_more_than_the_reference_are_allowed_and_many_are_not(dtype, roundings, verdict):
    share = roundings * torch.finfo(dtype).eps
    found, _ = compared(
        lambda x: Square.apply(x, share),
        lambda x: x**2,
        leaf(dtype),
    )
    assert found["inputs[0]"].verdict == verdict


def test_the_reference_may_err_half_as_much():
    def rough(x):  # a reference that works in half precision inside
        return (x.to(torch.float16) ** 2).to(x.dtype) if x.dtype is torch.float32 else x**2

    found, message = compared(rough, rough, leaf(torch.float32))
    assert message == ""
    assert found["inputs[0]"].verdict is Verdict.PASS
    assert found["inputs[0]"].tolerance > 1e-4
    found, _ = compared(lambda x: Square.apply(x, 0.0), lambda x: x**2, leaf(torch.float32))
    assert found["inputs[0]"].tolerance < 1e-4


def test_a_wrong_entry_is_named_with_both_values():
    x = leaf()
    found, _ = compared(lambda x: Square.apply(x, torch.eye(8, dtype=x.dtype)[5]), lambda x: x**2, x)
    comparison = found["inputs[0]"]
    assert comparison.verdict is Verdict.FAIL
    assert comparison.index == (5,)
    assert comparison.mismatched == 1
    assert comparison.claimed == pytest.approx(2 * comparison.expected)
    assert comparison.rel_error == pytest.approx(0.5)


def test_where_the_values_differ_gradients_are_not_compared():
    found, message = compared(lambda x: x * 2, lambda x: x * 2 + (x > 1.9), leaf())
    assert found == {}
    assert message == "the forward pass differs from the reference: 4 against 5 at [7]"


def test_a_gradient_that_is_missing_counts_as_zero():
    found, _ = compared(lambda x, y: x * y.detach(), lambda x, y: x * y, leaf(), leaf())
    assert found["inputs[0]"].verdict is Verdict.PASS
    assert found["inputs[1]"].verdict is Verdict.FAIL
    assert found["inputs[1]"].claimed == 0


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (lambda x: (x, x), "returns 2 differentiable outputs, <lambda> 1: let both return the same"),
        (lambda x: x[:3], r"returns shape \(3,\), <lambda> \(8,\): let both return the same"),
    ],
)
def test_a_reference_of_another_shape_is_refused(reference, message):
    with pytest.raises(TargetError, match=message):
        compared(lambda x: x * 1, reference, leaf())


def test_it_decides_where_finite_differences_cannot():
    def rough(x):  # one more number of noise at each point, and a smooth gradient beside it
        return x**2 + torch.frac(x.detach() * 1e9)

    assert gradcheck.verify(rough, leaf(), variations=False).verdict == "inconclusive"
    assert gradcheck.verify(rough, leaf(), variations=False, reference=rough).ok


def test_a_report_carries_the_references_opinion():
    report = gradcheck.verify(
        lambda x: Square.apply(x, 1e-9), leaf(), reference=lambda x: x**2, variations=False
    )
    result = report.parameters["inputs[0]"]
    assert result.verdict == "fail"
    assert result.comparisons["reference"].verdict == "fail"
    assert result.comparisons["finite differences"].verdict == "pass"
    assert "twice as much as the reference" in result.message
