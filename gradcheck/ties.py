"""What a random direction does not show at a kink or a tie.

A kink admits an interval of slopes, and along a random direction through many kinks that interval is wide
enough to hide a wrong choice. So every entry is looked at on its own (0 to 1 for relu at 0), and all entries
are moved by the same amount: a maximum of tied entries is smooth along that direction, and a gradient given
to each of them in full is twice too large there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gradcheck import coupling, findings
from gradcheck.coupling import Place
from gradcheck.examination import Examination
from gradcheck.locate import affordable_entries, examine
from gradcheck.numerical import directions
from gradcheck.probes import Probe
from gradcheck.report.records import Verdict
from gradcheck.subjects.base import Array

if TYPE_CHECKING:
    from gradcheck.pipeline import Outcome

# Seconds for finding which entries share a kink; leaves of so many entries are looked at in full, as what is
# claimed in the middle of its kink's interval has met no kink.
_GROUP_SECONDS, _SMALL = 1.0, 256


def look_closer(outcome: Outcome, seconds: float) -> None:
    """Examine the parameters whose probes met a kink; those off along the common direction get ``tied``.

    ``seconds`` may be spent on the entries of each.
    """
    names = [name for name, f in outcome.findings.items() if any(p.estimate.kink for p in f.probes)]
    right = [n for n, f in outcome.findings.items() if f.probes and f.verdict is Verdict.PASS]
    names = [name for name in names if name in right]
    for name in names:
        _entries(outcome, name, seconds)
    for name in names:
        _look(outcome, [name], [name])
    if names and len(right) > 1:
        # a leaf whose claimed value lies in the middle of its kink's interval has met no kink
        _look(outcome, right, names)


def _look(outcome: Outcome, moved: Sequence[str], marked: Sequence[str]) -> None:
    probe = _together(outcome, moved)
    if probe.suspect and probe.estimate.resolved:
        for name in marked:
            ties = outcome.findings[name].ties
            ties.insert(len(ties) if len(moved) > 1 else 0, probe)


def _entries(outcome: Outcome, name: str, seconds: float) -> None:
    exam, finding = outcome.exam, outcome.findings[name]
    affordable = affordable_entries(exam.seconds_per_evaluation, seconds)
    if finding.entries is None and exam.values[name].size <= affordable:
        keep = outcome.pulls[0].finite.get(name, np.ones(exam.values[name].shape, dtype=bool))
        entries = examine(exam, outcome.pulls[0], name, np.flatnonzero(keep), exact=True, seconds=2 * seconds)
        findings.from_entries(exam, outcome.pulls[0], finding, entries, outcome.tolerances[name])


def _together(outcome: Outcome, names: Sequence[str]) -> Probe:
    """Probe along the direction that moves every entry of the named leaves by the same amount."""
    again = partial(_alike, outcome.exam, outcome.pulls[0].finite, names)
    return replace(outcome.exam.along(outcome.pulls[0], again()), direction=again)


def _alike(exam: Examination, finite: Mapping[str, np.ndarray], names: Sequence[str]) -> Mapping[str, Array]:
    amount = _amount(exam, names)
    return {
        name: directions.like(
            exam.variables[name], np.full(exam.values[name].shape, amount) * finite.get(name, 1.0)
        )
        for name in names
    }


def _amount(exam: Examination, names: Sequence[str]) -> float:
    return float(np.median([float(np.max(exam.scales[name])) for name in names]))


def look_at_groups(outcome: Outcome) -> frozenset[str]:
    """Probe entries that share a kink apart from the others, whose kinks would widen what is admitted.

    Return the leaves of which every entry was looked at, and none found to share a kink with any other.
    """
    exam, pulled, places = outcome.exam, outcome.pulls[0], _places(outcome)
    coupled = coupling.Coupling(exam, pulled, _GROUP_SECONDS)
    found = coupling.groups(coupled, places)
    for group in found:
        if len(group) == len(places) and all(sign > 0 for _, sign in group):
            continue  # all together have been moved alike
        again = partial(coupled.direction, group)
        probe = replace(exam.along(pulled, again()), direction=again)
        if probe.suspect and probe.estimate.resolved:
            for name in probe.parts:
                outcome.findings[name].ties.insert(0, probe)
    if found or coupled.is_over:
        return frozenset()
    counts = Counter(place.name for place in places)
    return frozenset(name for name, count in counts.items() if count == exam.values[name].size)


def _places(outcome: Outcome) -> list[Place]:
    """Return the entries that may lie at kinks: all of small leaves, and of others those that were seen to.

    All are moved by the same amount, or a tie between leaves of different size would come apart.
    """
    exam, places = outcome.exam, []
    amount = _amount(exam, list(exam.values))
    for name, finding in outcome.findings.items():
        value, entries = exam.values[name], finding.entries
        if finding.verdict is not Verdict.PASS or not finding.probes or value.dtype.kind == "c":
            continue
        flat = np.arange(value.size) if value.size <= _SMALL else np.zeros(0, dtype=int)
        if not flat.size and entries is not None:
            flat = entries.flat[entries.kink]
        kept = np.broadcast_to(outcome.pulls[0].finite.get(name, True), value.shape).reshape(-1)
        places += [Place(name, int(i), amount) for i in flat if kept[i]]
    return places
