"""Many suspects: some entry by entry, the rest along directions, and nothing right among them accused."""

import numpy as np
import pytest
from plain_subject import squares

from gradcheck import suspects
from gradcheck.options import Options
from gradcheck.pipeline import examine_subject
from gradcheck.report.records import Verdict

NAMES = [f"w{i}" for i in range(12)]


def outcome_of(off, seconds=0.0):
    rng = np.random.default_rng(0)
    subject = squares({name: rng.normal(size=(3, 4)) for name in NAMES}, off)
    outcome = examine_subject(subject, Options(), dict.fromkeys(NAMES, "float64"), seconds)
    return subject, outcome


@pytest.fixture
def no_time(monkeypatch):
    monkeypatch.setattr(suspects, "TOGETHER", 0.0)


def test_with_time_every_suspect_is_looked_at_entry_by_entry():
    _, outcome = outcome_of(dict.fromkeys(NAMES, 0.3), seconds=3.0)
    assert outcome.failing == NAMES
    assert all(outcome.findings[name].entries is not None for name in NAMES)


@pytest.mark.usefixtures("no_time")
def test_without_time_the_first_is_looked_at_and_the_others_fail_along_two_directions():
    _, outcome = outcome_of(dict.fromkeys(NAMES, 0.3))
    assert outcome.failing == NAMES
    seen = [name for name in NAMES if outcome.findings[name].entries is not None]
    assert len(seen) == 1
    for name in set(NAMES) - set(seen):
        finding = outcome.findings[name]
        assert finding.by_directions
        assert len(finding.probes) == 2
        assert "entries were not looked at" in finding.notes[-1]


@pytest.mark.usefixtures("no_time")
def test_right_leaves_among_them_pass():
    _, outcome = outcome_of({"w2": 0.3, "w7": -0.2, "w8": 1.0})
    assert outcome.failing == ["w2", "w7", "w8"]
    assert all(f.verdict is Verdict.PASS for n, f in outcome.findings.items() if n not in outcome.failing)


@pytest.mark.usefixtures("no_time")
def test_it_costs_a_few_evaluations_for_each():
    subject, _ = outcome_of(dict.fromkeys(NAMES, 0.3))
    one, _ = outcome_of({"w0": 0.3})
    assert subject.evaluations - one.evaluations < 30 * len(NAMES)


@pytest.mark.usefixtures("no_time")
def test_what_a_second_direction_contradicts_is_left_open():
    rng = np.random.default_rng(0)
    subject = squares({name: rng.normal(size=(3, 4)) for name in NAMES}, dict.fromkeys(NAMES, 0.3))
    outcome = examine_subject(subject, Options(), dict.fromkeys(NAMES, "float64"), 0.0)
    right = squares(dict(subject.variables))
    name = next(n for n in NAMES if outcome.findings[n].by_directions)
    outcome.pulls.append(outcome.exam.pull())
    outcome.pulls[-1].gradients.update(
        right.pull_back(outcome.pulls[-1].cotangents)  # as where the first direction was off by accident
    )
    seen = next(n for n in NAMES if outcome.findings[n].wrong.size)
    suspects.look_at(outcome, [seen, name], 0.0)
    assert outcome.findings[name].verdict is Verdict.INCONCLUSIVE
    assert "verify it alone" in outcome.findings[name].message
