"""Faults that ``torch.autograd.gradcheck`` passes, or that show in no ordinary run, caught by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import gradcheck
from gradcheck import Report

DOUBLE = torch.float64


def _leaf(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=DOUBLE).requires_grad_()


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(11)


def _torch_passes(function: Callable[..., Any], *given: Any, fast: bool) -> bool:
    return bool(torch.autograd.gradcheck(function, given, fast_mode=fast, raise_exception=False))


def _caught(wrong: Any, *given: Any, **options: Any) -> Report:
    report = gradcheck.verify(wrong, *given, **options)
    assert report.verdict == "fail", str(report)
    return report


class Square(torch.autograd.Function):
    """x**2, right; ``factor`` is what the faults below multiply its gradient by."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def _failing_variations(report: Report) -> set[str]:
    return {v.name for v in report.variations if v.verdict == "fail"}


# Size


def test_an_all_zero_backward_under_a_mean_of_200000():
    class Zero(Square):
        @staticmethod
        def backward(ctx, g):
            return torch.zeros_like(g)

    x = _leaf(200_000)
    assert _torch_passes(lambda x: Zero.apply(x).mean(), x, fast=True)
    report = _caught(lambda x: Zero.apply(x).mean(), x)
    assert report.blame.operation == "Zero.backward"
    assert "is zero, but the loss depends on it" in str(report)
    assert gradcheck.verify(lambda x: Square.apply(x).mean(), x, variations=False).ok


@pytest.mark.parametrize("n", [512, 4096, 1_000_000])
def test_one_wrong_entry_among_many_is_found_and_named(n):
    place = n // 3 + 1

    class OneWrong(Square):
        @staticmethod
        def backward(ctx, g):
            result = Square.backward(ctx, g)
            result[place] *= 2
            return result

    x = _leaf(n)
    if n == 4096:
        assert _torch_passes(OneWrong.apply, x, fast=True)
    report = _caught(OneWrong.apply, x)
    comparison = report.parameters["inputs[0]"].comparisons["finite differences"]
    assert comparison.index == (place,)
    assert comparison.mismatched == 1
    assert report.cost.forward_evaluations <= 300
    assert report.blame.operation == "OneWrong.backward"


def test_a_right_function_of_a_million_entries_passes():
    assert gradcheck.verify(Square.apply, _leaf(1_000_000), variations=False).ok


def test_a_tiny_gradient_with_the_wrong_sign_beside_large_ones():
    class Mixed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + 1e-6 * b

        @staticmethod
        def backward(ctx, g):
            return g, -1e-6 * g

    class Right(Mixed):
        @staticmethod
        def backward(ctx, g):
            return g, 1e-6 * g

    a, b = _leaf(5), _leaf(5)
    assert _torch_passes(Mixed.apply, a, b, fast=True)
    assert _torch_passes(Mixed.apply, a, b, fast=False)
    report = _caught(Mixed.apply, a, b)
    assert report.parameters["inputs[0]"].verdict == "pass"
    assert report.parameters["inputs[1]"].verdict == "fail"
    assert report.parameters["inputs[1]"].diagnoses[0].kind == "sign"
    assert gradcheck.verify(Right.apply, a, b).ok


def test_a_tiny_entry_with_the_wrong_sign_within_one_tensor():
    weights = torch.tensor([1.0, 1.0, 1e-6, 1.0], dtype=DOUBLE)

    class OneSign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * weights

        @staticmethod
        def backward(ctx, g):
            return g * weights.clone().index_fill_(0, torch.tensor(2), -1e-6)

    x = _leaf(4)
    assert _torch_passes(OneSign.apply, x, fast=False)
    comparison = _caught(OneSign.apply, x).parameters["inputs[0]"].comparisons["finite differences"]
    assert (comparison.index, comparison.mismatched) == ((2,), 1)


def test_a_constant_in_single_precision_is_reported_as_imprecise():
    single = float(torch.tensor(2 / 3, dtype=torch.float32))

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * (2 / 3)

        @staticmethod
        def backward(ctx, g):
            return g * single

    x = _leaf(6)
    assert _torch_passes(Rounded.apply, x, fast=False)
    report = gradcheck.verify(Rounded.apply, x)
    result = report.parameters["inputs[0]"]
    assert report.ok
    assert any("imprecise" in note for note in result.notes)
    assert 7 < result.digits < 9


# Circumstances


def test_a_backward_right_for_all_ones_cotangents_only():
    class Ones(Square):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x

    x = _leaf(4)
    assert _caught(lambda x: Ones.apply(x).sum(), x).blame.operation == "Ones.backward"
    _caught(Ones.apply, x)


def test_a_backward_right_for_contiguous_cotangents_only():
    class Contiguous(Square):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            stored = torch.as_strided(g, g.shape, torch.empty(g.shape).stride(), g.storage_offset())
            return 2 * x * stored

    x = _leaf(3, 4)
    assert _torch_passes(Contiguous.apply, x, fast=False)
    report = _caught(Contiguous.apply, x)
    assert "cotangent layouts" in _failing_variations(report)
    assert report.blame.operation == "Contiguous.backward"


