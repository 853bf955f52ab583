"""A run ends with its tables and one sentence."""

from __future__ import annotations

from io import StringIO

import pytest
import sample_reports as samples

from gradcheck.report.records import Verdict
from gradcheck.report.run import Failure, Group, Run, overall
from gradcheck.report.summary import conclusion, resolution, show_summary
from gradcheck.report.text import make_console

PASS = samples.report(samples.passing(), name="a.py:ok")
FAIL = samples.report(samples.failing(), name="a.py:wrong")
UNSURE = samples.report(samples.inconclusive(), name="a.py:unsure")


def run_of(*reports, failures=(), **changes):
    verdict = overall(report.verdict for report in reports)
    return Run(verdict, (Group("a.py", reports),), failures, seconds=2.0, **changes)


def shown(run):
    file = StringIO()
    show_summary(run, make_console(file, width=100))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (run_of(PASS), "pass: 1 target, every gradient right"),
        (run_of(PASS, FAIL), "FAIL: 1 of 2 targets with a wrong gradient"),
        (run_of(UNSURE), "inconclusive: 1 of 1 target not resolved"),
        (run_of(PASS, failures=(Failure("b", ""),)), "error: 1 target not verified, 1 right"),
        (run_of(PASS, complete=False), "stopped before the end: 1 target, every gradient right so far"),
        (run_of(complete=False), "nothing was verified, stopped before the end"),
    ],
)
def test_the_conclusion_is_one_sentence(run, sentence):
    assert conclusion(run) == sentence


def test_several_targets_get_a_table():
    assert shown(run_of(PASS, FAIL)) == [
        "target      verdict  parameters  digits  forward evaluations    time",
        "a.py:ok     pass              1    11.4                  412  830 ms",
        "a.py:wrong  FAIL              1     0.0                  412  830 ms",
        "FAIL: 1 of 2 targets with a wrong gradient (2.0 s, seed 0)",
    ]


def test_families_get_a_row_each_with_resolution_and_pace():
    groups = (Group("mlp", (PASS, PASS), True), Group("dag", (FAIL,), True, skipped=3))
    lines = shown(Run(Verdict.FAIL, groups, seed=7, seconds=2.0))
    assert lines[1].split()[:9] == ["mlp", "2", "2", "0", "0", "0", "2", "11.4", "2.3e-11"]
    assert lines[2].split()[:7] == ["dag", "1", "0", "1", "0", "3", "1"]
    assert lines[3] == "FAIL: 1 of 3 cases with a wrong gradient (2.0 s, 1.5 cases per second, seed 7)"


def test_resolution_is_the_median_uncertainty_relative_to_the_gradient():
    assert resolution([PASS]) == pytest.approx(3e-12 / 0.1319)
    assert resolution([samples.report()]) is None
