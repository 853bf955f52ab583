"""All parameters at once; groups are halved only where one is suspect."""

from __future__ import annotations

import numpy as np
import pytest
from plain_subject import TOLERANCE, Plain, examined, squares

from gradcheck.screening import screen

NAMES = [f"w{i:02d}" for i in range(16)]


def leaves(sizes=None):
    rng = np.random.default_rng(1)
    return {name: (sizes or {}).get(name, 1.0) * rng.uniform(0.5, 2.0, 5) for name in NAMES}


def screened(off=None, budget=4000, given=None):
    exam, pulled = examined(squares(given or leaves(), off))
    before = exam.forward_evaluations
    result = screen(exam, pulled, dict.fromkeys(exam.values, TOLERANCE), budget)
    return result, exam.forward_evaluations - before


def test_right_gradients_are_probed_once_all_together():
    result, evaluations = screened()
    assert len(result.joint) == len(result.pulls) == 1
    assert result.suspects == result.unexamined == []
    assert result.own == {}
    assert set(result.joint[0].parts) == set(NAMES)
    assert evaluations < 16


@pytest.mark.parametrize("wrong", [["w00"], ["w15"], ["w03", "w12"], ["w06", "w07"], NAMES])
@pytest.mark.parametrize("error", [1.0, 1e-4])
def test_wrong_leaves_are_singled_out_and_right_ones_are_not(wrong, error):
    result, _ = screened({name: error * np.ones(5) for name in wrong})
    assert sorted(result.suspects) == wrong
    assert result.unexamined == []
    assert all(any(probe.suspect for probe in result.own[name]) for name in wrong)


def test_one_wrong_leaf_of_many_costs_a_logarithm():
    result, _ = screened({"w09": np.ones(5)})
    assert result.suspects == ["w09"]
    assert set(result.own) <= {"w08", "w09"}  # its neighbour in the last pair, and nobody else alone


def test_what_the_budget_does_not_reach_is_said():
    result, _ = screened({"w01": np.ones(5), "w14": np.ones(5)}, budget=0)
    assert len(result.suspects) >= 1
    assert set(result.suspects) <= {"w01", "w14"}
    rest = {"w01", "w14"} - set(result.suspects)
    assert rest <= set(result.unexamined)
    assert rest


def test_a_leaf_that_one_probe_cannot_see_gets_a_second_with_a_fresh_cotangent():
    result, _ = screened(given=leaves({"w05": 1e-7}))
    assert len(result.joint) == len(result.pulls) == 2
    assert not np.array_equal(result.pulls[0].flat, result.pulls[1].flat)
    assert result.joint[1].pulled is result.pulls[1]


def test_a_loss_has_no_fresh_cotangent():
    given = {"large": np.linspace(1, 2, 5), "small": 1e-5 * np.linspace(1, 2, 5)}
    subject = Plain(
        given,
        lambda large, small: [np.sum(large**2) + np.sum(small**2)],
        lambda us, large, small: {"large": 2 * large, "small": 2 * small},
        fixed_cotangent=True,
    )
    exam, pulled = examined(subject)
    result = screen(exam, pulled, dict.fromkeys(given, TOLERANCE), 100)
    assert len(result.joint) == 2
    assert result.pulls == [pulled]


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_a_single_leaf_owns_the_joint_probes(off):
    exam, pulled = examined(squares({"x": np.linspace(1, 2, 9)}, {"x": np.full(9, off)}))
    result = screen(exam, pulled, {"x": TOLERANCE}, 100)
    assert result.own == {"x": result.joint}
    assert result.suspects == (["x"] if off else [])


def test_only_leaves_with_a_tolerance_are_looked_at():
    exam, pulled = examined(squares(leaves(), {"w02": np.ones(5)}))
    assert screen(exam, pulled, {}, 100).joint == []
    some = dict.fromkeys(["w00", "w01"], TOLERANCE)
    assert screen(exam, pulled, some, 100).suspects == []
