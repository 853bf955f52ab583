"""Which entries share a kink, told from one-sided derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from plain_subject import Plain, examined

from gradcheck.coupling import Coupling, Place, groups


def found(function, x):
    subject = Plain(
        {"x": x}, lambda x: [np.atleast_1d(function(x))], lambda us, x: {"x": np.zeros_like(x)}, True
    )
    coupling = Coupling(*examined(subject), seconds=10.0)
    places = [Place("x", i, 1.0) for i in range(x.size)]
    return [{place.flat: sign for place, sign in group} for group in groups(coupling, places)]


def test_kinks_of_entries_alone_make_no_group():
    assert found(lambda x: (np.abs(x) * np.array([1, -1, 2, -3])).sum() + x @ x, np.zeros(4)) == []


def test_ties_share_a_kink_with_like_signs():
    assert found(lambda x: x[:2].max() - x[2:].max() + abs(x[0] - 1.0), np.array([2.0, 2.0, 1.0, 1.0])) == [
        {0: 1.0, 1: 1.0},
        {2: 1.0, 3: 1.0},
    ]


def test_a_sum_at_zero_is_shared_with_unlike_signs():
    assert found(lambda x: abs(x[0] + x[1]) + x[2] ** 2, np.array([1.0, -1.0, 3.0])) == [{0: 1.0, 1: -1.0}]


@pytest.mark.parametrize("count", [20, 40])
def test_of_many_kinks_those_that_are_shared_are_found(count):
    x = np.concatenate([np.zeros(count), np.full(3, 2.0)])
    groups_found = found(
        lambda x: (np.abs(x[:count]) * (-1.0) ** np.arange(count)).sum() + x[count:].max(), x
    )
    assert groups_found == [{count: 1.0, count + 1: 1.0, count + 2: 1.0}]


def test_smooth_entries_that_act_together_share_nothing():
    assert found(lambda x: np.prod(x), np.array([1.0, 2.0, 3.0])) == []
