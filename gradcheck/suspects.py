"""Suspect leaves: entry by entry while there is time, and by a second direction where there is none left.

One wrong operation near the output spoils the gradient of every parameter before it. To look at entries of a
hundred parameters would take many times as long as to find them wrong, and tell the same: those that were
found first, nearest to the output, show the mistake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gradcheck import edges, findings
from gradcheck.examination import Examination
from gradcheck.findings import Finding
from gradcheck.locate import Entries, affordable_entries, examine, locate
from gradcheck.probes import Pulled
from gradcheck.report.records import Verdict

if TYPE_CHECKING:
    from gradcheck.pipeline import Outcome

# Seconds spent on the entries of one suspect, and after which no further suspect's entries are looked at.
SECONDS, TOGETHER = 3.0, 6.0
# Where no direction can be resolved, entries can hardly be: of many, so many are tried before all are.
_FEW = 4
# Fresh directions that must all acquit a gradient whose first was off, where its entries are not.
_FRESH = 3
_NO_TIME = "its entries were not looked at: other parameters took the time; verify it alone"


def look_at(outcome: Outcome, names: Sequence[str], seconds: float) -> None:
    """Judge suspects by their entries; ``seconds`` is what may be spent on those of one."""
    deadline = time.perf_counter() + max(TOGETHER, seconds)
    for name in names:
        shown = any(outcome.findings[other].wrong.size for other in names)
        if shown and time.perf_counter() > deadline:
            _by_directions(outcome, name)
        else:
            examine_one(outcome, name, partial(_located, outcome, name, seconds))


def _by_directions(outcome: Outcome, name: str) -> None:
    """Judge a suspect by its directions alone: that it is wrong takes two of them, on smooth ground."""
    finding = outcome.findings[name]
    if finding.verdict is not Verdict.FAIL:
        finding.notes.append(_NO_TIME)
        return
    again = outcome.exam.probe(outcome.pulls[-1], [name])
    magnitude = outcome.exam.magnitude
    second = findings.from_probes(name, [again], 1, outcome.tolerances[name], magnitude)
    smooth = not any(probe.estimate.kink for probe in [*finding.probes, again])
    if smooth and second.verdict is Verdict.FAIL:
        finding.probes.append(again)
        finding.by_directions = True
        finding.notes.append(_NO_TIME)
    else:
        finding.verdict, finding.message = Verdict.INCONCLUSIVE, _NO_TIME


def _located(outcome: Outcome, name: str, seconds: float, pulled: Pulled) -> Entries:
    affordable = affordable_entries(outcome.exam.seconds_per_evaluation, seconds)
    return locate(outcome.exam, pulled, name, affordable, 2 * seconds)


def examine_one(outcome: Outcome, name: str, look: Callable[[Pulled], Entries]) -> None:
    """Judge one suspect by its entries, which ``look`` examines."""
    exam, finding = outcome.exam, outcome.findings[name]
    pulled = next((probe.pulled for probe in finding.probes if probe.suspect), outcome.pulls[0])
    rough = not any(probe.estimate.resolved for probe in finding.probes)
    if rough and exam.values[name].size > 2 * _FEW and not _some_entry(exam, pulled, name):
        _judge_rough(exam, pulled, finding)
        return
    by_direction = finding.verdict
    entries = look(pulled)
    if rough and not np.isfinite(entries.uncertainty).any():
        _judge_rough(exam, pulled, finding)
        return
    findings.from_entries(exam, pulled, finding, entries, outcome.tolerances[name])
    if (
        by_direction is Verdict.FAIL
        and finding.verdict is Verdict.PASS
        and findings.TURNS not in finding.notes
        and not finding.steep
    ):
        _direction_against_entries(outcome, finding, entries)


def _judge_rough(exam: Examination, pulled: Pulled, finding: Finding) -> None:
    """Judge a suspect of which neither directions nor entries can be resolved."""
    if not np.any(pulled.gradients[finding.name]):
        finding.verdict = Verdict.PASS
        finding.notes.append(f"no gradient is claimed, and none can be measured: {finding.message}")
        finding.message = ""
    elif exam.values[finding.name].size and edges.has_endless_slope(exam, pulled, finding.name, 0):
        finding.message = edges.ENDLESS


def _some_entry(exam: Examination, pulled: Pulled, name: str) -> bool:
    """Whether a few entries can be resolved alone where no direction can: of labels, say, none can."""
    keep = pulled.finite.get(name)
    flat = np.arange(exam.values[name].size) if keep is None else np.flatnonzero(keep)
    few = examine(exam, pulled, name, flat[:: max(1, flat.size // _FEW)][:_FEW], exact=False)
    return bool(np.isfinite(few.uncertainty).any())


def _direction_against_entries(outcome: Outcome, finding: Finding, entries: Entries) -> None:
    """Weigh a direction that is off against entries that are not.

    At kinks and ties each entry alone may look right where all together are wrong: another opinion, that
    of the single operations, is asked for later. Elsewhere fresh directions decide: many entries, each off by
    less than its own error bar, may hide in one of them.
    """
    worst = max(finding.probes, key=lambda probe: probe.discrepancy)
    if entries.kink.any() or any("kink" in note for note in finding.notes):
        finding.ties.append(worst)
        return
    if worst.estimate.value == 0 and outcome.tolerances[finding.name].of_nothing > 0:
        return  # nothing changes along the direction either
    tol, magnitude = outcome.tolerances[finding.name], outcome.exam.magnitude
    for _ in range(_FRESH):
        again = outcome.exam.probe(outcome.pulls[-1], [finding.name])
        if again.suspect:
            second = findings.from_probes(finding.name, [again], 1, tol, magnitude)
            finding.verdict, finding.comparison = second.verdict, second.comparison
            finding.digits = second.digits
            return
