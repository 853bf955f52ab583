"""What choices at kinks can make along a line, known exactly for sums of relus."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.numerical.crossings import cross
from gradcheck.numerical.line import Line

DISTANCE = 1e-6


def crossed(function, count=64, size=3, seed=0):
    s, v = np.random.default_rng(seed).normal(size=(2, size))
    line = Line(lambda t: [np.atleast_1d(function(DISTANCE * s + t * v))], np.ones(1))
    return cross(line, DISTANCE, count), v


def test_kinks_of_either_sign_add_what_each_admits():
    c = np.array([2.0, -1.0, 0.5])
    found, v = crossed(lambda x: (c * np.maximum(x, 0)).sum(), count=256)
    least, most = np.minimum(c * v, 0).sum(), np.maximum(c * v, 0).sum()
    assert found.lower == pytest.approx(least, rel=1e-2)
    assert found.upper == pytest.approx(most, rel=1e-2)
    assert found.distance(least - 1) == pytest.approx(1, rel=1e-1)
    assert found.distance((least + most) / 2) == 0


def test_a_smooth_function_admits_its_slope_alone():
    found, v = crossed(lambda x: np.sin(x).sum())
    assert found.variation < 1e-6
    assert found.lower == pytest.approx(v.sum())


def test_too_few_points_see_less_and_know_it():
    c = np.random.default_rng(1).normal(size=200)
    coarse, v = crossed(lambda x: (c * np.maximum(x, 0)).sum(), count=64, size=200)
    assert coarse.variation < 0.8 * np.abs(c * v).sum()
    assert coarse.missed > 0.05 * coarse.variation


def test_a_line_with_a_hole_tells_nothing():
    found, _ = crossed(lambda x: np.log(x).sum())
    assert found is None
