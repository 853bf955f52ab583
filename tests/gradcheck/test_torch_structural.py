"""What is wrong with a gradient before its numbers: each structural fault has its own message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gradcheck
from gradcheck import Report

DOUBLE = torch.float64


def _leaf(*shape: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


@pytest.fixture(autouse=True)
def _chance() -> None:
    torch.manual_seed(7)


def _verified(right: Any, wrong: Any, *given: Any) -> Report:
    """Return the report of the wrong twin, the right one having passed."""
    assert (report := gradcheck.verify(right, *given)).ok, str(report)
    report = gradcheck.verify(wrong, *given)
    assert report.verdict == "fail", str(report)
    return report


class Cube(torch.autograd.Function):
    """x**3, right; the faults below derive from it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


def _messages(report: Report) -> str:
    parts = [report.message, *(p.message for p in report.parameters.values())]
    return " ".join([*parts, *(v.message for v in report.variations if v.verdict == "fail")])


def _kinds(report: Report) -> set[str]:
    return {d.kind for p in report.parameters.values() for d in p.diagnoses}


# Severed


class Head(nn.Module):
    """Two layers; ``cut`` stands between them."""

    def __init__(self, cut: Any) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second, self.cut = nn.Linear(3, 4).double(), nn.Linear(4, 2).double(), cut

    def forward(self, x):
        return self.second(self.cut(torch.tanh(self.first(x))))


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda h: h.detach(), id="detach"),
        pytest.param(lambda h: h.data * 1, id="data"),
        pytest.param(lambda h: torch.from_numpy(h.detach().numpy() * 2), id="numpy"),
        pytest.param(lambda h: torch.tensor(h.tolist(), dtype=h.dtype), id="tensor of numbers"),
    ],
)
def test_a_severed_path_is_named_with_its_line(cut):
    report = _verified(Head(lambda h: h), Head(cut), torch.randn(5, 3, dtype=DOUBLE))
    for name in ("first.weight", "first.bias"):
        assert report.parameters[name].verdict == "fail"
        assert "no gradient reaches this parameter" in report.parameters[name].message
        assert "severed" in {d.kind for d in report.parameters[name].diagnoses}
    assert report.parameters["second.weight"].verdict == "pass"
    assert report.blame is not None
    assert report.blame.location.startswith("tests/gradcheck/test_torch_structural.py:")


def test_a_backward_that_returns_none_is_severed():
    class Forgotten(Cube):
        @staticmethod
        def backward(ctx, g):
            return None

    report = _verified(Cube.apply, Forgotten.apply, _leaf(3))
    assert "no gradient reaches" in _messages(report)
    assert report.blame.operation == "Forgotten.backward"


# Shape and dtype


class Shift(torch.autograd.Function):
    """x + b with b broadcast over rows."""

    @staticmethod
    def forward(ctx, x, b):
        return x + b

    @staticmethod
    def backward(ctx, g):
        return g, g.sum(0)


def test_a_gradient_of_the_wrong_shape_is_named():
    class Unreduced(Shift):
        @staticmethod
        def backward(ctx, g):
            return g, g.sum(1)

    report = _verified(Shift.apply, Unreduced.apply, _leaf(4, 3), _leaf(3))
    assert "invalid gradient at index 1" in report.message
    assert "shape" in _kinds(report)
    assert "[4]" in report.message


def test_a_gradient_computed_in_a_narrower_dtype_is_named():
    class Narrow(Cube):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return (3 * x.half() ** 2 * g.half()).to(torch.float16)

    report = _verified(Cube.apply, Narrow.apply, _leaf(50))
    assert "precision" in _kinds(report)
    assert "float16" in str(report)


# NaN and infinity


