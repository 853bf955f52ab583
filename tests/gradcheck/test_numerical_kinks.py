"""Kinks: found where one-sided derivatives differ, with the interval between them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.numerical import derivative, kinks
from gradcheck.numerical.line import Line


def found(function, cotangent=(1.0,), step=1e-3, noise=1e-16):
    line = Line(lambda t: [np.atleast_1d(function(t))], np.array(cotangent, float))
    return kinks.find(line, step, noise)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_the_interval_lies_between_the_one_sided_derivatives(scale):
    interval = found(lambda t: scale * (abs(t) + np.sin(t)), noise=1e-16 * scale)
    assert interval.lower == pytest.approx(0, abs=1e-4 * scale)
    assert interval.upper == pytest.approx(2 * scale, rel=1e-4)
    assert interval.uncertainty < 1e-3 * scale


def test_outputs_add_up_their_intervals():
    interval = found(lambda t: np.array([max(t, 0), max(-t, 0)]), (2.0, 3.0))
    assert (interval.lower, interval.upper) == pytest.approx((-3, 2))


@pytest.mark.parametrize(
    "function",
    [np.exp, lambda t: t**2, lambda t: 0 * t + 1, lambda t: abs(t) ** 1.5, lambda t: abs(t - 0.01)],
)
def test_smooth_ground_has_none(function):
    assert found(function) is None


def test_noise_is_no_kink():
    generator = np.random.default_rng(0)
    assert found(lambda t: t + 1e-7 * generator.normal(), noise=1e-6) is None


def test_a_side_without_values_has_none():
    assert found(lambda t: np.nan if t < 0 else t) is None


@pytest.mark.parametrize("claimed", [None, 1.0, 0.5, 0.0, 2.0])
def test_a_kink_is_found_whatever_is_claimed(claimed):
    estimate = derivative(lambda t: [np.maximum(np.array([t]), 0)], [np.ones(1)], claimed=claimed)
    truth = {None: 0.0, 1.0: 0.0, 0.5: 0.0, 0.0: 0.0, 2.0: 1.0}[claimed]
    assert estimate.distance(0.5 if claimed is None else claimed) == pytest.approx(truth, abs=1e-6)
    assert estimate.kink or claimed == 0.5  # the slope of the central difference, itself a subgradient
