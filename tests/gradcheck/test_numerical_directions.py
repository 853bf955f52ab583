"""Random directions: to each leaf's scale, the same for the same seed, with the power that is promised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcheck.numerical import directions


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], 1.0),
        ([0.0, 0.0], 1.0),
        ([3.0, 4.0], np.sqrt(12.5)),
        ([0.0, 3.0], 3.0),
        ([np.nan, np.inf, 2.0], 2.0),
        ([1e200, 1e200], 1e200),
        ([1e-200], 1e-200),
        ([3 + 4j], 5.0),
    ],
)
def test_the_scale_is_the_root_mean_square_of_what_is_there(value, expected):
    assert directions.scale(np.array(value)) == pytest.approx(expected)


def test_entries_that_span_too_much_move_by_their_own_size():
    assert directions.scale(np.array([1e-9, 0.0, -10.0])).tolist() == [1e-9, pytest.approx(5.0), 10.0]


def test_a_direction_is_gaussian_to_scale_and_follows_from_the_seed():
    leaves = {"a": np.full(4000, 1e-3), "b": np.full((2, 2), 1e3), "c": np.array(2.0), "empty": np.zeros(0)}
    one, other = (directions.direction(leaves, list(leaves), np.random.default_rng(1)) for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in leaves)
    assert {name: v.shape for name, v in one.items()} == {name: v.shape for name, v in leaves.items()}
    assert one["a"].std() == pytest.approx(1e-3, rel=0.1)
    assert abs(one["a"].mean()) < 1e-4
    assert 10 < np.abs(one["b"]).max() < 1e5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.float64])
def test_a_direction_is_of_its_leafs_kind(dtype):
    leaf = torch.ones(2, 3, dtype=dtype, requires_grad=True)
    v = directions.direction({"w": leaf}, ["w"], np.random.default_rng(0))["w"]
    assert (v.dtype, v.shape, v.requires_grad) == (dtype, leaf.shape, False)


def test_numbers_are_widened_exactly():
    assert directions.to_numpy(torch.tensor([0.1], dtype=torch.float32)).tolist() == [float(np.float32(0.1))]
    assert directions.to_numpy(torch.tensor([1j]).conj()).tolist() == [-1j]
    assert directions.to_numpy(np.zeros(1, np.longdouble)).dtype == np.longdouble


def test_the_inner_product_is_real_and_has_a_typical_size():
    assert directions.inner(np.array([1 + 2j]), np.array([3 + 5j]))[0] == 13
    assert directions.inner(np.array([3.0, 4.0]), np.array([1.0, -1.0])) == (-1.0, 5.0)
    assert directions.inner(np.zeros(0), np.zeros(0)) == (0.0, 0.0)
    assert directions.inner(np.array([1e200, 1e200]), np.array([1e100, 1e100]))[1] == pytest.approx(
        2**0.5 * 1e300
    )


def _bars_of_wrong_claims(bars, generator, shape):
    """Return bars as wide as a wrong claim may make them."""
    times, shares = np.transpose(directions._WIDENED)
    return bars * generator.choice(times, p=shares, size=shape)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 60])
def test_what_is_called_detectable_is_detected(count):
    generator, shape = np.random.default_rng(0), (40000, count)
    error = directions.detectable(0.1, 1.0, count, probability=0.99)
    bars = _bars_of_wrong_claims(0.1, generator, shape)
    seen = (np.abs(error * generator.standard_normal(shape)) > bars).any(axis=1).mean()
    assert seen == pytest.approx(0.99, abs=0.002)


@pytest.mark.parametrize("arguments", [(0.1, 1.0, 0), (0.1, 0.0, 2), (np.inf, 1.0, 2), (np.nan, 1.0, 2)])
def test_nothing_is_promised_without_grounds(arguments):
    assert directions.detectable(*arguments) is None


def test_directions_of_several_error_bars_see_as_much_together():
    generator, shape = np.random.default_rng(0), (40000, 3)
    bars = np.array([0.05, 0.1, 0.2])
    error = directions.detectable_by(list(bars), 1.0, probability=0.99)
    wide = _bars_of_wrong_claims(bars, generator, shape)
    seen = (np.abs(error * generator.standard_normal(shape)) > wide).any(axis=1).mean()
    assert seen == pytest.approx(0.99, abs=0.002)
    assert directions.see(bars, 1.01 * error, 0.99)
    assert not directions.see(bars, 0.99 * error, 0.99)


def test_a_direction_too_coarse_to_tell_anything_takes_nothing_away():
    alone = directions.detectable(1e-9, 1.0, 2)
    assert directions.detectable_by([1e-9, 1e-9, 1.0], 1.0) == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("error", [1e-9, 1e-6, 1e-3])
def test_as_many_directions_are_needed_as_see_it(error):
    count = directions.needed(1e-10, 1.0, error)
    assert directions.detectable(1e-10, 1.0, count) <= error
    assert count == 1 or directions.detectable(1e-10, 1.0, count - 1) > error


def test_no_number_of_directions_sees_what_is_below_their_resolution():
    assert directions.needed(1e-6, 1.0, 1e-7) == directions.needed(1e-6, 0.0, 1.0) == np.inf
    assert directions.needed(0.0, 1.0, 1e-7) == 1