def test_nan_where_the_forward_pass_is_smooth_is_a_fault():
    class Norm(torch.autograd.Function):
        """x * x, by way of 2 |x|**2 / x."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x**2 / x * g

    x = torch.randn(5, dtype=DOUBLE)
    x[2] = 0
    report = _verified(lambda x: x * x, Norm.apply, x.requires_grad_())
    assert "1 of 5 entries are NaN or infinite, at [2] where finite differences give 0" in _messages(report)
    assert "non-finite" in _kinds(report)
    compared = report.parameters["inputs[0]"].comparisons["finite differences"]
    assert compared.verdict == "fail"
    assert np.isnan(compared.claimed)
    assert compared.index == (2,)
    assert "along a random direction" not in str(report)


def test_an_infinite_gradient_where_the_true_one_is_infinite_is_no_fault():
    report = gradcheck.verify(lambda x: x.sqrt(), torch.tensor([0.0, 1.0], dtype=DOUBLE).requires_grad_())
    assert report.ok, str(report)
    assert "not smooth" in str(report)


# The cotangent


def test_a_backward_that_is_not_linear_is_named():
    class Clipped(Cube):
        @staticmethod
        def backward(ctx, g):
            return Cube.backward(ctx, g).clamp(-1, 1)

    assert "not linear in the cotangent" in _messages(_verified(Cube.apply, Clipped.apply, _leaf(20)))


def test_a_backward_that_clips_only_what_is_large_is_not_linear():
    class Clipped(Cube):
        @staticmethod
        def backward(ctx, g):
            return Cube.backward(ctx, g.clamp(-100, 100))

    report = _verified(Cube.apply, Clipped.apply, _leaf(20))
    assert "1000 times the cotangent does not give 1000 times the gradient" in _messages(report)


def test_a_cotangent_that_is_ignored_is_named():
    class Ignored(Cube):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x**2

    report = _verified(Cube.apply, Ignored.apply, _leaf(20))
    assert "cotangent" in _messages(report)


def test_a_backward_right_for_a_constant_cotangent_only_is_caught():
    class AllAlike(Cube):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g.mean()

    report = _verified(Cube.apply, AllAlike.apply, _leaf(20))
    assert report.parameters["inputs[0]"].verdict == "fail"


class Split(torch.autograd.Function):
    """Two outputs; cotangents come as None where undefined."""

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x.sin(), x.cos()

    @staticmethod
    def backward(ctx, g, h):
        (x,) = ctx.saved_tensors
        result = torch.zeros_like(x)
        if g is not None:
            result = result + x.cos() * g
        if h is not None:
            result = result - x.sin() * h
        return result


def test_undefined_cotangents_that_are_mishandled_are_named():
    class OnlyBoth(Split):
        @staticmethod
        def backward(ctx, g, h):
            return None if g is None or h is None else Split.backward(ctx, g, h)

    class Raises(Split):
        @staticmethod
        def backward(ctx, g, h):
            (x,) = ctx.saved_tensors
            return x.cos() * g - x.sin() * h

    report = _verified(Split.apply, OnlyBoth.apply, _leaf(4))
    assert "undefined cotangents of the others are not taken as zeros" in _messages(report)
    report = _verified(Split.apply, Raises.apply, _leaf(4))
    assert "raises TypeError" in _messages(report)


# Repetition and changes in place


def test_a_gradient_that_accumulates_is_named():
    class Accumulating(torch.autograd.Function):
        kept: torch.Tensor | None = None

        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            kept = Accumulating.kept
            Accumulating.kept = 2 * g if kept is None or kept.shape != g.shape else kept + 2 * g
            return Accumulating.kept

    report = _verified(lambda x: x * 2, Accumulating.apply, _leaf(4))
    assert _kinds(report) & {"accumulated", "nondeterministic"} or "repeated backward" in str(report)


def test_a_cotangent_changed_in_place_is_named():
    class Spoils(Cube):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g.mul_(3 * x**2)

    report = _verified(Cube.apply, Spoils.apply, _leaf(4))
    assert "changes its cotangent in place" in _messages(report)


def test_an_input_changed_by_backward_is_named():
    class Spoils(Cube):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x
            return x**3

        @staticmethod
        def backward(ctx, g):
            result = 3 * ctx.x**2 * g
            ctx.x.data.zero_()
            return result

    report = _verified(Cube.apply, Spoils.apply, _leaf(4))
    assert "backward changes inputs[0] in place" in _messages(report)


def test_a_saved_tensor_changed_in_place_is_named():
    class Spoils(Cube):
        @staticmethod
        def forward(ctx, x):
            ctx.factor = 3 * x**2
            return x**3

        @staticmethod
        def backward(ctx, g):
            return ctx.factor.mul_(g)

    report = _verified(Cube.apply, Spoils.apply, _leaf(4))
    assert "a second backward pass over the same graph gives another gradient" in _messages(report)


def test_an_input_changed_by_the_forward_pass_is_named():
    class Spoils(Cube):
        @staticmethod
        def forward(ctx, x):
            result = Cube.forward(ctx, x.clone())
            x.data.add_(1)
            return result

    report = _verified(Cube.apply, Spoils.apply, _leaf(4))
    assert "the forward pass changes inputs[0] in place" in _messages(report)


# requires_grad


class Product(torch.autograd.Function):
    """a b, which asks which inputs need a gradient."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        first, second = ctx.needs_input_grad
        return g * b if first else None, g * a if second else None


