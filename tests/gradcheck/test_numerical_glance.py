"""A first look confirms right claims from three or four values, and nothing else."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gradcheck.numerical import glance
from gradcheck.numerical.derivative import DOUBLE, along
from gradcheck.numerical.line import Line, line_step
from gradcheck.numerical.roundoff import floor

POINTS = np.random.default_rng(0).uniform(0.5, 1.5, 50)
SIGNS = np.random.default_rng(1).choice([-1.0, 1.0], 50)
SMOOTH = {
    "linear": (lambda x: 3 * x, lambda x: 3 + 0 * x),
    "square": (lambda x: x * x, lambda x: 2 * x),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sixth power": (lambda x: x**6, lambda x: 6 * x**5),
}


def line(function, points=POINTS, cotangent=SIGNS):
    return Line(lambda t: [function(points * (1 + t))], cotangent, function(points))


def look(given, claimed, wanted=float("inf")):
    return glance.at(given, claimed, floor(given(0.0), given.cotangent, DOUBLE), DOUBLE, wanted)


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_right_claims_are_confirmed_by_four_values_at_most(name):
    function, slope = SMOOTH[name]
    true = float(np.sum(np.float128(SIGNS) * slope(np.float128(POINTS)) * POINTS))
    given = line(function)
    found = look(given, true).estimate
    assert found is not None
    assert given.evaluations <= 4
    assert abs(found.value - true) <= found.uncertainty <= 1e-9 * abs(slope(POINTS)).sum()


@pytest.mark.parametrize("power", [-1, 1])
def test_bars_hold_beside_poles_wherever_they_lie(power):
    for distance in np.geomspace(1e-3, 1, 40):
        given = line(
            lambda x, d=distance: (x + d) ** -1.0 if power < 0 else np.log(x + d), np.geomspace(1e-3, 1, 50)
        )
        x = np.float128(np.geomspace(1e-3, 1, 50))
        slope = -1 / (x + distance) ** 2 if power < 0 else 1 / (x + distance)
        true = np.sum(SIGNS * slope * x)
        found = look(given, float(true)).estimate
        assert found is None or abs(found.value - true) <= found.uncertainty


def test_a_series_that_lacks_its_third_term_is_not_taken_for_a_parabola():
    given = Line(lambda t: [np.atleast_1d(t + t**2 + 1e7 * t**4)], np.ones(1), np.zeros(1))
    found = look(given, 1.0).estimate
    assert found is None or abs(found.value - 1) <= found.uncertainty


@pytest.mark.parametrize("wanted", [1e-9, float("inf")])
def test_no_claim_is_confirmed_at_a_kink_or_jump_of_the_point_itself(wanted):
    rests = {"kink": abs, "jump": lambda t: np.where(t == 0, 1.0, 0.0), "step": lambda t: 1.0 * (t > 0)}
    for rest in rests.values():
        given = Line(
            lambda t, r=rest: [np.atleast_1d(np.exp(t) + r(t))], np.ones(1), np.exp([0.0]) + rest(0.0)
        )
        middle = 1 + float(rest(1e-4) - rest(-1e-4)) / 2e-4
        assert look(given, middle, wanted).estimate is None


@pytest.mark.parametrize("quantum", [2.0**-12, 2.0**-20, 2.0**-24, 2.0**-30])
def test_a_step_function_does_not_pass_for_the_line_that_it_follows(quantum):
    given = line(lambda x: np.round(x / quantum) * quantum)
    claimed = float(np.sum(SIGNS * POINTS))  # that of a straight-through estimator
    found = look(given, claimed).estimate
    assert found is None or abs(found.value - claimed) > found.uncertainty


def test_what_is_known_not_to_do_is_not_evaluated():
    given = line(np.exp)
    assert look(given, 1.0, wanted=1e-30).estimate is None
    assert given.evaluations == 0
    far_off = line(np.exp)
    look(far_off, 1e3)
    assert far_off.evaluations == 2


def test_a_claim_that_the_first_look_denies_is_confirmed_by_no_wider_bar(monkeypatch):
    """Kinks a little away widen the bars of larger steps until a wrong claim fits into them."""
    places = np.random.default_rng(3).uniform(5e-4, 3e-3, 60) * SIGNS.repeat(2)[:60]
    weights = 1e-6 * np.random.default_rng(4).normal(size=60)

    def forward(t):
        return [np.atleast_1d(np.exp(t) + np.sum(weights * np.maximum((t - places) * np.sign(places), 0)))]

    for off in (1e-8, 1e-7, -1e-7, 1e-6):
        estimate = along(Line(forward, np.ones(1), np.asarray(forward(0.0))[0]), claimed=1.0 + off)
        assert estimate.distance(1.0 + off) > estimate.uncertainty
    right = along(Line(forward, np.ones(1), np.asarray(forward(0.0))[0]), claimed=1.0)
    assert right.distance(1.0) <= right.uncertainty
    without = sys.modules["gradcheck.numerical.derivative"]
    monkeypatch.setattr(without.glance, "at", lambda *_: glance.Glance())
    wide = along(Line(forward, np.ones(1), np.asarray(forward(0.0))[0]), claimed=1.0)
    assert wide.uncertainty > right.uncertainty


@pytest.mark.parametrize("distance", [3e-2, 1e-2, 1e-3])
def test_beside_a_pole_a_look_from_nearer_by_tells(distance):
    given = Line(lambda t: [1 / np.tan(distance - np.atleast_1d(t) / 2)], np.ones(1), 1 / np.tan([distance]))
    true = 0.5 / np.sin(distance) ** 2
    noise = floor(given(0.0), given.cotangent, DOUBLE) + DOUBLE * distance * true
    found = glance.at(given, true, noise, DOUBLE, 1e-9 * true).estimate
    assert found is not None
    assert given.evaluations <= 6
    assert abs(found.value - true) <= found.uncertainty < 1e-8 * true


def test_among_thousands_of_kinks_a_look_from_nearer_by_tells():
    random = np.random.default_rng(0)
    point, signs = random.permutation(np.linspace(-9, 9, 8000)), random.choice([-1.0, 1.0], 8000)
    direction = 5 * random.normal(size=8000)
    given = Line(lambda t: [np.sort(point + t * direction)], signs, np.sort(point))
    true = float(signs @ direction[np.argsort(point)])
    noise = floor(given(0.0), signs, DOUBLE)
    assert glance._look(given, line_step(DOUBLE) / 4, noise, DOUBLE).bent
    estimate = along(given, claimed=true, wanted=1e-10 * np.linalg.norm(direction))
    assert estimate.evaluations <= 6
    assert abs(estimate.value - true) <= estimate.uncertainty < 1e-9 * np.linalg.norm(direction)
    wrong = true + 1e-6 * np.linalg.norm(direction)
    assert along(given, claimed=wrong).distance(wrong) > 1e-7


@pytest.mark.parametrize("offset", [10.0, 1e3])
@pytest.mark.parametrize("distance", [1e-4, 2e-4, 3e-4, 1e-3])
@pytest.mark.parametrize("size", [1, 5, 50])
def test_beyond_kinks_large_steps_deny_no_claim_that_small_ones_confirm(offset, distance, size):
    """Units at rest beside large outputs: the steps that agree first all lie beyond their kinks."""
    for seed in range(4):
        drawn = np.random.default_rng(seed)
        kinks, signs = distance * drawn.uniform(0.5, 1.5, size), drawn.choice([-1.0, 1.0], size)

        def at(t, kinks=kinks):
            return [np.maximum(t - kinks, 0) + offset]

        right = along(Line(at, signs, at(0.0)[0]), claimed=0.0)
        assert right.distance(0.0) <= right.uncertainty
        wrong = along(Line(at, signs, at(0.0)[0]), claimed=0.01 * size)
        assert not wrong.distance(0.01 * size) <= wrong.uncertainty < 1e-3 * size
