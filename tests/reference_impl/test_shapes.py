"""The shape inferred for a node is the shape that its rule's forward returns, refusals included."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from rule_samples import ROWS, Row

from reference_impl import (
    RULES,
    GraphError,
    ShapeMismatch,
    UnknownOperation,
    WrongArity,
    WrongAttribute,
    infer_shape,
)

SHAPES = [(), (1,), (3,), (0,), (2, 3), (3, 2), (1, 3), (2, 0), (0, 3), (2, 3, 2), (4, 3, 1), (4, 2, 3)]
AXES = [None, 0, 1, -1, -3, (0, 1), (0, 0), (-1, 0), ()]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_inferred_shape_is_the_output_s(row: Row) -> None:
    inputs = row.inputs(np.float64)
    expected = np.shape(RULES[row.operation].forward(*inputs, **row.attributes))
    assert infer_shape(row.operation, [a.shape for a in inputs], row.attributes) == expected


def outcome(operation: str, shapes: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """Run the rule on real arrays: its output's shape, None where it refuses."""
    try:
        with np.errstate(all="ignore"):
            return np.shape(RULES[operation].forward(*map(np.ones, shapes), **attributes))
    except ValueError:
        return None


def inferred(operation: str, shapes: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    try:
        return infer_shape(operation, shapes, attributes)
    except ShapeMismatch:
        return None


@pytest.mark.parametrize("operation", ["add", "maximum", "power", "matmul"])
def test_pairs_of_shapes_are_accepted_and_refused_as_the_rule_does(operation: str) -> None:
    for shapes in product(SHAPES, repeat=2):
        assert inferred(operation, shapes, {}) == outcome(operation, shapes, {}), shapes


REDUCTIONS = ["sum", "mean", "prod", "max", "min", "norm", "logsumexp"]


@pytest.mark.parametrize("operation", [*REDUCTIONS, "softmax", "cumsum"])
def test_axes_are_accepted_and_refused_as_the_rule_does(operation: str) -> None:
    for shape, axis in product(SHAPES, AXES):
        if shape == () and axis in (0, -1):
            continue  # NumPy's reductions let this pass; there is no such axis
        if operation == "cumsum" and not isinstance(axis, int):
            continue
        options = {"axis": axis} | ({"keepdims": True} if operation in REDUCTIONS else {})
        assert inferred(operation, (shape,), options) == outcome(operation, (shape,), options), (shape, axis)


@pytest.mark.parametrize("operation", REDUCTIONS)
def test_a_number_has_no_axis_to_reduce(operation: str) -> None:
    with pytest.raises(ShapeMismatch, match="axis 0 is out of bounds"):
        infer_shape(operation, [()], {"axis": 0})


@pytest.mark.parametrize(
    ("operation", "shapes", "attributes", "expected"),
    [
        ("tanh", [(10**6, 10**6)], {}, (10**6, 10**6)),
        ("multiply", [(10**6, 1), (10**6,)], {}, (10**6, 10**6)),
        ("clip", [(10**6, 10**6)], {"minimum": 0.0}, (10**6, 10**6)),
        ("matmul", [(10**6, 10**6), (10**6, 10**6)], {}, (10**6, 10**6)),
        ("sum", [(10**6, 10**6)], {"axis": 0}, (10**6,)),
        ("transpose", [(10**6, 10**5)], {}, (10**5, 10**6)),
        ("reshape", [(10**6, 10**6)], {"shape": (10**4, -1)}, (10**4, 10**8)),
        ("conv2d", [(10**9, 3, 32, 32), (8, 3, 3, 3)], {"padding": 1}, (10**9, 8, 32, 32)),
        ("max_pool2d", [(10**9, 3, 32, 32)], {"size": 2}, (10**9, 3, 16, 16)),
    ],
)
def test_a_shape_takes_neither_memory_nor_arithmetic(
    operation: str, shapes: Any, attributes: Any, expected: Any
) -> None:
    assert infer_shape(operation, shapes, attributes) == expected


@pytest.mark.parametrize(
    ("operation", "shapes", "attributes", "error", "words"),
    [
        ("matmull", [(2, 2), (2, 2)], {}, UnknownOperation, "Did you mean 'matmul'"),
        ("matmul", [(2, 2)], {}, WrongArity, "2 inputs for matmul but got 1"),
        ("conv1d", [(2, 2)], {}, WrongArity, "2 to 3 inputs for conv1d but got 1"),
        ("stack", [], {}, WrongArity, "at least 1 input for stack but got 0"),
        ("matmul", [(2, 3), (4, 2)], {}, ShapeMismatch, "sizes 3 and 4"),
        ("matmul", [(), (4, 2)], {}, ShapeMismatch, "at least one axis"),
        ("add", [(2,), (3,)], {}, ShapeMismatch, "shape (2,) and (3,)"),
        ("max", [(2, 0)], {"axis": 1}, ShapeMismatch, "no entries"),
        ("sum", [(2, 3)], {"axes": 0}, WrongAttribute, "Did you mean 'axis'"),
        ("add", [(2,), (2,)], {"where": True}, WrongAttribute, "It has none"),
        ("reshape", [(2, 3)], {}, WrongAttribute, "needs the attribute 'shape'"),
        ("sum", [(2, 3)], {"axis": "rows"}, WrongAttribute, "axis='rows'"),
        ("take", [(2, 3)], {"indices": np.array([5])}, WrongAttribute, "index 5 is out of bounds"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    operation: str, shapes: Any, attributes: Any, error: type[GraphError], words: str
) -> None:
    with pytest.raises(error) as caught:
        infer_shape(operation, shapes, attributes)
    assert words in str(caught.value)