def test_a_function_right_for_contiguous_inputs_only():
    class Contiguous(Square):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            flat = torch.as_strided(x, x.shape, torch.empty(x.shape).stride(), x.storage_offset())
            return 2 * flat * g

    x = _leaf(3, 4)
    assert _torch_passes(Contiguous.apply, x, fast=False)
    assert "non-contiguous inputs" in _failing_variations(_caught(Contiguous.apply, x))


def test_a_gradient_wrong_at_zeros_only():
    class Hinge(torch.autograd.Function):
        """x |x|, whose gradient 2 |x| is claimed to be 1 at 0."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x.abs()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return torch.where(x == 0, torch.ones_like(x), 2 * x.abs()) * g

    x = _leaf(7)
    assert _torch_passes(Hinge.apply, x, fast=False)
    assert _failing_variations(_caught(Hinge.apply, x)) & {"zeros", "some zeros"}


def test_a_gradient_wrong_at_ties_only():
    class Largest(torch.autograd.Function):
        """The maximum of each row, whose gradient goes to each of several equal entries in full."""

        @staticmethod
        def forward(ctx, x):
            result = x.amax(-1)
            ctx.save_for_backward(x, result)
            return result

        @staticmethod
        def backward(ctx, g):
            x, result = ctx.saved_tensors
            return (x == result[..., None]) * g[..., None]

    class Shared(Largest):
        @staticmethod
        def backward(ctx, g):
            x, result = ctx.saved_tensors
            first = x == result[..., None]
            return first * g[..., None] / first.sum(-1, keepdim=True)

    x = _leaf(3, 4)
    assert _torch_passes(Largest.apply, x, fast=False)
    assert _failing_variations(_caught(Largest.apply, x)) & {"ties", "zeros"}
    assert gradcheck.verify(Shared.apply, x).ok


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b, g * a


def test_a_gradient_wrong_when_one_input_does_not_require_grad():
    class Subset(Product):
        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            if all(ctx.needs_input_grad):
                return g * b, g * a
            return (g * a, None) if ctx.needs_input_grad[0] else (None, g * b)

    a, b = _leaf(3), _leaf(3)
    assert _torch_passes(Subset.apply, a, b, fast=False)
    assert "requires_grad subsets" in _failing_variations(_caught(Subset.apply, a, b))


def test_a_gradient_wrong_when_one_output_is_used_alone():
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x)
            return x.sin(), x.cos()

        @staticmethod
        def backward(ctx, g, h):
            (x,) = ctx.saved_tensors
            if h is None:
                return g * x.sin()
            return -h * x.sin() if g is None else g * x.cos() - h * x.sin()

    # torch's gradcheck asks for each output alone, with zeros for the other: never undefined
    report = _caught(Both.apply, _leaf(3))
    assert "each output alone" in _failing_variations(report)


def test_a_gradient_wrong_at_another_size_only():
    class Block(Square):
        """The gradient of a tail beyond a whole block of 4 is forgotten."""

        @staticmethod
        def backward(ctx, g):
            result = Square.backward(ctx, g)
            whole = result.shape[-1] // 4 * 4
            result[..., whole:] = 0
            return result

    x = _leaf(2, 8)
    assert _torch_passes(Block.apply, x, fast=False)
    report = _caught(Block.apply, x)
    assert "other sizes" in _failing_variations(report)
    assert report.blame.operation == "Block.backward"


def test_a_second_order_gradient_that_is_wrong_while_the_first_is_right():
    class Detached(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x.detach() ** 2 * g

    x = _leaf(3)
    assert _torch_passes(Detached.apply, x, fast=False)
    assert gradcheck.verify(Detached.apply, x).ok
    report = _caught(Detached.apply, x, order=2)
    assert report.parameters["inputs[0]"].verdict == "pass"
    assert report.parameters["second order: inputs[0]"].verdict == "fail"


class Rectifier(torch.autograd.Function):
    """ReLU, its gradient times a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x.relu()

    @staticmethod
    def backward(ctx, g):
        return ctx.factor * g * (ctx.saved_tensors[0] > 0), None


class Rectified(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return Rectifier.apply(x, self.factor)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (2.0, "fail")])
def test_a_wrong_layer_far_from_the_output_whose_gradient_drowns_in_rounding(factor, verdict):
    torch.manual_seed(0)
    layers = []
    for i in range(60):
        layers += [torch.nn.Linear(16, 16), Rectified(factor) if i == 10 else torch.nn.ReLU()]
    report = gradcheck.verify(torch.nn.Sequential(*layers), torch.randn(4, 16))
    assert report.verdict == verdict, str(report)
    if verdict == "fail":
        assert report.blame.operation == "Rectifier.backward"
        assert report.blame.diagnoses[0].kind == "scale"
        assert "too small to be told from zero" in str(report).splitlines()[0]
