"""Verdicts from a discrepancy, an uncertainty and a tolerance; waivers that are never silent."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck import judge
from gradcheck.options import Options
from gradcheck.report.records import ParameterResult, Verdict
from gradcheck.waivers import waived

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("discrepancy", "uncertainty", "expected"),
    [
        (0.0, 0.0, PASS),
        (0.9, 0.1, PASS),
        (0.9, 0.2, UNKNOWN),
        (1.1, 0.2, UNKNOWN),
        (1.3, 0.2, FAIL),
        (0.0, 2.0, UNKNOWN),
        (np.inf, 0.0, FAIL),
        (0.0, np.inf, UNKNOWN),
        (np.nan, 0.0, UNKNOWN),
    ],
)
def test_a_verdict_needs_the_whole_bar_on_one_side(discrepancy, uncertainty, expected):
    assert judge.verdict(discrepancy, uncertainty, 1.0) is expected


def test_the_worst_verdict_counts():
    assert judge.worst([]) is PASS
    assert judge.worst([PASS, UNKNOWN]) is UNKNOWN
    assert judge.worst([UNKNOWN, FAIL, PASS]) is FAIL


def test_a_narrower_format_has_a_wider_tolerance():
    formats = ["longdouble", "float64", "float32", "float16", "bfloat16"]
    widths = [judge.tolerance(dtype).of(1.0, 1.0) for dtype in formats]
    assert widths == sorted(widths)
    assert judge.tolerance("complex64") == judge.tolerance("float32")


def test_what_the_user_asks_for_replaces_the_table():
    assert judge.tolerance("float64", rtol=1e-3).of(2.0, 100.0) == 2e-3
    assert judge.tolerance("float64", rtol=0.0, atol=0.5).of(2.0, 100.0) == 0.5
    assert judge.tolerance("float64", atol=0.5).of(0.0, 100.0) == 0.5


def test_rounding_to_single_precision_is_told_from_one_wrong_entry():
    u = np.full(100, 1e-14)
    rounded = np.full(100, 3e-8)
    one = np.where(np.arange(100) == 7, 3e-8, 0.0)
    assert judge.like_rounding(rounded, u, 1.0)
    assert not judge.like_rounding(one, u, 1.0)
    assert not judge.like_rounding(rounded * 1e3, u, 1.0)
    assert not judge.like_rounding(np.zeros(0), np.zeros(0), 1.0)


@pytest.mark.parametrize(
    ("discrepancy", "scale", "expected"),
    [(0.0, 1.0, 17), (1e-8, 1.0, 8), (1e-30, 1.0, 17), (5.0, 1.0, 0), (1.0, 0.0, 0), (np.inf, 1.0, 0)],
)
def test_digits(discrepancy, scale, expected):
    assert judge.digits(discrepancy, scale) == pytest.approx(expected)


@pytest.mark.parametrize("verdict", [PASS, FAIL, UNKNOWN])
def test_a_waiver_passes_with_its_reason_and_says_where_it_is_not_needed(verdict):
    options = Options.of(allow={"w": "straight-through on purpose"})
    result = ParameterResult("w", verdict, (2,), "float64")
    found = waived(result, options)
    assert (found.verdict, found.waived) == (PASS, "straight-through on purpose")
    assert any("not needed" in note for note in found.notes) == (verdict is PASS)
    other = ParameterResult("v", verdict, (2,), "float64")
    assert waived(other, options) is other
