"""Planted mistakes in real programs get their right name first; right programs get none."""

from __future__ import annotations

import functools
from collections import defaultdict

import numpy as np
import pytest

import gradcheck
from cases.programs import MISTAKES, NAMES, Mistake, Program, program
from gradcheck.diagnose import KINDS, Discrepancy, Findings, diagnose
from gradcheck.examination import Examination
from gradcheck.locate import examine
from gradcheck.subjects.handwritten import HandWritten

# At least this share of the mistakes must be called by their right name first.
_SHARE = 0.95


@functools.cache
def numerical(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the numerical gradient of a program, entry by entry, and its uncertainty."""
    right = program(name)
    exam = Examination(HandWritten(right.loss, right.params, gradient=right.gradient), seed=0)
    pulled, found = exam.pull(), {}
    for parameter, value in exam.values.items():
        entries = examine(exam, pulled, parameter, np.arange(value.size), exact=True)
        found[parameter] = entries.expected.reshape(value.shape), entries.uncertainty.reshape(value.shape)
    return found


def findings(tried: Program) -> Findings:
    subject = HandWritten(tried.loss, tried.params, gradient=tried.gradient)
    expected = numerical(tried.name)
    discrepancies = {
        name: Discrepancy(name, subject.claims[name], *expected[name], value=value)
        for name, value in subject.variables.items()
    }
    return diagnose(discrepancies, subject.facts())


@functools.cache
def planted_findings(mistake: Mistake) -> Findings:
    return findings(mistake.plant())


def kinds_found(mistake: Mistake) -> tuple[str, ...]:
    return tuple(diagnosis.kind for diagnosis in planted_findings(mistake).of(mistake.at))


@pytest.mark.parametrize("name", NAMES)
def test_a_right_program_gets_no_diagnosis(name):
    right = program(name)
    assert findings(right) == Findings()
    subject = HandWritten(right.loss, right.params, gradient=right.gradient)
    assert subject.structural_findings() == {}
    assert subject.notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_right_program_at_another_point_gets_no_diagnosis(name):
    right = program(name, seed=11)
    report = gradcheck.verify(right.loss, right.params, gradient=right.gradient)
    assert report.ok, str(report)
    assert not any(result.diagnoses for result in report.parameters.values())


# NumPy code knows no cotangent, and slips are looked for in the source (test_slips.py).
NAMED = sorted(set(KINDS) - {"unexplained", "cotangent", "slip"})


@pytest.mark.parametrize("kind", NAMED)
def test_each_kind_is_planted_in_five_programs_and_found_first(kind):
    planted = [mistake for mistake in MISTAKES if mistake.kind == kind]
    assert len({mistake.program for mistake in planted}) >= 5
    missed = [mistake.label for mistake in planted if kinds_found(mistake)[:1] != (kind,)]
    assert len(missed) <= (1 - _SHARE) * len(planted), missed


def test_nearly_all_mistakes_are_called_by_their_name():
    right = [mistake for mistake in MISTAKES if kinds_found(mistake)[:1] == (mistake.kind,)]
    assert len(right) >= _SHARE * len(MISTAKES)


def test_the_headline_is_the_mistake_itself_not_what_became_of_it_upstream():
    told = [planted_findings(mistake).headline for mistake in MISTAKES]
    right = [
        mistake
        for mistake, headline in zip(MISTAKES, told, strict=True)
        if headline and headline.kind == mistake.kind
    ]
    assert len(right) >= _SHARE * len(MISTAKES)


def test_every_mistake_is_one():
    for mistake in MISTAKES:
        if mistake.kind not in ("mutates", "accumulated"):
            assert mistake.at in planted_findings(mistake).parameters, mistake.label


_FIRST_OF_EACH_KIND = list({mistake.kind: mistake for mistake in reversed(MISTAKES)}.values())


@pytest.mark.parametrize("mistake", _FIRST_OF_EACH_KIND, ids=lambda mistake: mistake.label)
def test_verify_tells_the_mistake(mistake):
    planted = mistake.plant()
    report = gradcheck.verify(planted.loss, planted.params, gradient=planted.gradient)
    told = report.parameters[mistake.at].diagnoses
    assert told[0].kind == mistake.kind, str(report)
    assert told[0].message in str(report) or mistake.kind == "precision"
    assert report.ok == (mistake.kind == "precision"), "rounding is reported, and no failure"


def test_a_misspelt_mistake_is_refused():
    with pytest.raises(ValueError, match="occurs 0 times"):
        program("ridge", old="no such text", new="")


def test_mistakes_are_spread_over_programs():
    used = defaultdict(set)
    for mistake in MISTAKES:
        used[mistake.program].add(mistake.kind)
    assert set(used) == set(NAMES)
