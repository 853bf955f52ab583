"""What a random direction does not show at a kink or a tie.

A kink admits an interval of slopes, and along a random direction through many kinks that interval is wide
enough to hide a wrong choice. So every entry is looked at on its own (0 to 1 for relu at 0), and all entries
are moved by the same amount: a maximum of tied entries is smooth along that direction, and a gradient given
to each of them in full is twice too large there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcheck import findings
from gradcheck.examination import Probe
from gradcheck.locate import affordable_entries, examine
from gradcheck.numerical import directions
from gradcheck.report.records import Verdict

if TYPE_CHECKING:
    from gradcheck.pipeline import Outcome


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
            outcome.findings[name].tied = probe


def _entries(outcome: Outcome, name: str, seconds: float) -> None:
    exam, finding = outcome.exam, outcome.findings[name]
    affordable = affordable_entries(exam.seconds_per_evaluation, seconds)
    if finding.entries is None and exam.values[name].size <= affordable:
        keep = outcome.pulls[0].finite.get(name, np.ones(exam.values[name].shape, dtype=bool))
        entries = examine(exam, outcome.pulls[0], name, np.flatnonzero(keep), exact=True, seconds=2 * seconds)
        findings.from_entries(exam, outcome.pulls[0], finding, entries, outcome.tolerances[name])


def _together(outcome: Outcome, names: Sequence[str]) -> Probe:
    """Probe along the direction that moves every entry of the named leaves by the same amount."""
    exam = outcome.exam
    amount = float(np.median([float(np.max(exam.scales[name])) for name in names]))
    pulled = outcome.pulls[0]
    direction = {}
    for name in names:
        step = np.full(exam.values[name].shape, amount)
        direction[name] = directions.like(exam.variables[name], step * pulled.finite.get(name, 1.0))
    return exam.along(pulled, direction)
