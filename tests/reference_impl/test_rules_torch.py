"""Every rule gives PyTorch's values and PyTorch's gradients, for any cotangent."""

from __future__ import annotations

import numpy as np
from rule_samples import ROWS, Row, at_each
from rule_twins import TWINS, torch_value_and_vjp

from reference_impl.rules import RULES

RTOL = {np.float64: 1e-12, np.float32: 3e-5, np.complex128: 1e-12}


def assert_agrees(row: Row, dtype: type) -> None:
    rule = RULES[row.operation]
    inputs = row.inputs(dtype)
    output = rule.forward(*inputs, **row.attributes)
    cotangent = Row("", (lambda rng: rng.standard_normal(output.shape),), {}).inputs(dtype, seed=1)[0]
    ours = rule.vjp(cotangent, output, inputs, **row.attributes)
    theirs = torch_value_and_vjp(row.operation, inputs, cotangent, row.attributes)
    np.testing.assert_allclose(output, theirs.output, rtol=RTOL[dtype], atol=RTOL[dtype])
    for mine, other in zip(ours, theirs.cotangents, strict=True):
        scale = max(1.0, np.abs(other).max(initial=0.0))
        np.testing.assert_allclose(mine, other, rtol=RTOL[dtype], atol=RTOL[dtype] * scale)


def test_every_rule_has_a_twin_and_a_row() -> None:
    assert set(TWINS) == set(RULES) == {row.operation for row in ROWS}


@at_each(ROWS)
def test_double_precision_agrees_with_torch(row: Row) -> None:
    assert_agrees(row, np.float64)


@at_each(ROWS)
def test_single_precision_agrees_with_torch(row: Row) -> None:
    assert_agrees(row, np.float32)


@at_each([r for r in ROWS if RULES[r.operation].analytic])
def test_complex_agrees_with_torch(row: Row) -> None:
    assert_agrees(row, np.complex128)
