"""Outputs along a line: flattened exactly, remembered, and absent where the forward pass has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcheck.numerical.line import Line, all_finite, finite_mask, flatten, squared, total


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([], []),
        ([np.float64(3.0)], [3.0]),
        ([np.zeros((2, 0)), np.ones(2)], [1, 1]),
        ([np.float32(0.1)], [float(np.float32(0.1))]),
        ([np.array([1, 2])], [1, 2]),
        ([np.array([1 + 2j])], [1, 2]),
        ([torch.tensor([1 + 2j])], [1, 2]),
        ([torch.tensor([0.5], dtype=torch.bfloat16), np.ones((1, 1))], [0.5, 1]),
        ([torch.eye(2).to_sparse()], [1, 0, 0, 1]),
        ([torch.ones(2, requires_grad=True)], [1, 1]),
    ],
)
def test_outputs_become_one_real_vector(outputs, expected):
    vector = flatten(outputs)
    assert isinstance(vector, np.ndarray)
    assert vector.ndim == 1
    assert vector.tolist() == expected


def test_extended_precision_is_kept():
    third = np.longdouble(1) / 3
    assert flatten([np.array([third])])[0] == third


def test_values_are_remembered_and_counted():
    asked = []
    line = Line(lambda t: asked.append(t) or [np.array([t])], np.ones(1))
    assert line(0.5)[0] == line(0.5)[0] == 0.5
    assert asked == [0.5]
    assert line.evaluations == 1


def test_a_known_base_costs_nothing():
    line = Line(lambda t: [np.array([t])], np.ones(1), base=np.array([7.0]))
    assert line(0.0)[0] == 7.0
    assert line.evaluations == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_point_that_is_not_finite_has_no_value(value):
    assert Line(lambda t: [np.array([1.0, value])], np.ones(2))(0.1) is None


def test_outputs_that_are_left_out_may_be_not_finite():
    line = Line(lambda t: [np.array([t, np.nan])], np.ones(1), keep=np.array([True, False]))
    assert line(0.25).tolist() == [0.25]


def test_a_forward_pass_that_raises_or_changes_its_shape_has_no_value_and_says_why():
    def raises(t):
        raise ArithmeticError("outside")

    line = Line(raises, np.ones(1))
    assert line(0.1) is None
    assert str(line.error) == "outside"
    line = Line(lambda t: [np.ones(3)], np.ones(2))
    assert line(0.1) is None
    assert "shape" in str(line.error)


def test_finite_is_told_apart_from_a_sum_that_overflows():
    huge = np.full(4, 1.7e308)
    with np.errstate(over="ignore"):
        assert all_finite(huge)
        assert finite_mask(huge) is None
    assert finite_mask(np.array([1.0, np.nan])).tolist() == [True, False]


def test_weighting_then_summing_is_the_inner_product():
    line = Line(lambda t: [], np.array([2.0, -1.0]))
    assert total(line.weighted(np.array([3.0, 4.0]))) == 2.0


@pytest.mark.parametrize("count", [0, 1, 2**13, 2**13 + 1, 50_000])
def test_squares_are_added_in_parts(count):
    values = np.linspace(-1, 3, count)
    assert squared(values.reshape(1, -1)) == pytest.approx(float(np.sum(values**2)), rel=1e-12)
    assert squared(values * 1j) == pytest.approx(float(np.sum(values**2)), rel=1e-12)


@pytest.mark.parametrize("count", [3, 20_000])
def test_squares_that_overflow_are_infinite_without_a_warning(count):
    assert squared(np.full(count, 1e200)) == np.inf
    assert all_finite(np.full(count, 1e200))
    assert not all_finite(np.append(np.full(count, 1e200), np.nan))
