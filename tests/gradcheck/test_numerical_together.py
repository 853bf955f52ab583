"""Many lines at once are estimated as each of them alone."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.numerical.derivative import DOUBLE, along
from gradcheck.numerical.line import Line
from gradcheck.numerical.together import Together

NOISE = 1e-17
FUNCTIONS = {
    "linear": lambda x: 3 * x,
    "sine": np.sin,
    "exponential": np.exp,
    "polynomial": lambda x: x**7 - 4 * x**2 + 1,
    "relu": lambda x: np.maximum(x, 0),
    "steep": lambda x: np.tanh(50 * x),
    "end of the domain": lambda x: np.sqrt(x + 1.2),
    "single precision": lambda x: np.sin(x).astype(np.float32).astype(float),
    "oscillating": lambda x: np.sin(2000 * x),
}


class Fan:
    """Lines through one point, half of them along a single entry; counts the rows that are asked for."""

    def __init__(self, function, count=40, outputs=6):
        rng = np.random.default_rng(0)
        self.function = function
        self.point = rng.uniform(-1, 1, outputs)
        self.directions = rng.normal(size=(count, outputs))
        self.directions[: count // 2, 1:] = 0
        self.cotangent = rng.choice([-1.0, 1.0], outputs) * rng.uniform(0.5, 1.5, outputs)
        self.calls = 0

    def at(self, point):
        with np.errstate(all="ignore"):
            return self.function(point)

    def rows_at(self, lines, t):
        self.calls += 1
        return self.at(self.point + t * self.directions[lines])

    def alone(self, k, claimed):
        line = Line(lambda t: [self.at(self.point + t * self.directions[k])], self.cotangent)
        return along(line, claimed=claimed, epsilon=DOUBLE, input_noise=NOISE)

    def together(self, claimed):
        lines = Together(self.at(self.point), self.cotangent, DOUBLE)
        return lines.estimates(self.rows_at, claimed, np.full(len(claimed), NOISE))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("off", [0.0, 1e-10, 1e-3])
def test_an_estimate_is_that_of_the_line_alone(name, off):
    fan = Fan(FUNCTIONS[name])
    claimed = np.asarray([fan.alone(k, None).value for k in range(len(fan.directions))]) * (1 + off)
    for k, estimate in enumerate(fan.together(claimed)):
        if estimate is not None:
            alone = fan.alone(k, claimed[k])
            assert (estimate.value, estimate.uncertainty) == (alone.value, alone.uncertainty)
            assert (estimate.lower, estimate.upper, estimate.kink) == (alone.lower, alone.upper, alone.kink)


@pytest.mark.parametrize("name", ["linear", "sine", "exponential", "polynomial", "end of the domain"])
def test_smooth_lines_are_all_estimated_in_a_few_evaluations(name):
    fan = Fan(FUNCTIONS[name], count=200)
    claimed = np.asarray([fan.alone(k, None).value for k in range(200)])
    found = fan.together(claimed)
    assert sum(estimate is not None for estimate in found) >= 190
    assert fan.calls < 40


def test_a_claim_a_little_off_is_looked_at_alone_and_one_far_off_is_not():
    fan = Fan(np.sin)
    true = fan.directions @ (np.cos(fan.point) * fan.cotangent)
    bars = np.asarray([estimate.uncertainty for estimate in fan.together(true)])
    assert all(estimate is None for estimate in fan.together(true + 2 * bars)[1:])
    far = fan.together(true + 1e5 * bars)
    assert all(estimate is not None and estimate.distance(0) >= 0 for estimate in far)


def test_lines_without_values_are_left_alone():
    values = np.asarray([1.0, np.nan, 2.0])
    lines = Together(np.zeros(1), np.ones(1), DOUBLE)
    found = lines.estimates(
        lambda which, t: (values[which] * t)[:, None], np.asarray([1.0, 1.0, 2.0]), np.zeros(3)
    )
    assert [estimate is not None and estimate.resolved for estimate in found] == [True, False, True]
