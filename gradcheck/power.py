"""What random directions would have seen, and what is done where that falls short of a tolerance.

Moved together, leaves share one error bar: it can be wide beside a gradient that is tiny beside the others'.
Such a leaf is moved alone, where that can tell more, and then looked at entry by entry, as long as there is
time. What remains is said in a note.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradcheck import findings
from gradcheck.every import Tally, examine_every
from gradcheck.findings import Finding
from gradcheck.numerical import directions, roundoff
from gradcheck.numerical.derivative import line_step
from gradcheck.progress import Watch
from gradcheck.report.records import Verdict

if TYPE_CHECKING:
    from gradcheck.pipeline import Outcome
    from gradcheck.screening import Screening

# Seconds that effort="auto" may spend beyond the directions over all leaves together.
AUTO_SECONDS = 5.0
# A leaf is moved alone where its own error bar would be this much narrower: a share of the shared one. Of a
# gradient of zeros, whose size says nothing, less.
_NARROWER, _OF_ZEROS = 0.1, 1e-3
# Directions for one leaf alone. With the same probability two see 32 times smaller errors than one, four 178
# times: that is cheaper than entries.
_ALONE = 4
_NAMED = 4


def look_alone(outcome: Outcome, screening: Screening, known: Sequence[str]) -> None:
    """Move leaves alone whose tolerance the directions do not reach; those found off become suspects."""
    start = time.perf_counter()
    for name in known:
        finding = outcome.findings[name]
        if name in screening.suspects or not _short(outcome, finding):
            continue
        if time.perf_counter() - start > AUTO_SECONDS:
            break
        if _tells_more_alone(outcome, finding):
            _more_directions(outcome, screening, finding)
    outcome.seconds_alone = time.perf_counter() - start


def _more_directions(outcome: Outcome, screening: Screening, finding: Finding) -> None:
    """Add directions of one leaf until their power suffices, or one of them is off."""
    exam, name = outcome.exam, finding.name
    probes = list(finding.probes) if finding.shared == 1 else []
    while len(probes) < _ALONE and _short(outcome, finding):
        probes.append(exam.probe(outcome.pulls[len(probes) % len(outcome.pulls)], [name]))
        finding = findings.from_probes(name, list(probes), 1, outcome.tolerances[name], exam.magnitude)
        if probes[-1].suspect:
            screening.suspects.append(name)
            break
    outcome.findings[name] = finding


def look_at_entries(outcome: Outcome, known: Sequence[str]) -> None:
    """Examine the entries of leaves that are still short while there is time, and note what is left."""
    left, missing = [], []
    deadline = time.perf_counter() + AUTO_SECONDS - outcome.seconds_alone
    for name in known:
        finding = outcome.findings[name]
        if finding.entries is not None or finding.verdict is not Verdict.PASS or not _short(outcome, finding):
            continue
        if _resolution(outcome, finding) > outcome.tolerances[name].relative * _size(finding):
            continue  # no entry would be resolved any better: the outputs' own rounding hides it
        within = deadline - time.perf_counter()
        if within > 0:
            _entries(outcome, name, within)
        total = outcome.exam.values[name].size
        looked = 0 if finding.entries is None else finding.entries.flat.size
        if looked < total:
            left.append(name)
            missing.append(total - looked)
    if left:
        outcome.notes.append(_note(outcome, left, sum(missing)))


def _entries(outcome: Outcome, name: str, within: float) -> None:
    exam, pulled = outcome.exam, outcome.pulls[0]
    entries = examine_every(exam, pulled, name, Watch(exam.values[name].size), Tally(), within)
    if entries.flat.size:
        findings.from_entries(exam, pulled, outcome.findings[name], entries, outcome.tolerances[name])


def _note(outcome: Outcome, names: Sequence[str], entries: int) -> str:
    named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    worst = max(findings.coverage(outcome.exam, outcome.findings[n]).detectable or 0.0 for n in names)
    return (
        f"{named}: random directions see an error of {worst:.1g} of the gradient, which is more than its "
        f'tolerance, and {entries:,} entries were not looked at; effort="every" checks each of them'
    )


def _short(outcome: Outcome, finding: Finding) -> bool:
    """Whether the directions' stated power does not reach the tolerance; never at kinks."""
    if not finding.probes or any(p.estimate.kink or not p.estimate.resolved for p in finding.probes):
        return False
    least = findings.coverage(outcome.exam, finding).detectable
    if least is None:  # a gradient of zeros
        return finding.shared > 1 and math.isfinite(finding.probes[0].uncertainty)
    return least > outcome.tolerances[finding.name].relative


def _tells_more_alone(outcome: Outcome, finding: Finding) -> bool:
    """Whether directions of the leaf alone, but for rounding, reach its tolerance or come nearer."""
    size, own = _size(finding), _resolution(outcome, finding)
    shared = min(probe.uncertainty for probe in finding.probes)
    if size == 0:
        return own < _OF_ZEROS * shared
    least = directions.detectable(own, size, _ALONE)
    reached = least is not None and least <= outcome.tolerances[finding.name].relative
    return reached or (finding.shared > 1 and own < min(size, _NARROWER * shared))


def _resolution(outcome: Outcome, finding: Finding) -> float:
    """Return what rounding alone leaves of the error bar of a leaf, or entry, that is moved alone."""
    exam, pulled = outcome.exam, finding.probes[0].pulled
    if outcome.floor is None:
        outcome.floor = roundoff.floor(exam.base, pulled.flat, exam.subject.epsilon)
    epsilon = exam.subject.epsilon
    return 4 * (outcome.floor + epsilon * _size(finding)) / line_step(epsilon)


def _size(finding: Finding) -> float:
    return min(probe.parts[finding.name][1] for probe in finding.probes)
