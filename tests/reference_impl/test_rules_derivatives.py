"""Every vjp is the transpose of the derivative of its own forward, to nearly longdouble precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from rule_samples import ROWS, Array, Row, at_each

from reference_impl.rules import RULES

# No finer than double precision where longdouble is the same thing; there the difference quotient is coarse.
EXTENDED = np.finfo(np.longdouble).eps < 1e-18
STEP, RTOL = (1e-4, 1e-12) if EXTENDED else (1e-4, 1e-9)
# Central differences over +-1, 2, 3, 4 steps: the truncation error is of order STEP^8, and no row's kink is
# within four steps.
WEIGHTS = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))


def random(shape: tuple[int, ...], dtype: Any, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    real = rng.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        return np.asarray(real + 1j * rng.standard_normal(shape), dtype)
    return np.asarray(real, dtype)


def inner(a: Array, b: Array) -> Any:
    """Re <a, b>: the pairing in which PyTorch's complex gradients are gradients."""
    return np.sum((np.conj(a) * b).real)


def directional(row: Row, inputs: list[Array], tangents: list[Array], cotangent: Array) -> Any:
    """Differentiate <cotangent, forward> along the tangents by central differences."""
    real = inputs[0].real.dtype.type if inputs else np.longdouble
    total = real(0)
    for k, weight in WEIGHTS:
        h = real(k * STEP)
        ahead = RULES[row.operation].forward(
            *(a + h * v for a, v in zip(inputs, tangents, strict=True)), **row.attributes
        )
        behind = RULES[row.operation].forward(
            *(a - h * v for a, v in zip(inputs, tangents, strict=True)), **row.attributes
        )
        total += real(weight) * inner(cotangent, ahead - behind) / real(STEP)
    return total


def assert_is_transpose(row: Row, dtype: Any, rtol: float) -> None:
    rule = RULES[row.operation]
    inputs = row.inputs(dtype)
    output = rule.forward(*inputs, **row.attributes)
    cotangent = random(output.shape, dtype, 1)
    tangents = [random(a.shape, dtype, 2 + i) for i, a in enumerate(inputs)]
    cotangents = rule.vjp(cotangent, output, inputs, **row.attributes)
    claimed = sum(inner(g, v) for g, v in zip(cotangents, tangents, strict=True))
    size = sum(inner(np.abs(g), np.abs(v)) for g, v in zip(cotangents, tangents, strict=True))
    assert abs(claimed - directional(row, inputs, tangents, cotangent)) <= rtol * max(size, 1)


@at_each(ROWS)
def test_vjp_is_the_transpose_of_the_derivative(row: Row) -> None:
    assert_is_transpose(row, np.longdouble, RTOL)


@at_each([r for r in ROWS if RULES[r.operation].analytic])
def test_analytic_vjp_conjugates_the_complex_derivative(row: Row) -> None:
    assert_is_transpose(row, np.clongdouble, RTOL)


@at_each(ROWS)
def test_vjp_is_linear_in_the_cotangent(row: Row) -> None:
    rule = RULES[row.operation]
    inputs = row.inputs(np.float64)
    output = rule.forward(*inputs, **row.attributes)
    u, w = random(output.shape, np.float64, 1), random(output.shape, np.float64, 2)
    cotangents = (rule.vjp(c, output, inputs, **row.attributes) for c in (2 * u - 3 * w, u, w))
    for mixed, a, b in zip(*cotangents, strict=True):
        np.testing.assert_allclose(mixed, 2 * a - 3 * b, rtol=1e-12, atol=1e-12 * np.abs(a).max(initial=1))
