"""Losses of outputs f and targets t, with each reduction over the samples."""

from __future__ import annotations

from functools import partial

from cases.builder import Unsuitable
from cases.choices import Shape
from cases.operands import Growing, clear_of_kinks, compatible_shape, leaf, logits, of_shape, operand
from cases.plants.planting import Planting

REDUCTIONS = ("mean", "sum", "none")


def _target_shape(b: Growing, f: str) -> Shape:
    """Return a shape for targets: the outputs' own, or one that meets it by broadcasting."""
    return compatible_shape(b, b.shape(f)) if b.rarely(0.3) else b.shape(f)


def _loss(operation: str, b: Growing) -> str:
    f = operand(b, most=3, nonempty=True)
    if b.rarely(0.3):
        t = leaf(b, compatible_shape(b, b.shape(f)))
    else:
        t = of_shape(b, b.shape(f)) if b.choices.boolean(0.3) else leaf(b, b.shape(f))
    return clear_of_kinks(b, operation, f, t, reduction=b.choices.one_of(REDUCTIONS))


def _huber(b: Growing) -> str:
    f = operand(b, most=3, nonempty=True)
    delta, reduction = b.choices.one_of((1.0, 0.5, 2.0)), b.choices.one_of(REDUCTIONS)
    return clear_of_kinks(b, "huber", f, leaf(b, _target_shape(b, f)), delta=delta, reduction=reduction)


def _hinge(b: Growing) -> str:
    f = operand(b, most=3, nonempty=True)
    # targets are -1 and 1, but the rule does not rest on their size
    size = b.choices.one_of((1.0, 0.5, 2.0))
    t = b.input((b.choices.integers(_target_shape(b, f), 0, 1) * 2.0 - 1.0) * size)
    return clear_of_kinks(b, "hinge", f, t, reduction=b.choices.one_of(REDUCTIONS))


def _binary_cross_entropy(b: Growing) -> str:
    f = logits(b, operand(b, most=3, nonempty=True))
    t = leaf(b, _target_shape(b, f), 0.0, 1.0)
    return b.apply("binary_cross_entropy_with_logits", f, t, reduction=b.choices.one_of(REDUCTIONS))


def _softmax_cross_entropy(b: Growing) -> str:
    f = logits(b, operand(b, least=1, most=2, nonempty=True))
    shape, reduction = b.shape(f), b.choices.one_of(REDUCTIONS)
    if shape[-1] == 1 and b.choices.boolean(0.9):  # the only class is certain, whatever its logit
        raise Unsuitable("one class")
    if b.choices.boolean():
        labels = b.choices.integers(shape[:-1], 0, shape[-1] - 1)
        return b.apply("softmax_cross_entropy", f, labels=labels, reduction=reduction)
    target = b.choices.array(shape, 0.1, 1.0)
    if b.choices.boolean(0.7):  # weights that do not add up to 1 are right, too
        target = target / target.sum(axis=-1, keepdims=True)
    t = b.input(target)
    return b.apply("softmax_cross_entropy", f, t, reduction=reduction)


_PLAIN = ("squared_error", "mean_squared_error", "absolute_error")

LOSSES: dict[str, Planting] = {
    **{name: partial(_loss, name) for name in _PLAIN},
    "huber": _huber,
    "hinge": _hinge,
    "binary_cross_entropy_with_logits": _binary_cross_entropy,
    "softmax_cross_entropy": _softmax_cross_entropy,
}
