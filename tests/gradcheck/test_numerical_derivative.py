"""The derivative along a line: right within its bar, cheap where it can be, and honest where it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck.numerical import derivative
from gradcheck.numerical.estimate import unresolved


def along(function, cotangent=(1.0,), **options):
    with np.errstate(all="ignore"):
        return derivative(lambda t: [np.atleast_1d(function(t))], [np.array(cotangent, float)], **options)


SMOOTH = {
    "exp": (np.exp, 1.0),
    "sin near its top": (lambda t: np.sin(t + np.pi / 2 - 1e-3), math.sin(1e-3)),
    "fast oscillation": (lambda t: np.sin(1e5 * t + 1), 1e5 * math.cos(1)),
    "linear": (lambda t: 3 * t - 7, 3.0),
    "odd power": (lambda t: t**3, 0.0),
    "constant": (lambda t: 0 * t + 5, 0.0),
    "kink far away": (lambda t: abs(t - 0.5), -1.0),
    "kink nearby": (lambda t: abs(t - 1e-5) + t, 0.0),
    "slight kink nearby": (lambda t: np.exp(t) + 1e-5 * abs(t - 1e-4), 1 - 1e-5),
    "end of the domain nearby": (lambda t: np.sqrt(t + 1e-5), 0.5 / math.sqrt(1e-5)),
}


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("claim", ["blind", "right", "wrong"])
@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_the_truth_lies_within_the_bar(name, claim, scale):
    function, true = SMOOTH[name]
    claimed = {"blind": None, "right": true * scale, "wrong": (true + 1) * scale}[claim]
    estimate = along(lambda t: scale * function(t), claimed=claimed)
    assert estimate.resolved
    assert abs(estimate.value - true * scale) <= estimate.uncertainty + 4e-16 * abs(true) * scale
    assert estimate.uncertainty <= 1e-4 * scale * max(1, abs(true))


def test_a_smooth_function_takes_few_evaluations_and_is_resolved_well():
    estimate = along(np.exp, claimed=1.0)
    assert estimate.evaluations <= 4
    assert estimate.uncertainty < 3e-11
    assert not estimate.kink
    alone = along(np.exp)
    assert alone.evaluations <= 7
    assert alone.uncertainty < 1e-11


def test_no_outputs_have_derivative_zero():
    estimate = derivative(lambda t: [], [])
    assert (estimate.value, estimate.uncertainty) == (0.0, 0.0)


def test_a_missing_cotangent_counts_as_zeros():
    estimate = derivative(lambda t: [np.array([t]), np.array(2 * t)], [None, np.array(3.0)])
    assert estimate.value == pytest.approx(6)


def test_complex_outputs_use_the_real_inner_product():
    estimate = derivative(lambda t: [np.array([(1 + 2j) * t])], [np.array([3 + 5j])])
    assert estimate.value == pytest.approx(13)


def test_a_step_function_has_derivative_zero():
    estimate = along(lambda t: np.floor(t + 0.5) + np.floor(1e4 * t + 0.5), claimed=0.0)
    assert (estimate.value, estimate.resolved) == (0.0, True)


@pytest.mark.parametrize("claimed", [0.0, 0.003, None])
def test_steps_so_fine_that_they_make_a_slope_settle_nothing(claimed):
    estimate = along(lambda t: (1e8 + 0.003 * (1 + t)) - 1e8, claimed=claimed)
    assert not estimate.resolved or abs(estimate.value - 0.003) <= estimate.uncertainty


def test_a_slight_kink_between_the_steps_widens_the_bar_that_agrees_with_a_wrong_claim():
    slight = 1e-7

    def kinked(t):
        return np.sin(1 + t) + slight * np.maximum(t - 1e-4, 0)

    estimate = along(kinked, claimed=math.cos(1) + slight / 2)
    assert abs(estimate.value - math.cos(1)) <= estimate.uncertainty


@pytest.mark.parametrize("short", [1.0, 1e-3])
def test_rounding_to_single_precision_is_no_step_function(short):
    estimate = along(lambda t: float(np.float32(1 + short * t)), claimed=short)
    assert abs(estimate.value - short) <= estimate.uncertainty < 1


@pytest.mark.parametrize(
    "function", [lambda t: np.nan, lambda t: np.nan if t else 1.0, lambda t: math.copysign(1, t)]
)
def test_where_there_is_no_derivative_none_is_given(function):
    estimate = along(function)
    assert not estimate.resolved
    assert estimate.message
    assert math.isnan(estimate.value)


@pytest.mark.parametrize("jump", [lambda t: math.copysign(1, t), lambda t: float(t != 0), lambda t: t >= 0])
@pytest.mark.parametrize("claimed", [0.0, 2.0])
def test_a_jump_at_the_point_is_told_by_a_dozen_evaluations(jump, claimed):
    estimate = along(lambda t: jump(t) + math.exp(t), claimed=claimed)
    assert "jumps at this point" in estimate.message
    assert estimate.evaluations <= 12


@pytest.mark.parametrize("away", [1e-4, 1e-7, -1e-8])
def test_a_jump_beside_the_point_is_none_at_it(away):
    estimate = along(lambda t: (t >= away) + math.exp(t), claimed=1.0)
    assert estimate.resolved
    assert abs(estimate.value - 1) <= estimate.uncertainty < 1e-4


def _crossed(random):
    """Return places of kinks on a line, and the slopes by which they bend it."""
    return random.uniform(-1, 1, 4000) * 3e-2, random.normal(size=4000)


@pytest.mark.parametrize("wrong", [0.0, 1e-4])
def test_among_many_kinks_the_quotient_of_small_steps_is_taken(wrong):
    for seed in range(20):
        places, bends = _crossed(np.random.default_rng(seed))
        true = float(np.sum(-np.sign(places) * bends))
        estimate = along(lambda t, p=places, b=bends: np.sum(abs(t - p) * b), claimed=true * (1 + wrong))
        assert abs(estimate.value - true) <= estimate.uncertainty < 1e-5 * abs(bends).sum()
        assert (estimate.distance(true * (1 + wrong)) > estimate.uncertainty) == bool(wrong)


def test_an_error_away_from_the_point_is_told():
    def forward(t):
        if t:
            raise ValueError("too far")
        return [np.ones(1)]

    assert "ValueError: too far" in derivative(forward, [np.ones(1)]).message


def test_the_distance_is_to_the_interval():
    kink = along(abs, claimed=3.0)
    assert kink.kink
    assert kink.distance(3.0) == pytest.approx(2)
    assert kink.distance(-0.9) == 0
    assert unresolved("no", 3).distance(1e300) == 0
