"""A jump that rounding makes is found and told from a kink at the same place."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.numerical import derivative, jumps
from gradcheck.numerical.extrapolation import Table
from gradcheck.numerical.line import Line

AWAY, SIZE = 1.1e-7, 1e-9


def jump(t):
    return SIZE * np.floor(t / AWAY + 0.5)


def kink(t):
    return np.maximum(abs(t) - AWAY, 0) * np.sign(t) * SIZE / AWAY


def found(function):
    line = Line(lambda t: [np.atleast_1d(function(t))], np.ones(1))
    table = Table(2, 1e-16)
    for k in range(2, 10):
        step = 2e-3 / 8**k
        table.add(step, float((line(step) - line(-step))[0]) / (2 * step))
    return jumps.nearest(line, table, table.rows[-1][0], table.steps[-1])


@pytest.mark.parametrize("slope", [0.0, 0.3, -2.0])
def test_a_jump_is_found_and_a_kink_is_none(slope):
    assert found(lambda t: slope * t + jump(t)) == pytest.approx(SIZE, rel=0.1)
    assert found(lambda t: slope * t + kink(t)) == 0.0


def test_a_smooth_function_has_no_jump():
    assert found(np.exp) == 0.0


@pytest.mark.parametrize("claimed", [None, 0.3, 0.3 - SIZE / AWAY])
def test_the_slope_between_two_roundings_is_not_taken_for_that_of_the_function(claimed):
    def rounded(t):  # 0.3 t, of which a part moves in steps
        return np.atleast_1d(1 + (0.3 - SIZE / AWAY) * t + jump(t))

    estimate = derivative(lambda t: [rounded(t)], [np.ones(1)], claimed=claimed)
    assert abs(estimate.value - 0.3) <= estimate.uncertainty < 1e-4


def _excess(seed, wrong):
    """Return the error, in bars, of the slope of log(1 - p): the nearer p to 1, the larger are its jumps."""
    generator = np.random.default_rng(seed)
    x, signs = generator.uniform(12, 27, 4), np.array([1, -1, 1, -1])
    v = x * generator.normal(size=4)

    def outputs(t):
        p = 1 / (1 + np.exp(-(x + t * v)))
        return [np.log(1 - p)]

    true = float(np.sum(-signs * v / (1 + np.exp(-x))))
    estimate = derivative(outputs, [signs], claimed=true * wrong)
    return abs(estimate.value - true) / estimate.uncertainty if estimate.resolved else 0.0


@pytest.mark.parametrize("wrong", [1.0, 1.001])
def test_jumps_of_several_sizes_are_all_seen(wrong):
    excess = np.array([_excess(seed, wrong) for seed in range(200)])
    assert np.mean(excess > 1) < 0.05
    assert excess.max() < 20
