"""Where the domain of the forward pass ends nearby: an estimate within its error bar, or none."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.numerical import derivative

# A function, its derivative, the end of its domain, and on which side of the point that lies.
_ENDS = {
    "arcsin": (np.arcsin, lambda x: 1 / np.sqrt((1 - x) * (1 + x)), 1.0, -1),
    "arccos": (np.arccos, lambda x: -1 / np.sqrt((1 - x) * (1 + x)), -1.0, 1),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), 0.0, 1),
    "log": (np.log, lambda x: 1 / x, 0.0, 1),
    "arctanh": (np.arctanh, lambda x: 1 / ((1 - x) * (1 + x)), 1.0, -1),
}


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 1e-8, 1e-9, 1e-10])
@pytest.mark.parametrize("name", sorted(_ENDS))
@pytest.mark.parametrize("claiming", [True, False])
def test_the_estimate_near_the_end_of_a_domain_keeps_its_promise(name, distance, claiming):
    function, slope, end, side = _ENDS[name]
    x = np.array([end + side * distance])
    true = float(slope(x)[0])
    with np.errstate(all="ignore"):
        estimate = derivative(lambda t: [function(x + t)], [np.ones(1)], claimed=true if claiming else None)
    # x itself carries a rounding error, which the derivative magnifies: that much is not the estimate's
    allowed = estimate.uncertainty + 4 * np.finfo(float).eps / distance * abs(true)
    assert not estimate.resolved or abs(estimate.value - true) <= allowed


def test_quotients_that_grow_without_end_give_no_estimate():
    with np.errstate(all="ignore"):
        estimate = derivative(lambda t: [np.sqrt(np.array([t]))], [np.ones(1)])
    assert not estimate.resolved


def test_a_function_that_ends_at_the_point_itself_has_a_one_sided_derivative():
    with np.errstate(all="ignore"):
        estimate = derivative(lambda t: [np.sqrt(np.array([t])) ** 2 + np.exp(t)], [np.ones(1)])
    assert estimate.resolved
    assert abs(estimate.value - 2.0) <= estimate.uncertainty < 1e-3


def _turning(t):  # its quotient turns at 4e-5: the first term falls below its tangent, the other rises
    return 0.0 if t == 0 else (0.93 * t) ** (1 + 1.81 * t) + (0.365 * t) ** (1.5 - 0.986 * t)


def test_two_powers_that_turn_against_each_other_do_not_stand_still():
    def outputs(t):
        if t < 0:
            raise ValueError
        return [np.array([_turning(t)])]

    estimate = derivative(outputs, [np.ones(1)])
    assert abs(estimate.value - 0.93) <= estimate.uncertainty < 1e-3


def test_powers_that_are_no_whole_ones_leave_the_bar_honest():
    generator, within = np.random.default_rng(1), []
    for _ in range(300):
        powers, factors = 1 + generator.uniform(0.1, 2.5, 3), generator.normal(size=3)
        slope = generator.normal()

        def outputs(t, powers=powers, factors=factors, slope=slope):
            with np.errstate(all="ignore"):
                return [np.array([1 + slope * t + np.sum(factors * np.float64(t) ** powers)])]

        estimate = derivative(outputs, [np.ones(1)])
        within.append(not estimate.resolved or abs(estimate.value - slope) <= estimate.uncertainty)
    assert np.mean(within) >= 0.98
