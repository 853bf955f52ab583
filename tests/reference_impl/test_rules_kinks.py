"""At kinks and ties every rule takes PyTorch's subgradient, and the table in the documentation says which."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from rule_samples import Array, Row, at, at_each, row
from rule_twins import torch_value_and_vjp

from reference_impl.rules import RULES

TABLE = Path(__file__).parents[2] / "docs" / "kinks.md"
TIES = [[1.0, 1.0, 3.0, 3.0], [1.0, 2.0, 3.0, 2.0]]  # in every row or column, and in all

KINKS = [
    row("maximum", at(1.0, 2.0, 0.0), at(1.0, 3.0, -0.0)),
    row("maximum", at([1.0], [2.0]), at(1.0, 2.0, 5.0)),
    row("minimum", at(1.0, 2.0, 0.0), at(1.0, 3.0, -0.0)),
    row("minimum", at(2.0), at(1.0, 2.0, 2.0)),
    row("abs", at(0.0, -0.0, 1.0, -2.0)),
    row("clip", at(-1.0, 0.0, 1.0, 2.0, -3.0), minimum=-1.0, maximum=1.0),
    row("clip", at(-1.0, 0.0, 1.0), minimum=0.0),
    row("clip", at(-1.0, 0.0, 1.0), maximum=0.0),
    row("relu", at(0.0, -0.0, 1.0, -1.0)),
    row("leaky_relu", at(0.0, -0.0, 1.0, -1.0), negative_slope=0.3),
    row("leaky_relu", at(0.0, -0.0)),
    row("elu", at(0.0, -0.0, 1.0, -1.0), alpha=0.5),
    *(
        row(name, at(*TIES), axis=axis, keepdims=keepdims)
        for name in ("max", "min")
        for axis in (None, 0, 1, (0, 1))
        for keepdims in (False, True)
    ),
    row("max", at([0.0, -0.0, -1.0])),
    row("norm", at([0.0, 0.0])),
    row("norm", at([0.0, 0.0], [3.0, -4.0]), axis=1),
    row("norm", at([0.0, 0.0], [0.0, -4.0]), axis=0, keepdims=True),
    row("max_pool2d", at([[[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [2.0, 2.0, 2.0]]]), size=2, stride=1),
    row("max_pool2d", at(np.zeros((1, 2, 5, 5))), size=3, stride=2, padding=1),
    row("absolute_error", at(1.0, 2.0, 0.0), at(1.0, 3.0, -0.0)),
    row("hinge", at(1.0, -1.0, 0.5, 2.0), at(1.0, -1.0, 2.0, 1.0), reduction="none"),
    row("hinge", at(0.5, 1.0), at(2.0, 1.0)),
]
# Not between one-sided derivatives but at the edge of the domain: 0^0, and 0 to any positive power.
EDGES = [
    row("power", at(0.0, 0.0, 0.0, 0.0, 2.0), at(0.0, 1.0, 2.0, 3.0, 0.0)),
    row("power", at(-1.5, -2.0, -0.5, -3.0), at(2.0, 3.0, -1.0, 0.0)),
]


def vjp(r: Row, cotangent: Array) -> tuple[Array, ...]:
    inputs = r.inputs(np.float64)
    return RULES[r.operation].vjp(
        cotangent, RULES[r.operation].forward(*inputs, **r.attributes), inputs, **r.attributes
    )


@at_each(KINKS + EDGES)
def test_the_subgradient_is_that_of_torch(r: Row) -> None:
    inputs = r.inputs(np.float64)
    shape = np.shape(RULES[r.operation].forward(*inputs, **r.attributes))
    cotangent = np.random.default_rng(0).standard_normal(shape)
    theirs = torch_value_and_vjp(r.operation, inputs, cotangent, r.attributes)
    for mine, other in zip(vjp(r, cotangent), theirs.cotangents, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-14, atol=0)


@at_each(KINKS)
def test_the_subgradient_lies_between_the_one_sided_derivatives_and_they_differ(r: Row) -> None:
    inputs = r.inputs(np.float64)
    forward = RULES[r.operation].forward
    output = forward(*inputs, **r.attributes)
    rng = np.random.default_rng(1)
    width = 0.0
    for _ in range(20):
        tangents = [rng.standard_normal(a.shape) for a in inputs]
        place = tuple(rng.integers(n) for n in np.shape(output))
        cotangent = np.zeros(np.shape(output))
        cotangent[place] = 1
        step = 1e-7
        ahead, behind = (
            forward(*(a + s * v for a, v in zip(inputs, tangents, strict=True)), **r.attributes)[place]
            for s in (step, -step)
        )
        here = np.asarray(output)[place]
        low, high = sorted([(ahead - here) / step, (here - behind) / step])
        claimed = sum(np.sum(g * v) for g, v in zip(vjp(r, cotangent), tangents, strict=True))
        assert low - 1e-6 <= claimed <= high + 1e-6
        width = max(width, high - low)
    assert width > 1e-3


def table() -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| `.*` \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def test_the_documented_table_is_that_of_the_rules() -> None:
    assert table() == {name: rule.kink for name, rule in RULES.items() if rule.kink}


def test_every_documented_kink_is_compared_with_torch() -> None:
    assert set(table()) == {r.operation for r in KINKS + EDGES}
