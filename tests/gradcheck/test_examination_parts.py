"""What is asked of a subject, how often, and what is made of the answers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from plain_subject import Plain, examined, squares

from gradcheck.examination import Examination
from gradcheck.options import Options
from gradcheck.pipeline import examine_subject

X = np.linspace(0.5, 2.0, 40)


def test_cotangents_are_neither_small_nor_all_of_one_sign():
    (u,) = Examination(squares({"x": X}), 0).cotangents()
    assert (abs(u) >= 0.5).all()
    assert (abs(u) <= 1.5).all()
    assert 5 < (u > 0).sum() < 35


def test_outputs_of_very_different_sizes_count_alike():
    exam = Examination(squares({"x": X, "y": 1e8 * X}), 0)
    u, w = exam.cotangents()
    assert np.abs(u * X**2).max() < 10 * np.abs(w * 1e16 * X**2).max() < 100 * np.abs(u * X**2).max()


def test_a_scalar_loss_has_cotangent_one():
    subject = Plain({"x": X}, lambda x: [np.sum(x**2)], lambda u, x: {"x": 2 * x}, fixed_cotangent=True)
    assert [float(u) for u in Examination(subject, 0).cotangents()] == [1.0]


def test_outputs_outside_their_domain_are_owed_nothing():
    def forward(x):
        with np.errstate(invalid="ignore"):
            return [np.sqrt(x)]

    x = np.array([1.0, -1.0, 4.0])
    subject = Plain({"x": x}, forward, lambda us, x: {"x": np.where(x > 0, us[0] / (2 * np.sqrt(abs(x))), 0)})
    exam, pulled = examined(subject)
    assert exam.outside == 1
    assert pulled.cotangents[0][1] == 0 != pulled.cotangents[0][0]
    assert pulled.flat.shape == exam.base.shape == (2,)
    assert not exam.probe(pulled, ["x"]).suspect


def test_gradients_that_are_missing_misshapen_or_not_finite_are_told_apart():
    leaves = {name: np.ones(3) for name in ("right", "missing", "misshapen", "infinite")}

    def backward(us, **given):
        return {
            "right": 2 * us[0],
            "missing": None,
            "misshapen": np.ones((3, 1)),
            "infinite": [np.inf, 1, np.nan],
        }

    subject = squares(leaves)
    subject.backward = lambda us, **given: {
        name: g if g is None else np.asarray(g) for name, g in backward(us, **given).items()
    }
    pulled = Examination(subject, 0).pull()
    assert pulled.missing == {"missing"}
    assert not pulled.gradients["missing"].any()
    assert pulled.misshapen == {"misshapen": (3, 1)}
    assert "misshapen" not in pulled.gradients
    assert pulled.finite["infinite"].tolist() == [False, True, False]
    assert pulled.gradients["infinite"].tolist() == [0, 1, 0]
    assert np.isinf(pulled.raw["infinite"][0])
    assert set(pulled.raw) == {"misshapen", "infinite"}


def test_a_probe_tells_a_right_gradient_from_a_wrong_one_and_says_by_how_much():
    exam, pulled = examined(squares({"x": X, "y": X}))
    right = exam.probe(pulled, ["x", "y"])
    assert not right.suspect
    assert right.uncertainty < 1e-9 * right.size
    off = np.zeros(40)
    off[7] = 1e-3
    exam, pulled = examined(squares({"x": X, "y": X}, {"y": off}))
    direction = exam.direction(pulled, ["x", "y"])
    wrong = exam.along(pulled, direction)
    assert wrong.suspect
    assert wrong.discrepancy == pytest.approx(
        1e-3 * abs(direction["y"][7] * pulled.cotangents[1][7]), rel=1e-4
    )
    assert not exam.probe(pulled, ["x"]).suspect


def test_the_parts_of_a_probe_add_up_to_the_claimed_value():
    exam, pulled = examined(squares({"x": X, "y": 3 * X}))
    direction = exam.direction(pulled, ["x", "y"])
    probe = exam.along(pulled, direction)
    assert sum(part for part, _ in probe.parts.values()) == pytest.approx(probe.claimed)
    for name, (part, _) in probe.parts.items():
        assert part == pytest.approx(float(np.sum(pulled.gradients[name] * direction[name])))


def test_entries_that_are_not_finite_are_never_moved():
    subject = squares({"x": X})
    subject.backward = lambda us, x: {"x": np.where(np.arange(40) == 3, np.nan, 2 * x * us[0])}
    exam, pulled = examined(subject)
    assert exam.direction(pulled, ["x"])["x"][3] == 0
    assert not exam.probe(pulled, ["x"]).suspect


def test_a_residual_costs_two_evaluations_and_is_the_error_along_the_direction():
    off = np.linspace(-1, 1, 40) ** 3
    exam, pulled = examined(squares({"x": X}, {"x": off}))
    before = exam.forward_evaluations
    v = np.cos(np.arange(40.0))
    residual, noise = exam.residual(pulled, {"x": v})
    assert exam.forward_evaluations == before + 2
    assert abs(residual - (off * pulled.cotangents[0]) @ v) <= noise < 1e-3


def test_every_question_is_counted():
    subject = squares({"x": X})
    exam, pulled = examined(subject)
    exam.probe(pulled, ["x"])
    assert exam.backward_evaluations == 2
    assert exam.forward_evaluations == subject.evaluations + 2  # pulling back runs forward once


def test_backward_that_is_not_linear_in_the_cotangent_deviates():
    exam = Examination(squares({"x": X}), 0)
    exam.rounding.check_linearity(exam.pull())
    assert exam.rounding.deviations == {"x": 0.0}
    subject = Plain({"x": X}, lambda x: [x**2], lambda us, x: {"x": 2 * x * us[0] + 0.1})
    exam = Examination(subject, 0)
    exam.rounding.check_linearity(exam.pull())
    assert exam.rounding.deviations["x"] > 1e-3


def test_measured_rounding_widens_the_bar_of_a_probe():
    subject = squares({"x": X})
    subject.backward = lambda us, x: {"x": np.round(2 * x * us[0], 10)}
    exam, pulled = examined(subject)
    exact, other = examined(squares({"x": X}))
    assert exam.probe(pulled, ["x"]).noise > 1e3 * exact.probe(other, ["x"]).noise
    assert not exam.probe(pulled, ["x"]).suspect


def test_a_forward_pass_that_does_not_repeat_is_noticed():
    assert Examination(squares({"x": X}), 0).repeats()
    calls = iter(range(100))
    drifting = Plain({"x": X}, lambda x: [x + next(calls)], lambda us, x: {"x": us[0]})
    assert not Examination(drifting, 0).repeats()


def test_elsewhere_estimates_at_the_shifted_point():
    exam, pulled = examined(squares({"x": X}))
    found = exam.elsewhere(pulled, {"x": np.ones(40)}, {"x": np.full(40, 5.0)})
    assert found.value == pytest.approx(float(np.sum(2 * (X + 5) * pulled.cotangents[0])), rel=1e-8)


def test_the_same_seed_asks_the_same():
    one, other, third = (examined(squares({"x": X}), seed) for seed in (4, 4, 5))
    assert np.array_equal(one[1].flat, other[1].flat)
    assert not np.array_equal(one[1].flat, third[1].flat)
    assert one[0].probe(one[1], ["x"]).claimed == other[0].probe(other[1], ["x"]).claimed


def test_a_large_leaf_is_held_a_few_times_at_once():
    x = np.linspace(1, 2, 2**20)
    subject = Plain(
        {"x": x},
        lambda x: [np.asarray([x @ x, x.sum()])],
        lambda us, x: {"x": 2 * us[0][0] * x + us[0][1]},
    )
    tracemalloc.start()
    outcome = examine_subject(subject, Options(effort="probe"), {"x": "float64"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.failing == []
    # two gradients, what they are rounded to, a direction, a point along it, and what the subject needs
    assert peak < 7 * x.nbytes
