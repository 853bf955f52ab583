"""At ties every entry alone may be right, and all together wrong."""

from __future__ import annotations

import numpy as np
import pytest
from plain_subject import Plain

from gradcheck import ties
from gradcheck.options import Options
from gradcheck.pipeline import examine_subject


def outcome_of(subject):
    return examine_subject(subject, Options(), dict.fromkeys(subject.variables, "float64"))


def maximum(shares):
    x = np.array([2.0, 2.0, 2.0, 1.0])
    return Plain({"x": x}, lambda x: [np.max(x)[None]], lambda us, x: {"x": us[0][0] * np.asarray(shares)})


@pytest.mark.parametrize(
    "shares", [[1, 0, 0, 0], [0, 0, 1, 0], [1 / 3, 1 / 3, 1 / 3, 0], [0.5, 0.25, 0.25, 0]]
)
def test_every_way_to_share_a_tied_maximum_is_right(shares):
    outcome = outcome_of(maximum(shares))
    assert outcome.failing == outcome.tied == []


@pytest.mark.parametrize("shares", [[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0.3, 0.3, 0.3, 0]])
def test_shares_that_do_not_add_up_to_one_are_off_together(shares):
    outcome = outcome_of(maximum(shares))
    assert outcome.tied == ["x"] or outcome.failing == ["x"]
    if outcome.tied:
        probe = outcome.findings["x"].tied
        assert probe.discrepancy > probe.uncertainty
        claimed, size = probe.parts["x"]  # all entries are moved by the same amount
        assert abs(claimed) * np.linalg.norm(shares) == pytest.approx(size * sum(shares))


@pytest.mark.parametrize(("share", "tied"), [(0.5, False), (1.0, True)])
def test_a_tie_between_two_leaves_is_seen_when_both_are_moved(share, tied):
    subject = Plain(
        {"a": np.array([1.0, 3.0]), "b": np.array([1.0, 2.0])},
        lambda a, b: [np.maximum(a, b)],
        lambda us, a, b: {
            "a": us[0] * np.where(a == b, share, a > b),
            "b": us[0] * np.where(a == b, share, b > a),
        },
    )
    outcome = outcome_of(subject)
    assert outcome.failing == []
    assert bool(outcome.tied) is tied


@pytest.mark.parametrize(
    ("slope", "verdict"), [(0.0, "pass"), (0.4, "pass"), (1.0, "pass"), (1.5, "fail"), (-0.5, "fail")]
)
def test_the_slope_at_a_kink_lies_between_its_sides_entry_by_entry(slope, verdict):
    x = np.concatenate([np.zeros(30), [1.0, -1.0]])
    claimed = np.where(x == 0, slope, x > 0)
    subject = Plain({"x": x}, lambda x: [np.maximum(x, 0)], lambda us, x: {"x": claimed * us[0]})
    assert outcome_of(subject).findings["x"].verdict == verdict


def test_one_wrong_choice_among_many_kinks_is_not_hidden_by_them():
    claimed = np.full(60, 0.5)
    claimed[41] = 1.2
    subject = Plain({"x": np.zeros(60)}, lambda x: [np.maximum(x, 0)], lambda us, x: {"x": claimed * us[0]})
    outcome = outcome_of(subject)
    assert outcome.failing == ["x"]
    assert outcome.findings["x"].comparison.index == (41,)


def test_smooth_ground_is_not_looked_at_again():
    subject = Plain({"x": np.ones(4)}, lambda x: [x**2], lambda us, x: {"x": 2 * x * us[0]})
    outcome = outcome_of(subject)
    before = outcome.exam.forward_evaluations
    ties.look_closer(outcome, 1.0)
    assert outcome.exam.forward_evaluations == before
    assert outcome.findings["x"].entries is None
