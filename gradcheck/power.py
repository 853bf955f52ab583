"""What random directions would have seen, and what is done where that falls short of a tolerance.

Moved together, leaves share one error bar: it can be wide beside a gradient that is tiny beside the others',
as those of a deep network's first layers are. Such leaves are moved apart from the larger ones: all together
first, and ever fewer, as those that have been seen well enough drop out. So it costs a few directions more,
however many leaves there are. What these cannot tell is looked at entry by entry, as long as there is time.
What remains is said in a note.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck import findings
from gradcheck.every import Tally, examine_every
from gradcheck.findings import Finding
from gradcheck.numerical import directions, roundoff
from gradcheck.numerical.line import line_step
from gradcheck.probes import Probe
from gradcheck.progress import Watch
from gradcheck.report.records import Verdict

if TYPE_CHECKING:
    from gradcheck.pipeline import Outcome
    from gradcheck.screening import Screening

# Seconds that effort="auto" may spend beyond the directions over all leaves together.
AUTO_SECONDS = 5.0
# So many directions see an error as large as their error bar, which is what looking at entries sees; fewer
# do for a leaf of fewer entries, which cost as much each. With the same probability two see 32 times smaller
# errors than one, four 178 times.
_MOST, _FEW = 48, 4
# Leaves that no number of directions sees as well as their tolerance asks are moved apart all the same where
# the error bar would be this much narrower: a share of the shared one. Of a gradient of zeros, whose size
# says nothing, less.
_NARROWER, _OF_ZEROS = 0.1, 1e-3
_NAMED = 4


@dataclass(frozen=True)
class _Plan:
    """At most how many directions to make of a leaf, and whether these would reach its tolerance."""

    most: int
    reaches: bool


def look_apart(outcome: Outcome, screening: Screening, known: Sequence[str]) -> list[str]:
    """Move leaves apart whose tolerance the directions do not reach, and return them; those off are suspects.

    What many leaves together do not tell halves of them may: these move less across kinks, or are right.
    """
    short = [n for n in known if n not in screening.suspects and _short(outcome, outcome.findings[n])]
    if not short:
        return short
    start = time.perf_counter()
    deadline = start + AUTO_SECONDS
    plans = {name: _plan(outcome, outcome.findings[name]) for name in short}
    groups = [[name for name in short if plans[name].most]]
    while groups and time.perf_counter() < deadline:
        group = groups.pop()
        left = _move_together(outcome, screening, group, plans, deadline)
        middle = len(left) // 2 if len(left) > len(group) // 2 else 0
        groups += [half for half in (left[middle:], left[:middle]) if half]
    outcome.seconds_apart = time.perf_counter() - start
    return short


def _move_together(
    outcome: Outcome,
    screening: Screening,
    group: Sequence[str],
    plans: Mapping[str, _Plan],
    deadline: float,
) -> list[str]:
    """Add directions until their power suffices for each leaf; return those to be moved in smaller groups."""
    exam, left = outcome.exam, []
    made = {name: _own(outcome.findings[name]) for name in group}
    rest = list(group)
    while rest and (time.perf_counter() < deadline or not made[rest[0]]):
        probe = exam.probe(outcome.pulls[len(made[rest[0]]) % len(outcome.pulls)], rest)
        if len(group) > 1 and (probe.suspect or probe.estimate.kink):
            return list(group)
        screening.suspects += rest if probe.suspect else []
        for name in rest:
            made[name].append(probe)
        wanting = [] if probe.suspect or probe.estimate.kink else _wanting(outcome, rest, made, plans)
        rest = [name for name in wanting if _in_reach(outcome, name, probe, plans[name])]
        left += [name for name in wanting if name not in rest]
    for name, probes in made.items():
        shared = max(len(probe.parts) for probe in probes)
        tolerance = outcome.tolerances[name]
        outcome.findings[name] = findings.from_probes(name, probes, shared, tolerance, exam.magnitude)
    return left if len(group) > 1 else []


def _own(finding: Finding) -> list[Probe]:
    return list(finding.probes) if finding.shared == 1 else []


def _wanting(
    outcome: Outcome, names: Sequence[str], made: Mapping[str, list[Probe]], plans: Mapping[str, _Plan]
) -> list[str]:
    """Return the leaves for which more directions are planned than have been needed so far."""
    return [
        name
        for name in names
        if len(made[name]) < plans[name].most
        and not findings.sees(outcome.exam, name, made[name], outcome.tolerances[name].relative)
    ]


def _in_reach(outcome: Outcome, name: str, probe: Probe, plan: _Plan) -> bool:
    """Whether directions like the last would do what is planned."""
    size, tolerance = outcome.exam.size(probe.pulled, name), outcome.tolerances[name].relative
    return not plan.reaches or directions.needed(probe.uncertainty, size, tolerance) <= plan.most


def look_at_entries(outcome: Outcome, names: Sequence[str]) -> None:
    """Examine the entries of leaves that are still short while there is time, and note what is left."""
    left, missing = [], []
    deadline = time.perf_counter() + AUTO_SECONDS - outcome.seconds_apart
    for name in names:
        finding = outcome.findings[name]
        if finding.entries is not None or finding.verdict is not Verdict.PASS or not _short(outcome, finding):
            continue
        if _resolution(outcome, finding) > outcome.tolerances[name].relative * _size(outcome, finding):
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
    least = finding.detectable(outcome.exam)
    if least is None:  # a gradient of zeros; beside outputs of zeros that stay so there is no more to see
        return finding.shared > 1 and 0 < finding.probes[0].uncertainty < math.inf
    return least > outcome.tolerances[finding.name].relative


def _plan(outcome: Outcome, finding: Finding) -> _Plan:
    """Return what directions apart from larger leaves would do for a leaf; none where they tell no more."""
    exam, tolerance = outcome.exam, outcome.tolerances[finding.name].relative
    size, own = _size(outcome, finding), _resolution(outcome, finding)
    shared = min(probe.uncertainty for probe in finding.probes)
    most = max(_FEW, min(_MOST, exam.values[finding.name].size))
    if directions.needed(own, size, tolerance) <= most:
        return _Plan(most, True)
    if finding.shared > 1 and size == 0:
        return _Plan(int(own < _OF_ZEROS * shared), False)
    return _Plan(_FEW if finding.shared > 1 and own < min(size, _NARROWER * shared) else 0, False)


def _resolution(outcome: Outcome, finding: Finding) -> float:
    """Return what rounding alone leaves of the error bar of a leaf, or entry, that is moved alone."""
    exam, pulled = outcome.exam, finding.probes[0].pulled
    if outcome.floor is None:
        outcome.floor = roundoff.floor(exam.base, pulled.flat, exam.subject.epsilon)
    epsilon = exam.subject.epsilon
    return 4 * (outcome.floor + epsilon * _size(outcome, finding)) / line_step(epsilon)


def _size(outcome: Outcome, finding: Finding) -> float:
    return min(outcome.exam.size(probe.pulled, finding.name) for probe in finding.probes)
