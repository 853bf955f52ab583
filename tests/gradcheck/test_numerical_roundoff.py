"""The floor and the measurement of rounding errors, held against errors that are really there."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.numerical import roundoff
from gradcheck.numerical.line import Line

EPS = 2.0**-52


def test_no_outputs_have_no_rounding():
    assert roundoff.floor(np.zeros(0), np.zeros(0), EPS) == 0.0


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_the_floor_covers_one_rounding_of_each_output(size):
    generator = np.random.default_rng(size)
    for _ in range(50):
        y, u = generator.normal(size=(2, size)).astype(np.longdouble)
        error = float(abs(np.sum(u * (y.astype(np.float32).astype(np.longdouble) - y))))
        assert error <= roundoff.floor(y.astype(float), u.astype(float), 2.0**-23)


@pytest.mark.parametrize("scale", [1e-200, 1e-5, 1e200])
def test_the_floor_grows_with_the_outputs(scale):
    y, u = np.random.default_rng(0).normal(size=(2, 100))
    assert roundoff.floor(y * scale, u, EPS) == pytest.approx(scale * roundoff.floor(y, u, EPS))


def test_half_precision_rounds_once():
    y = np.array([1.0, 100.0])
    narrow = roundoff.floor(y, np.array([1.0, 0.0]), 2.0**-10)
    assert 0 < narrow < 2 * 2.0**-10
    assert roundoff.floor(np.zeros(2), np.ones(2), 2.0**-10) == 0.0


def measured(function, epsilon=EPS):
    return roundoff.measured(Line(lambda t: [np.atleast_1d(function(t))], np.ones(1)), epsilon)


@pytest.mark.parametrize("grain", [1e-12, 1e-8, 1e-5])
@pytest.mark.parametrize("slope", [0.37, 1.0, 2.0**-5])
def test_rounding_to_a_grid_is_measured_wherever_the_points_fall(grain, slope):
    level = measured(lambda t: np.rint((slope * t + 0.3) / grain) * grain)
    assert 0.1 * grain <= level <= 50 * grain


@pytest.mark.parametrize("whole", [72, 89, 144, 233])
def test_no_whole_number_of_roundings_hides_a_grid(whole):
    grain = 1e-12
    slope = whole * grain / 2.0**-30.5
    assert measured(lambda t: np.rint(slope * t / grain) * grain) >= 0.1 * grain


def test_a_kink_beyond_the_points_is_no_noise():
    def kinked(t):
        return np.exp(3 * t) + abs(t - 1e-10)

    line = Line(lambda t: [np.atleast_1d(kinked(t))], np.ones(1))
    assert roundoff.measured(line, EPS) > 1e-13
    assert roundoff.measured(line, EPS, near=5e-11) < 1e-15


def test_random_noise_is_measured():
    generator = np.random.default_rng(3)
    assert 2e-10 < measured(lambda t: np.sin(t + 1) + 1e-9 * generator.normal()) < 5e-9


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_a_smooth_function_has_no_more_than_its_rounding(scale):
    assert measured(lambda t: scale * np.exp(t)) <= 4 * EPS * scale


def test_no_values_and_no_change_are_no_noise():
    assert measured(lambda t: np.nan if t else 1.0) == 0.0
    assert measured(lambda t: 1.0) == 0.0


SMOOTH = {
    "smooth": lambda x: np.sin(x),
    "oscillating": lambda x: np.sin(900 * x),
    "kinked": lambda x: np.abs(np.sin(50 * x)) + np.maximum(x, 0),
    "noisy in double precision": lambda x: np.sin(x) + 1e-12 * np.sin(1e15 * x),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_double_precision_is_not_taken_for_single(name):
    assert not roundoff.is_single(_outputs(SMOOTH[name]))


@pytest.mark.parametrize("size", [1, 40])
def test_rounding_to_single_precision_inside_is_recognised(size):
    def inside(x):
        narrow = np.sin(x.astype(np.float32)) * np.float32(3)
        return narrow.astype(np.float64) * x

    assert roundoff.is_single(_outputs(inside, size))


def _outputs(function, size=40):
    x, v = np.random.default_rng(0).standard_normal((2, size))
    return Line(lambda t: [function(x + t * v)], np.ones(size))
