"""The error bars hold: a small part of ``benchmarks.calibration``, and bars planted too small are seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import calibration
from benchmarks.calibration_functions import FUNCTIONS
from gradcheck import examination


def generated():
    return calibration.of_cases(("mlp", "dag", "block"), 12, seed=1000)


@pytest.fixture(scope="module")
def found():
    entries = calibration.of_entries(("mlp", "dag", "block", "kink"), 6, each=2, seed=1000)
    return [*generated(), *entries, *calibration.of_functions(4, 7, FUNCTIONS)]


def test_true_errors_lie_within_the_stated_uncertainty(found):
    assert len(found) > 700
    row = calibration.share_rows(found)[-1]
    assert row["met"], [(t.name, t.mode, t.excess) for t in calibration.violations(found)]


def test_nearly_every_estimate_is_resolved(found):
    rough = {"functions: end", "functions: cancellation"}
    smooth = [trial for trial in found if trial.group not in rough]
    assert sum(trial.resolved for trial in smooth) >= 0.99 * len(smooth)


def test_bars_a_thousand_times_too_small_are_seen(monkeypatch):
    right = examination.along

    def flattering(*args, **kwargs):
        estimate = right(*args, **kwargs)
        return replace(estimate, uncertainty=estimate.uncertainty * 1e-3)

    monkeypatch.setattr(examination, "along", flattering)
    row = calibration.share_rows(generated())[-1]
    assert not row["met"]
    assert row["measured"] < 0.9


def test_the_resolution_in_float64(found):
    bars = [t for t in found if t.group in ("mlp", "dag", "block")]
    assert calibration.resolution_row(bars)["measured"] <= 10 * calibration.RESOLUTION


def test_errors_of_the_promised_size_are_seen_and_much_smaller_ones_are_not(monkeypatch):
    row = calibration.power_row(72)
    assert row["met"], row
    promise = calibration._promise
    monkeypatch.setattr(calibration, "_promise", lambda probe: (promise(probe) or 0) * 1e-3)
    assert not calibration.power_row(48)["met"]
