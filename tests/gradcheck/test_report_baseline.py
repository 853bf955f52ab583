"""A baseline lets known discrepancies pass, and tells new, changed and vanished ones from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sample_reports as samples

from gradcheck.errors import UsageError
from gradcheck.report.baseline import Baseline, compare, discrepancies, read, sentences, updated, write
from gradcheck.report.github import to_annotations, to_summary
from gradcheck.report.json import run_from_dict, to_dict
from gradcheck.report.junit import to_junit
from gradcheck.report.records import Diagnosis, VariationResult, Verdict
from gradcheck.report.run import Group, Run, overall
from gradcheck.report.summary import conclusion


def run_of(*reports):
    return Run(overall(report.verdict for report in reports), (Group("a.py", reports),))


WRONG = samples.report(samples.failing("W"), samples.passing("b"), name="a.py:mlp")
RUN = run_of(WRONG)
KNOWN = updated(RUN, Baseline(), "issue 12")


def test_what_is_not_right_is_found_by_parameter_by_variation_or_as_a_whole():
    (wrong,) = discrepancies(WRONG)
    assert (wrong.target, wrong.what, wrong.verdict, wrong.diagnosis) == ("a.py:mlp", "W", "fail", "scale")
    varied = samples.report(
        samples.passing(), variations=(VariationResult("sizes", Verdict.FAIL),), verdict=Verdict.FAIL
    )
    assert [d.what for d in discrepancies(varied)] == ["variation sizes"]
    assert [d.what for d in discrepancies(samples.report(verdict=Verdict.FAIL, message="no loss"))] == [""]
    assert list(discrepancies(samples.report(samples.passing()))) == []


def test_a_known_discrepancy_does_not_count():
    run = compare(RUN, KNOWN)
    assert run.verdict is Verdict.PASS
    assert conclusion(run) == "pass: 1 target, no discrepancy but 1 known"
    assert list(sentences(run.against)) == ["known: a.py:mlp W: issue 12"]


@pytest.mark.parametrize(
    "changed",
    [
        samples.failing("W", diagnoses=(Diagnosis("sign", "", 1.0),)),
        samples.failing("W", diagnoses=()),
        samples.failing("W", comparisons={"autograd": samples.comparison(Verdict.FAIL, rel_error=1e-3)}),
        samples.inconclusive("W"),
    ],
)
def test_a_changed_discrepancy_counts(changed):
    run = compare(run_of(samples.report(changed, name="a.py:mlp")), KNOWN)
    assert run.verdict is changed.verdict
    assert list(sentences(run.against)) == ["changed: a.py:mlp W (was accepted: issue 12)"]


def test_a_little_more_or_less_is_no_change():
    again = samples.failing("W", comparisons={"autograd": samples.comparison(Verdict.FAIL, rel_error=0.8)})
    assert compare(run_of(samples.report(again, name="a.py:mlp")), KNOWN).verdict is Verdict.PASS


def test_a_new_discrepancy_counts():
    both = samples.report(samples.failing("W"), samples.failing("b"), name="a.py:mlp")
    run = compare(run_of(both), KNOWN)
    assert run.verdict is Verdict.FAIL
    assert list(sentences(run.against)) == ["new: a.py:mlp b", "known: a.py:mlp W: issue 12"]


def test_a_discrepancy_that_no_longer_occurs_is_told_where_its_target_was_verified():
    run = compare(run_of(samples.report(samples.passing("W"), name="a.py:mlp")), KNOWN)
    assert run.verdict is Verdict.PASS
    assert list(sentences(run.against)) == ["no longer occurs: a.py:mlp W; take it out of the baseline"]
    assert list(sentences(compare(run_of(), KNOWN).against)) == []


def test_what_was_not_tried_is_not_gone():
    wrong = samples.report(
        samples.passing(),
        variations=(VariationResult("zeros", Verdict.FAIL),),
        verdict=Verdict.FAIL,
        name="a.py:mlp",
    )
    known = updated(run_of(wrong), Baseline(), "issue 12")
    for variations in ((), (VariationResult("zeros", None, "skipped: over budget"),)):
        untried = run_of(samples.report(samples.passing(), variations=variations, name="a.py:mlp"))
        assert list(sentences(compare(untried, known).against)) == []
        assert updated(untried, known, "why") == known
    tried = samples.report(
        samples.passing(), variations=(VariationResult("zeros", Verdict.PASS),), name="a.py:mlp"
    )
    assert [d.what for d in compare(run_of(tried), known).against.gone] == ["variation zeros"]
    failed_early = run_of(samples.report(verdict=Verdict.FAIL, message="no loss", name="a.py:mlp"))
    assert compare(failed_early, KNOWN).against.gone == ()


def test_updating_keeps_reasons_and_other_targets_and_drops_what_is_gone():
    other = samples.report(samples.failing("V"), name="a.py:other")
    both = updated(run_of(other), KNOWN, "issue 13")
    assert [(d.target, d.reason) for d in both.known] == [
        ("a.py:mlp", "issue 12"),
        ("a.py:other", "issue 13"),
    ]
    right = samples.report(samples.passing("W"), name="a.py:mlp")
    assert [d.target for d in updated(run_of(right), both, "issue 14").known] == ["a.py:other"]


def test_a_baseline_comes_back_from_its_file(tmp_path):
    write(KNOWN, tmp_path / "known.json")
    assert read(tmp_path / "known.json") == KNOWN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Cannot read the baseline"),
        ("[]", "it is no baseline of this version"),
        (
            '{"format": "gradcheck baseline", "version": 1, "known": [{"target": 1}]}',
            r"baseline\.known\[0\]\.target",
        ),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path, text, words):
    (tmp_path / "known.json").write_text(text)
    with pytest.raises(UsageError, match=words):
        read(tmp_path / "known.json")


def test_a_missing_baseline_says_how_to_write_one(tmp_path):
    with pytest.raises(UsageError, match="--accept 'REASON'"):
        read(tmp_path / "none.json")


def test_every_format_shows_what_is_known():
    run = compare(RUN, KNOWN)
    assert 'type="known"' in to_junit(run)
    assert "<failure" not in to_junit(run)
    assert to_annotations(run).startswith("::notice title=known discrepancy::")
    assert "- known&#58; a.py&#58;mlp W&#58; issue 12" in to_summary(run)
    assert run_from_dict(to_dict(run)).against == run.against


def test_a_known_case_of_a_family_is_skipped_too():
    run = replace(RUN, groups=(Group("dag", (WRONG,), True),))
    assert 'type="known"' in to_junit(compare(run, KNOWN))
    assert 'type="GradientMismatch"' in to_junit(run)
