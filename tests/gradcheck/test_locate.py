"""Wrong entries are found exactly where they are few, and sampled where they are many."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from plain_subject import Plain, examined, squares

import gradcheck
from gradcheck.locate import affordable_entries, entry_direction, examine, locate

RNG = np.random.default_rng(2)


def wrong_at(size, errors):
    off = np.zeros(size)
    for i, error in errors.items():
        off[i] = error
    return examined(squares({"x": RNG.uniform(0.5, 2.0, size)}, {"x": off}))


@pytest.mark.parametrize(
    "errors",
    [{0: 1.0}, {4095: 1e-3}, {17: 1.0, 18: -1.0}, {3: 2.0, 1000: -0.5, 4000: 1.0}, {9: 1.0, 2500: 1e-3}],
)
def test_few_wrong_entries_of_many_are_found_exactly_without_looking_at_each(errors):
    exam, pulled = wrong_at(4096, errors)
    before = exam.forward_evaluations
    found = locate(exam, pulled, "x", affordable=10_000)
    assert found.exact
    beyond = found.flat[found.discrepancy > found.uncertainty]
    assert beyond.tolist() == sorted(errors)
    rows = np.isin(found.flat, beyond)
    planted = [errors[i] * pulled.cotangents[0][i] for i in sorted(errors)]
    assert found.claimed[rows] - found.expected[rows] == pytest.approx(planted, rel=1e-6)
    assert exam.forward_evaluations - before < 1000


def test_dense_errors_are_sampled_with_both_ends():
    exam, pulled = wrong_at(2000, dict.fromkeys(range(2000), 0.1))
    found = locate(exam, pulled, "x", affordable=64)
    assert not found.exact
    assert 32 <= found.flat.size <= 76
    assert found.flat.tolist() == sorted(set(found.flat.tolist()))
    assert {0, 1, 2, 3, *range(1992, 2000)} <= set(found.flat.tolist())
    assert (found.discrepancy > found.uncertainty).all()


def test_dense_errors_are_all_listed_where_that_can_be_afforded():
    exam, pulled = wrong_at(200, dict.fromkeys(range(0, 200, 2), 0.1))
    found = locate(exam, pulled, "x", affordable=200)
    assert found.exact
    assert found.flat.tolist() == list(range(200))
    assert (found.discrepancy > found.uncertainty).tolist() == [True, False] * 100


@pytest.mark.parametrize(("where", "noun"), [(np.s_[5, :], "row 5"), (np.s_[:, 7], "column 7")])
def test_of_a_wrong_row_or_column_entries_are_found_wherever_it_lies(where, noun):
    x = torch.rand(600, 500, dtype=torch.float64, requires_grad=True)

    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            gradient = g * ctx.saved_tensors[0].cos()
            gradient[where] /= 2
            return gradient

    report = gradcheck.verify(Half.apply, x, variations=False)
    wrong = report.parameters["inputs[0]"].wrong
    assert report.verdict == "fail"
    assert wrong.pattern == f"{noun} (from a sample)"
    assert wrong.at_least
    assert wrong.count >= 10
    assert "in at least" in str(report)
    assert report.parameters["inputs[0]"].digits < 3


def test_the_share_of_wrong_entries_is_that_of_those_drawn_at_random():
    x = torch.rand(400, 400, dtype=torch.float64, requires_grad=True)

    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 3 * x

        @staticmethod
        def backward(ctx, g):
            gradient = 3 * g
            gradient[:, ::4] = 0
            gradient[-1] = 0
            return gradient

    wrong = gradcheck.verify(Half.apply, x, variations=False).parameters["inputs[0]"].wrong
    assert not wrong.at_least
    assert wrong.count == pytest.approx(0.25 * 400 * 400, rel=0.3)


def test_a_small_leaf_is_examined_whole():
    exam, pulled = wrong_at(30, {4: 1.0})
    found = locate(exam, pulled, "x", affordable=100)
    assert found.exact
    assert found.flat.tolist() == list(range(30))
    assert found.expected == pytest.approx(2 * exam.values["x"] * pulled.cotangents[0], rel=1e-9)
    assert (np.abs(found.expected - 2 * exam.values["x"] * pulled.cotangents[0]) <= found.uncertainty).all()
    assert found.pulled is pulled
    assert len(found.probes) == 30


def test_entries_that_are_not_finite_are_left_out():
    subject = squares({"x": np.linspace(1, 2, 20)})
    subject.backward = lambda us, x: {"x": np.where(np.arange(20) % 5 == 0, np.nan, 2 * x * us[0])}
    exam, pulled = examined(subject)
    assert locate(exam, pulled, "x", 100).flat.tolist() == [i for i in range(20) if i % 5]


@pytest.mark.parametrize(("seconds_each", "count"), [(0.1, 16), (3.0, 4), (0.01, 100)])
def test_where_time_is_up_the_rest_is_left_out_and_said(monkeypatch, seconds_each, count):
    exam, pulled = wrong_at(100, {})
    clock = itertools.count(step=seconds_each)
    monkeypatch.setattr("gradcheck.locate.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(exam, "_evaluate", exam.subject.evaluate)  # which asks for the time, too
    found = examine(exam, pulled, "x", np.arange(100), exact=True, seconds=1.0)
    assert found.flat.tolist() == list(range(count))
    assert found.exact is (count == 100)
    assert found.claimed.shape == found.uncertainty.shape == (count,)


def test_complex_entries_are_examined_along_both_axes():
    z = np.array([1 + 2j, -0.5 + 1j, 2 - 1j])
    off = np.array([0, 0.1j, 0])
    subject = Plain({"z": z}, lambda z: [z * z], lambda us, z: {"z": np.conj(2 * z) * us[0] + off})
    exam, pulled = examined(subject)
    found = examine(exam, pulled, "z", np.arange(3), exact=True)
    assert len(found.probes) == 6
    assert found.claimed - found.expected == pytest.approx(off, abs=1e-8)
    assert (found.discrepancy > found.uncertainty).tolist() == [False, True, False]


def test_the_direction_of_one_entry_moves_nothing_else():
    exam, _ = wrong_at(10, {})
    moved = entry_direction(exam, "x", 6, 0.5)["x"]
    assert np.flatnonzero(moved).tolist() == [6]
    assert moved[6] == 0.5


def test_kinks_are_marked_entry_by_entry():
    x = np.array([1.0, 0.0, -1.0])
    subject = Plain({"x": x}, lambda x: [np.maximum(x, 0)], lambda us, x: {"x": (x > 0) * us[0]})
    exam, pulled = examined(subject)
    found = examine(exam, pulled, "x", np.arange(3), exact=True)
    assert found.kink.tolist() == [False, True, False]
    assert found.discrepancy.max() < 1e-9


def test_nothing_to_examine_is_nothing():
    exam, pulled = wrong_at(5, {})
    found = examine(exam, pulled, "x", np.arange(0), exact=True)
    assert found.flat.size == found.discrepancy.size == 0


def test_what_is_affordable():
    assert affordable_entries(1e-3, 1.0) == 200
    assert affordable_entries(10.0, 1.0) == 16
    assert affordable_entries(0.0, 1e-6) >= 16
