"""Strategies for users' operators: what they draw, what they never draw, and what they shrink to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.errors import UsageError
from gradcheck.strategies import arrays, shapes, tensors

quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def first(strategy, condition):
    """Return the smallest example, as hypothesis shrinks it."""
    return find(strategy, condition, settings=settings(max_examples=2000, derandomize=True, deadline=None))


def seen(strategy, count=300):
    """Return what a strategy draws, unshrunk."""
    kept = []

    @settings(max_examples=count, derandomize=True, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def keep(value):
        kept.append(value)

    keep()
    return kept


def test_they_are_reached_through_the_door():
    assert gradcheck.strategies.tensors is tensors


@quick
@given(arrays())
def test_arrays_are_finite_float64_of_up_to_three_small_axes(array):
    assert array.dtype == np.float64
    assert array.ndim <= 3
    assert all(side <= 5 for side in array.shape)
    assert np.isfinite(array).all()
    assert np.isfinite(array * array).all()


@quick
@given(tensors(dtype=["float16", torch.bfloat16, "float32", torch.complex64, "complex128"]))
def test_tensors_are_finite_leaves_of_each_dtype(tensor):
    assert tensor.is_leaf
    assert tensor.requires_grad
    assert torch.isfinite(torch.view_as_real(tensor) if tensor.is_complex() else tensor).all()


@pytest.fixture(scope="module", params=[arrays, tensors])
def drawn(request):
    return [x.detach() if isinstance(x, torch.Tensor) else x for x in seen(request.param())]


@pytest.mark.parametrize(
    "condition",
    [
        lambda x: 0 in tuple(x.shape),
        lambda x: 1 in tuple(x.shape),
        lambda x: len(x.shape) == 0,
        lambda x: len(x.shape) == 3 and min(x.shape) > 1,
        lambda x: bool((x == 0).any()) and bool((x != 0).any()),
        lambda x: 1 < len(np.unique(np.asarray(x))) < np.asarray(x).size,
        lambda x: bool((abs(x) > 1e20).any()),
        lambda x: bool(((abs(x) < 1e-20) & (x != 0)).any()),
    ],
    ids=["empty axis", "axis of 1", "scalar", "three axes", "zeros", "ties", "large", "tiny"],
)
def test_edge_values_and_shapes_are_drawn(drawn, condition):
    assert any(condition(x) for x in drawn)


def strides(x):
    return tuple(side // x.itemsize for side in x.strides) if isinstance(x, np.ndarray) else x.stride()


@pytest.mark.parametrize("make", [arrays, tensors])
def test_each_layout_is_drawn(make):
    found = {strides(x) for x in seen(make((3, 4)))}
    assert found == {(4, 1), (1, 3), (8, 2), (0, 1)}
    offsets = {x.storage_offset() for x in seen(tensors((3, 4)))}
    assert offsets == {0, 4}


@pytest.mark.parametrize("make", [arrays, tensors])
def test_layouts_can_be_left_out(make):
    assert {strides(x) for x in seen(make((3, 4), layouts=False), 50)} == {(4, 1)}


def test_the_gaps_of_a_strided_array_hold_no_numbers():
    strided = next(x for x in seen(arrays((3, 4)), 100) if strides(x) == (8, 2))
    memory = strided.base if strided.base is not None else strided
    assert np.isnan(memory.reshape(-1)[1::2]).all()


@quick
@given(arrays(min_value=0.5, max_value=2.0))
def test_bounds_hold_for_special_values_too(array):
    assert ((array >= 0.5) & (array <= 2.0)).all()


@quick
@given(arrays((2, 3), "complex64", min_value=-1, max_value=1))
def test_bounds_hold_for_both_parts_of_a_complex_number(array):
    assert array.dtype == np.complex64
    assert (np.maximum(abs(array.real), abs(array.imag)) <= 1).all()


def test_without_special_values_numbers_are_ordinary():
    drawn = seen(arrays((4,), special=False), 50)
    assert all((abs(x) <= 3).all() for x in drawn)


@quick
@given(st.data())
def test_two_inputs_can_share_a_shape(data):
    shared = st.shared(shapes(min_dims=1, min_side=1), key="shape")
    one, other = data.draw(tensors(shared)), data.draw(arrays(shared))
    assert tuple(one.shape) == other.shape


def test_large_arrays_are_drawn_quickly():
    drawn = seen(arrays((64, 64), layouts=False), 10)
    assert len({x.tobytes() for x in drawn}) > 2


def test_a_failure_shrinks_to_a_small_ordinary_input():
    smallest = first(tensors(), lambda x: x.numel() >= 2)
    assert smallest.tolist() == [1.0, 1.0]
    assert smallest.is_contiguous()
    assert smallest.storage_offset() == 0


def test_a_failure_of_strides_shrinks_to_two_by_two():
    smallest = first(arrays(special=False), lambda x: not x.flags.c_contiguous and not x.flags.f_contiguous)
    assert smallest.size <= 4


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: arrays((2, -1)), "Expected a shape but got"),
        (lambda: arrays(dtype="int64"), "Expected a floating or complex dtype but got dtype='int64'"),
        (lambda: arrays(dtype="bfloat16"), "use one of float64, float32, float16, complex128, complex64"),
        (lambda: tensors(dtype="nonsense"), "Expected a floating or complex dtype but got dtype='nonsense'"),
        (lambda: arrays(min_value=2, max_value=1), "Expected min_value <= max_value but got 2.0 and 1.0"),
        (lambda: shapes(min_dims=3, max_dims=2), "Expected 0 <= min_dims <= max_dims but got min_dims=3"),
        (lambda: shapes(min_side=-1), "Expected 0 <= min_side <= max_side but got min_side=-1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_when_asked_for(make, sentence):
    with pytest.raises(UsageError) as caught:
        make()
    assert sentence in str(caught.value)
