"""Rules of hand-written Functions besides the backward pass: forward mode, and mapping over many points."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import Function

import gradcheck

X = torch.linspace(-1.3, 1.7, 12, dtype=torch.float64).reshape(4, 3)
W = torch.linspace(0.4, 1.1, 12, dtype=torch.float64).reshape(4, 3)


def verdicts(function: Any, *inputs: torch.Tensor) -> dict[str, Any]:
    """Return the results of both variations by name; the gradient itself is right."""
    report = gradcheck.verify(function, *(x.clone().requires_grad_() for x in inputs))
    assert all(result.verdict == "pass" for result in report.parameters.values()), report
    found = {v.name: v for v in report.variations}
    others = [v for v in report.variations if v.name not in ("forward mode", "under vmap")]
    assert not [v for v in others if v.verdict == "fail"], report
    return {name: found[name] for name in ("forward mode", "under vmap")}


class _Product(Function):
    """x * w with every rule written by hand; subclasses have one of them wrong."""

    @staticmethod
    def forward(x: Any, w: Any) -> Any:
        return x * w

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        return g * w, g * x

    @staticmethod
    def jvp(ctx: Any, dx: Any, dw: Any) -> Any:
        x, w = ctx.saved_tensors
        return (0 if dx is None else dx * w) + (0 if dw is None else x * dw)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
        x, w = (a if d is None else a.movedim(d, 0) for a, d in zip((x, w), in_dims, strict=True))
        return x * w, 0


class ForgetsTheSecond(_Product):
    @staticmethod
    def jvp(ctx: Any, dx: Any, dw: Any) -> Any:
        _, w = ctx.saved_tensors
        return dw * 0 if dx is None else dx * w


class RaisesInForwardMode(_Product):
    @staticmethod
    def jvp(ctx: Any, dx: Any, dw: Any) -> Any:
        raise KeyError("no such rule")


class TakesTheFirstPoint(_Product):
    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
        x, w = (a if d is None else a.movedim(d, 0) for a, d in zip((x, w), in_dims, strict=True))
        return x * (w if in_dims[1] is None else w[:1]), 0


class OnlyTheFirstAxis(_Product):
    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
        return x * w.reshape(x.shape) if w.numel() == x.numel() else x * w, 0


class BothOrNone(_Product):
    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
        x = x.movedim(in_dims[0], 0)  # None is no axis
        return x * w.movedim(in_dims[1], 0), 0


class DetachesWhenMapped(_Product):
    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
        x, w = (a if d is None else a.movedim(d, 0) for a, d in zip((x, w), in_dims, strict=True))
        return x * w.detach(), 0


class Generated(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any) -> Any:
        return x.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0]


def test_right_rules_pass() -> None:
    found = verdicts(_Product.apply, X, W)
    assert {name: v.verdict for name, v in found.items()} == {"forward mode": "pass", "under vmap": "pass"}


@pytest.mark.parametrize(
    ("function", "name", "says"),
    [
        (ForgetsTheSecond, "forward mode", "the jvp gives"),
        (RaisesInForwardMode, "forward mode", "the jvp raises KeyError"),
        (TakesTheFirstPoint, "under vmap", "over the first axis of inputs[0], inputs[1]"),
        (OnlyTheFirstAxis, "under vmap", "over the last axis"),
        (BothOrNone, "under vmap", "the vmap raises TypeError"),
        (DetachesWhenMapped, "under vmap", "gradients are others"),
    ],
)
def test_a_wrong_rule_is_told_with_its_line(function: Any, name: str, says: str) -> None:
    found = verdicts(function.apply, X, W)
    assert found[name].verdict == "fail"
    assert says in found[name].message
    rule = "jvp" if name == "forward mode" else "vmap"
    assert f"{function.__name__}.{rule} at " in found[name].message
    assert "test_variations_transforms.py" in found[name].message
    other = found["under vmap" if name == "forward mode" else "forward mode"]
    assert other.verdict == "pass"


def test_the_leaf_of_a_wrong_tangent_is_named() -> None:
    assert verdicts(ForgetsTheSecond.apply, X, W)["forward mode"].parameters == ("inputs[1]",)


def test_a_generated_rule_is_tried_and_a_missing_one_is_none() -> None:
    found = verdicts(Generated.apply, X)
    assert found["under vmap"].verdict == "pass"
    assert found["forward mode"].verdict is None
    assert "no hand-written Function has a rule" in found["forward mode"].message


def test_only_pytorchs_own_operations_need_no_rule() -> None:
    assert {v.verdict for v in verdicts(torch.sin, X).values()} == {None}


class _Layer(torch.nn.Module):
    def __init__(self, rule: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(W.clone())
        self.rule = rule

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rule.apply(x.sin(), self.weight).sum(-1)


@pytest.mark.parametrize(
    ("rule", "name"), [(ForgetsTheSecond, "forward mode"), (TakesTheFirstPoint, "under vmap")]
)
def test_rules_within_a_module_are_tried_too(rule: Any, name: str) -> None:
    right = gradcheck.verify(_Layer(_Product), X.clone().requires_grad_())
    assert right.ok, right
    assert {v.name: v.verdict for v in right.variations}[name] == "pass"
    wrong = gradcheck.verify(_Layer(rule), X.clone().requires_grad_())
    failed = [v.name for v in wrong.variations if v.verdict == "fail"]
    # its weight is not mapped over, and the first point is as good as any other
    assert failed == ([name] if name == "forward mode" else [])


def test_a_module_is_left_as_it_was() -> None:
    module = _Layer(_Product)
    before = module.weight.detach().clone()
    gradcheck.verify(module, X.clone().requires_grad_(), variations={"forward mode", "under vmap"})
    assert torch.equal(module.weight, before)
    assert module.weight.grad is None
    assert module.weight.requires_grad
