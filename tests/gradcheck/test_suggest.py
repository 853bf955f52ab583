"""The nearest name is offered, and one that differs in case alone first of all."""

from __future__ import annotations

from gradcheck.suggest import did_you_mean


def test_case_alone_is_no_distance():
    assert did_you_mean("w1", ["W1", "b1"]) == " Did you mean 'W1'?"


def test_what_is_far_from_everything_gets_the_list():
    assert did_you_mean("zzz", ["a", "b"], "It has") == " It has: a, b."
    assert did_you_mean("zzz", ["a", "b"]) == ""
