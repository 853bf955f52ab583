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
