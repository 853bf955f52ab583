"""Richardson extrapolation: powers are removed one by one, and the bound covers what is left."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck.numerical.extrapolation import Table


def filled(quotient, power=2, noise=0.0, steps=8, ratio=2.0):
    table = Table(power, noise)
    for k in range(steps):
        table.add(0.1 / ratio**k, quotient(0.1 / ratio**k))
    return table


@pytest.mark.parametrize(("power", "degrees"), [(2, (2, 4, 6)), (1, (1, 2, 3))])
@pytest.mark.parametrize("ratio", [2.0, 8.0])
def test_each_column_removes_one_power(power, degrees, ratio):
    table = filled(lambda h: 5 + sum(h**d for d in degrees), power, steps=4, ratio=ratio)
    assert abs(table.rows[3][0] - 5) > 1e-12
    assert table.rows[3][3] == pytest.approx(5, abs=1e-13)


@pytest.mark.parametrize("exponent", [0.5, 0.8, 1.0, 1.5])
def test_the_bound_holds_for_powers_that_are_not_removed(exponent):
    value, bound, _ = filled(lambda h: 2 + 3 * h + h**exponent, power=1, noise=1e-18).best()
    assert abs(value - 2) <= bound


def test_the_bound_is_never_below_rounding():
    table = filled(lambda h: 1.0, noise=1e-10)
    value, bound, step = table.best()
    assert value == 1.0
    assert bound >= 1e-10 / step > 0


def test_the_bound_covers_noise_of_the_stated_size():
    generator = np.random.default_rng(0)
    beyond = 0
    for _ in range(200):
        table = filled(lambda h: math.cosh(h) + 1e-9 * generator.uniform(-1, 1) / h, noise=1e-9)
        value, bound, _ = table.best()
        beyond += abs(value - 1) > bound
    assert beyond == 0


def test_one_rung_bounds_nothing():
    assert filled(lambda h: 1.0, steps=1).best()[1] == math.inf


def test_smaller_steps_that_contradict_widen_the_bound():
    def kinked(h):  # |x - d| at a distance d = 1e-3: beyond it the quotient is d / h
        return min(1.0, 1e-3 / h)

    table = filled(kinked, noise=1e-16, steps=14)
    value, bound, _ = table.best(consistent=True)
    assert abs(value - 1) <= bound <= 1e-6
    # constant quotients of large steps agree perfectly, until small ones tell
    aliased = filled(lambda h: 0.0 if h > 1e-2 else 5.0, noise=1e-16, steps=14)
    assert aliased.best(consistent=True)[0] == pytest.approx(5)


def test_a_quotient_that_denies_an_entry_widens_it_by_its_whole_distance():
    table = Table(2, 1e-15, scatter=1e-16)  # 1 at large steps by chance, 1.1 within a kink
    for step, quotient in ((1e-4, 1.0), (1e-5, 1.0), (1e-6, 1.1), (1e-7, 1.1)):
        table.add(step, quotient)
    value, bound, _ = table.best(consistent=True)
    assert abs(value - 1.1) <= bound


def test_quotients_that_still_move_are_told_from_rounding():
    assert filled(lambda h: min(1.0, 1e-5 / h)).moving(1e-4)
    assert not filled(lambda h: 1 + h**2, ratio=8.0).moving(1e-4)
    assert not filled(lambda h: 1 + 1e-9 * math.sin(1 / h) / h, noise=1e-9).moving(1e-4)


def test_exact_changes_are_rounded_too():
    table = Table(2, 0.0, epsilon=2.0**-52)
    for step in (0.1, 0.05):
        table.add(step, 1 / 3)
    assert table.best()[1] >= 2.0**-52 / 3


def test_convergence_and_divergence_are_told_apart():
    assert filled(lambda h: 1 + h**2).converges()
    assert not filled(lambda h: h**-0.5).converges()
    assert filled(lambda h: h**-0.5, power=1).diverges()
    assert not filled(lambda h: 1 + h, power=1).diverges()


def test_the_curve_marks_the_chosen_rung():
    table = filled(lambda h: 1 + h**2, steps=3)
    curve = table.curve(table.steps[1])
    assert [step.chosen for step in curve] == [False, True, False]
    assert all(math.isfinite(step.bound) for step in curve)