def test_a_gradient_returned_for_the_wrong_input_of_a_subset_is_named():
    class Shifted(Product):
        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            wanted = [h for h, needed in zip((g * b, g * a), ctx.needs_input_grad, strict=True) if needed]
            return (*wanted, None, None)[:2]

    report = _verified(Product.apply, Shifted.apply, _leaf(3), _leaf(3))
    assert any(v.name == "requires_grad subsets" and v.verdict == "fail" for v in report.variations)


def test_an_index_of_needs_input_grad_that_is_wrong_is_asked_for():
    class Crossed(Product):
        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            second, first = ctx.needs_input_grad
            return g * b if first else None, g * a if second else None

    report = _verified(Product.apply, Crossed.apply, _leaf(3), _leaf(3))
    assert "no gradient arrives: is ctx.needs_input_grad read at the right index?" in _messages(report)


def test_a_gradient_for_what_takes_none_is_named():
    """PyTorch refuses a tensor for an argument that is none, and drops one that is not required."""

    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.factor = factor
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None

    class Extra(Scale):
        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, g

    report = _verified(Scale.apply, Extra.apply, _leaf(3), 2.0)
    assert "Variable" in report.message or "not a Variable" in report.message
    assert report.blame.operation == "Extra.backward"


def test_an_index_that_is_given_a_gradient_is_dropped_without_harm():
    class Pick(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, index):
            ctx.save_for_backward(index)
            ctx.size = x.shape[0]
            return x[index]

        @staticmethod
        def backward(ctx, g):
            (index,) = ctx.saved_tensors
            return g.new_zeros(ctx.size).index_add(0, index, g), None

    assert gradcheck.verify(Pick.apply, _leaf(5), torch.tensor([1, 1, 4])).ok


# Several at once, and large tensors


class Layered(nn.Module):
    """Three custom steps, two of them wrong, and a cut."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.randn(4, dtype=DOUBLE)) for _ in range(3))

    def forward(self, x):
        class Halved(Cube):
            @staticmethod
            def backward(ctx, g):
                return Cube.backward(ctx, g) / 2

        class Negated(Cube):
            @staticmethod
            def backward(ctx, g):
                return -Cube.backward(ctx, g)

        return Halved.apply(x * self.a) + Negated.apply(x + self.b) + self.c.detach() * x


def test_independent_faults_are_all_blamed():
    report = gradcheck.verify(Layered(), torch.randn(4, dtype=DOUBLE))
    assert report.verdict == "fail"
    operations = {blame.operation for blame in report.blames}
    assert {"Halved.backward", "Negated.backward"} <= operations
    assert any("detach" in operation for operation in operations)


def test_wrong_entries_are_counted_named_and_described():
    class LastRow(Cube):
        @staticmethod
        def backward(ctx, g):
            result = Cube.backward(ctx, g)
            result[-1] *= 1.5
            return result

    report = _verified(Cube.apply, LastRow.apply, _leaf(6, 5))
    comparison = report.parameters["inputs[0]"].comparisons["finite differences"]
    assert (comparison.mismatched, comparison.compared) == (5, 30)
    assert comparison.index[0] == 5
    text = str(report)
    assert "wrong gradient in 5 of 30 entries" in text
    assert "[5, 0]" in text
    assert "row" in text


class _NanOfAScalar(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return 2 * x + y

    @staticmethod
    def backward(ctx, grad):
        return grad.sum() * float("nan"), grad


def test_the_gradient_of_a_scalar_that_is_nan_fails_and_leaves_the_others_alone():
    x = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(_NanOfAScalar.apply, x, torch.ones(3, dtype=torch.float64, requires_grad=True))
    verdicts = {name: result.verdict for name, result in report.parameters.items()}
    assert verdicts == {"inputs[0]": "fail", "inputs[1]": "pass"}
    assert "NaN" in report.parameters["inputs[0]"].message


def test_where_backward_is_not_linear_by_a_little_the_entry_is_told():
    class Shifted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            gradient = g * ctx.saved_tensors[0].cos()
            gradient[17, 3] += 1e-4
            return gradient

    x = torch.randn(200, 200, dtype=torch.float64, requires_grad=True)
    report = gradcheck.verify(Shifted.apply, x, variations=False)
    assert report.verdict == "fail"
    message = report.parameters["inputs[0]"].message
    assert message.endswith("most at [17, 3]")
    assert "0.0%" not in message
