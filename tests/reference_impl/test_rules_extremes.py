"""Where a formula written down naively overflows, cancels or divides by zero, the rules are still right.

Warnings are errors here, so none of these may overflow on the way either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rule_samples import Array, Row, at, at_each, positive, row
from rule_twins import torch_value_and_vjp

from reference_impl.rules import RULES

BIG = (1000.0, -1000.0, 100.0, -100.0, 0.0)
LOGITS = ([1000.0, 0.0, -1000.0], [-1000.0, -1000.0, -1000.0], [3.0, 2.0, 1000.0])
NOW = np.array([0, 1, 0])

STABLE = [
    *(
        row(name, at(*BIG))
        for name in ["tanh", "sigmoid", "softplus", "relu", "silu", "gelu", "leaky_relu", "elu"]
    ),
    *(row(name, at(*LOGITS), axis=1) for name in ("softmax", "log_softmax", "logsumexp")),
    row("logsumexp", at(*LOGITS), axis=(0, 1), keepdims=True),
    row("binary_cross_entropy_with_logits", at(*BIG), at(1.0, 1.0, 0.0, 0.3, 0.5), reduction="none"),
    row("binary_cross_entropy_with_logits", at(*BIG), at(0.0, 0.0, 1.0, 1.0, 1.0), reduction="none"),
    row("softmax_cross_entropy", at(*LOGITS), labels=NOW, reduction="none"),
    row("softmax_cross_entropy", at(*LOGITS), at([0.2, 0.3, 0.5], [1, 0, 0], [0, 0, 1]), reduction="none"),
    row("huber", at(*BIG), at(*BIG[::-1]), reduction="none"),
    row("hinge", at(*BIG), at(1, 1, -1, -1, 1), reduction="none"),
    row("max_pool2d", at([[[-1e30, -2e30], [-3e30, -4e30]]]), size=2, stride=1, padding=1),
]


@at_each(STABLE)
def test_large_magnitudes_agree_with_torch_without_a_warning(r: Row) -> None:
    for dtype in (np.float32, np.float64):
        assert_agrees_at_large_magnitudes(r, dtype)


def assert_agrees_at_large_magnitudes(r: Row, dtype: Any) -> None:
    inputs = r.inputs(dtype)
    rule = RULES[r.operation]
    output = rule.forward(*inputs, **r.attributes)
    cotangent = np.random.default_rng(0).standard_normal(output.shape).astype(dtype)
    ours = rule.vjp(cotangent, output, inputs, **r.attributes)
    theirs = torch_value_and_vjp(r.operation, inputs, cotangent, r.attributes)
    rtol = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(output, theirs.output, rtol=rtol, atol=1e-30)
    for mine, other in zip(ours, theirs.cotangents, strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol * 10)


def test_sigmoid_keeps_its_relative_precision_far_below_zero() -> None:
    a = np.array([-40.0, -700.0, -1000.0])
    np.testing.assert_allclose(RULES["sigmoid"].forward(a), np.exp(a), rtol=1e-15)


@pytest.mark.parametrize("real", [1000.0, -1000.0])
def test_complex_sigmoid_does_not_overflow(real: float) -> None:
    z = np.array([complex(real, 1.0)])
    assert RULES["sigmoid"].forward(z)[0] == (1 if real > 0 else 0)
    np.testing.assert_array_equal(RULES["silu"].forward(z), z if real > 0 else [0])


def test_softplus_is_exact_where_torch_switches_to_the_identity() -> None:
    a = np.array([21.0, -21.0])
    np.testing.assert_allclose(
        RULES["softplus"].forward(a) - np.array([21.0, 0.0]), np.log1p(np.exp(-21.0)), 1e-5
    )


def test_cross_entropy_of_a_certain_and_a_hopeless_prediction() -> None:
    logits = np.array([[1e4, -1e4], [1e4, -1e4]])
    losses = RULES["softmax_cross_entropy"].forward(logits, labels=np.array([0, 1]), reduction="none")
    np.testing.assert_array_equal(losses, [0.0, 2e4])


def test_layer_norm_sees_through_a_large_offset() -> None:
    x, gain, bias = np.array([[0.0, 1.0, 5.0]]), np.ones(3), np.zeros(3)
    rule, cotangent = RULES["layer_norm"], np.array([[1.0, -2.0, 0.5]])
    near, far = (rule.vjp(cotangent, None, (x + offset, gain, bias)) for offset in (0.0, 2.0**40))
    for a, b in zip(far, near, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def others(a: Array, axis: int) -> Array:
    """Multiply the other entries, for one entry at a time."""
    rows = np.moveaxis(a, axis, -1)
    gone = [np.prod(np.delete(rows, i, axis=-1), axis=-1) for i in range(rows.shape[-1])]
    return np.moveaxis(np.stack(gone, axis=-1), -1, axis)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("zeros", [0, 1, 2, 7])
def test_prod_is_exact_with_any_number_of_zeros(axis: int, zeros: int) -> None:
    a = np.random.default_rng(zeros).integers(1, 6, (3, 4, 2)).astype(np.float64)
    a.reshape(-1)[:: 24 // (zeros + 1)][:zeros] = 0
    y = RULES["prod"].forward(a, axis=axis)
    (da,) = RULES["prod"].vjp(np.ones(y.shape), y, (a,), axis=axis)
    np.testing.assert_array_equal(da, others(a, axis))


def test_prod_survives_an_output_that_underflows() -> None:
    a = np.array([1e-200, 1e-200, 1e100])
    (da,) = RULES["prod"].vjp(np.float64(1), np.float64(0), (a,))
    np.testing.assert_allclose(da[:2], [1e-100, 1e-100], rtol=1e-14)


def test_take_adds_up_as_often_as_an_index_repeats() -> None:
    indices = np.repeat(np.arange(5), [0, 1, 10, 1000, 3])
    np.random.default_rng(0).shuffle(indices)
    (da,) = RULES["take"].vjp(np.ones((indices.size, 2)), None, (np.zeros((5, 2)),), indices=indices)
    np.testing.assert_array_equal(da, np.repeat([[0.0], [1.0], [10.0], [1000.0], [3.0]], 2, axis=1))


def test_broadcast_cotangents_add_up_over_every_copy() -> None:
    for name in ("add", "multiply"):
        a, b = np.ones((2, 1, 3)), np.ones((4, 1))
        da, db = RULES[name].vjp(np.ones((2, 4, 3)), None, (a, b))
        assert (da == 4).all()
        assert (db == 6).all()


def test_the_same_array_twice_gets_its_cotangent_in_two_parts() -> None:
    a = positive(3)(np.random.default_rng(0))
    left, right = RULES["multiply"].vjp(np.ones(3), None, (a, a))
    np.testing.assert_array_equal(left + right, 2 * a)
    left, right = RULES["divide"].vjp(np.ones(3), a / a, (a, a))
    np.testing.assert_allclose(left + right, 0, atol=1e-15)


def test_infinite_masks_leave_the_other_weights_alone() -> None:
    scores = np.array([[1.0, -np.inf, 2.0]])
    y = RULES["softmax"].forward(scores)
    np.testing.assert_allclose(y[0, [0, 2]], RULES["softmax"].forward(scores[0, [0, 2]]), rtol=1e-15)
    (da,) = RULES["softmax"].vjp(np.array([[1.0, 5.0, 2.0]]), y, (scores,))
    assert da[0, 1] == 0
    total = RULES["logsumexp"].forward(scores, axis=1)
    (da,) = RULES["logsumexp"].vjp(np.ones(1), total, (scores,), axis=1)
    np.testing.assert_allclose(da, y, rtol=1e-15)
