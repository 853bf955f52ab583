"""What graphs rely on: shapes, dtypes, what a rule keeps, and that it leaves its inputs alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rule_samples import ROWS, Array, Row, at_each

from reference_impl.rules import RULES, Like, Rule

REAL = (np.float32, np.float64, np.longdouble)


def frozen(a: Array) -> Array:
    a.flags.writeable = False
    return a


def saved(rule: Rule, output: Any, inputs: list[Any]) -> tuple[Any, list[Any]]:
    """Keep what the rule says it reads; leave of the rest its shape and dtype."""
    kept = range(len(inputs)) if rule.keeps_inputs is None else rule.keeps_inputs
    stand_ins = [a if i in kept else Like(a.shape, a.dtype) for i, a in enumerate(inputs)]
    return (output if rule.keeps_output else Like(output.shape, output.dtype)), stand_ins


@at_each(ROWS)
def test_shapes_and_dtypes_are_kept_and_nothing_unread_is_needed(row: Row) -> None:
    for dtype in (*REAL, np.complex128) if RULES[row.operation].analytic else REAL:
        assert_lean(row, dtype)


def assert_lean(row: Row, dtype: Any) -> None:
    rule = RULES[row.operation]
    inputs = [frozen(a) for a in row.inputs(dtype)]
    output = rule.forward(*inputs, **row.attributes)
    assert output.dtype == dtype
    cotangent = frozen(np.full(output.shape, 1.5, dtype))
    full = rule.vjp(cotangent, output, inputs, **row.attributes)
    assert isinstance(full, tuple)
    assert [(g.shape, g.dtype) for g in full] == [(a.shape, dtype) for a in inputs]
    lean = rule.vjp(cotangent, *saved(rule, output, inputs), **row.attributes)
    for a, b in zip(lean, full, strict=True):
        np.testing.assert_array_equal(a, b)


@at_each(ROWS)
def test_memory_layout_changes_nothing(row: Row) -> None:
    rule = RULES[row.operation]
    inputs = row.inputs(np.float64)
    strided = [np.repeat(a[..., None], 2, axis=-1)[..., 0] for a in inputs]
    output = rule.forward(*inputs, **row.attributes)
    cotangent = np.random.default_rng(0).standard_normal(output.shape)
    turned = np.asfortranarray(cotangent).reshape(output.shape)
    np.testing.assert_allclose(rule.forward(*strided, **row.attributes), output, rtol=1e-13, atol=1e-13)
    expected = rule.vjp(cotangent, output, inputs, **row.attributes)
    actual = rule.vjp(turned, output, strided, **row.attributes)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


SCALAR_ROWS = [row for row in ROWS if any(a.ndim == 0 for a in row.inputs(np.float64))]


@at_each(SCALAR_ROWS)
def test_numpy_scalars_serve_as_arrays_without_axes(row: Row) -> None:
    rule = RULES[row.operation]
    for dtype in REAL:
        arrays = row.inputs(dtype)
        scalars = [a[()] for a in arrays]
        output = rule.forward(*scalars, **row.attributes)
        np.testing.assert_array_equal(output, rule.forward(*arrays, **row.attributes))
        cotangent = np.ones(output.shape, dtype)[()]
        for g, a in zip(rule.vjp(cotangent, output[()], scalars, **row.attributes), arrays, strict=True):
            assert (g.shape, g.dtype) == (a.shape, dtype)


@at_each(ROWS)
def test_rows_fit_the_stated_arity(row: Row) -> None:
    least, most = RULES[row.operation].arity
    assert least <= len(row.draws) <= (most or len(row.draws))


def test_the_table_is_keyed_by_name() -> None:
    assert all(name == rule.name for name, rule in RULES.items())
    assert len(RULES) == 61


X = np.ones
WRONG = [
    ("add", (X(3), X(2)), {}, "broadcast"),
    ("matmul", (X((2, 3)), X((2, 3))), {}, "matmul"),
    ("reshape", (X((2, 3)),), {"shape": (4,)}, "reshape"),
    ("broadcast_to", (X((2, 3)),), {"shape": (2, 4)}, "broadcast"),
    ("concatenate", (X((2, 3)), X((2, 4))), {}, "dimensions"),
    ("stack", (X(3), X(4)), {}, "shape"),
    ("pad", (X(3),), {"width": ((1, 1), (0, 0))}, "each of 1 axes"),
    ("pad", (X(3),), {"width": ((-1, 1),)}, "each of 1 axes"),
    ("sum", (X(3),), {"axis": 1}, "out of bounds"),
    ("mean", (X((2, 3)),), {"axis": (0, -2)}, "duplicate"),
    ("max", (X((0, 3)),), {"axis": 0}, "zero-size"),
    ("cumsum", (X(()),), {}, "out of bounds"),
    ("layer_norm", (X((2, 3)), X(2), X(3)), {}, "shape (3,), the last axes of x"),
    ("layer_norm", (X(3), X(3), X(3)), {"axes": 2}, "from 1 to 1"),
    ("batch_norm", (X((2, 3)), X(2), X(3)), {}, "channels on axis 1"),
    ("dropout", (X(3),), {"mask": np.ones(3, bool), "rate": 1.0}, "rate=1.0"),
    ("conv1d", (X((1, 2, 5)), X((3, 2, 2, 2))), {}, "1 axes"),
    ("conv2d", (X((1, 2, 5, 5)), X((3, 3, 2, 2))), {}, "filters over 2 channels"),
    ("conv2d", (X((1, 2, 5, 5)), X((3, 2, 2, 2)), X(2)), {}, "one bias for each of 3 filters"),
    ("conv2d", (X((1, 2, 5, 5)), X((3, 2, 2, 2))), {"groups": 2}, "groups=2"),
    ("conv2d", (X((1, 2, 5, 5)), X((3, 2, 6, 2))), {}, "at least as large as the window"),
    ("conv2d", (X((1, 2, 5, 5)), X((3, 2, 2, 2))), {"stride": 0}, "stride"),
    ("max_pool2d", (X((1, 4, 4)),), {"size": 2, "padding": 2}, "half the window"),
    ("avg_pool2d", (X(4),), {"size": 2}, "height, width"),
    ("squared_error", (X(3), X(3)), {"reduction": "avg"}, "reduction='avg'"),
    ("huber", (X(3), X(3)), {"delta": 0.0}, "delta=0.0"),
    ("softmax_cross_entropy", (X((2, 3)),), {}, "either labels or target"),
    (
        "softmax_cross_entropy",
        (X((2, 3)), X((2, 3))),
        {"labels": np.array([0, 1])},
        "either labels or target",
    ),
    ("softmax_cross_entropy", (X((2, 3)),), {"labels": np.array([0, 3])}, "labels from 0 to 2"),
    ("softmax_cross_entropy", (X((2, 3)),), {"labels": np.array([-1, 0])}, "labels from 0 to 2"),
    ("softmax_cross_entropy", (X((2, 3)),), {"labels": np.array([0.0, 1.0])}, "integer label"),
    ("softmax_cross_entropy", (X((2, 3)),), {"labels": np.array([0])}, "integer label"),
    ("softmax_cross_entropy", (X((2, 3)), X(3)), {}, "a target for each"),
    ("softmax_cross_entropy", (X((2, 3, 4)),), {"labels": np.array([0])}, "logits of shape"),
]


@pytest.mark.parametrize(("operation", "inputs", "attributes", "words"), WRONG)
def test_inputs_that_do_not_fit_are_refused_in_words(
    operation: str, inputs: tuple[Array, ...], attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the words are compared below, unescaped
        RULES[operation].forward(*inputs, **attributes)
    assert words in str(refusal.value)
